//! `konbini.toml`: the sections of all services, composed into one file.
//!
//! The file is read and checked wholly before anything is opened. Every setting has a default
//! that is right for one small host. **Invariant:** unknown names are refused, so that a
//! misspelt setting is never ignored; all settings outside their range are reported at once.

use std::path::Path;

use chassis::config::{MeshConfig, StoreConfig, ensure};
use chassis::{Error, Open, opener};
use garde::Validate;
use notifications::config::{InboxConfig, MailConfig, WebhooksConfig};
use orders::config::{OrdersConfig, PaymentsConfig};
use serde::{Deserialize, Serialize};
use users::config::{KeysConfig, PasswordConfig, UsersConfig};

use crate::service_name::ServiceName;

/// The settings of a shop.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ShopConfig {
    /// The address of the shop on the web, such as `https://shop.example`, that links in mail
    /// begin with [default: the first of `gateway.acme.domains`, else `gateway.listen`].
    #[garde(inner(custom(is_web_address)))]
    public_url: Option<String>,
    #[garde(dive)]
    pub(crate) gateway: gateway::Config,
    #[garde(dive)]
    store: StoreConfig,
    #[garde(dive)]
    users: UsersConfig,
    #[garde(dive)]
    password: PasswordConfig,
    #[garde(dive)]
    keys: KeysConfig,
    #[garde(skip)]
    pub(crate) mesh: MeshConfig,
    #[garde(dive)]
    products: products::Config,
    #[garde(dive)]
    orders: OrdersConfig,
    #[garde(dive)]
    payments: PaymentsConfig,
    #[garde(dive)]
    notifications: InboxConfig,
    #[garde(dive)]
    pub(crate) mail: MailConfig,
    #[garde(dive)]
    webhooks: WebhooksConfig,
}

impl ShopConfig {
    /// Reads the file; without one, the defaults.
    ///
    /// # Errors
    /// [`Error::Config`] naming the file, the line or the setting, and the allowed values.
    pub(crate) fn read(file: &Path) -> Result<Self, Error> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Error::Config(format!("{}: {error}", file.display()))),
        };
        Self::parse(&text).map_err(|why| Error::Config(format!("{}: {why}", file.display())))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let line = error
                .span()
                .map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            format!("line {line}: {}", error.message())
        })?;
        config
            .validate()
            .map_err(|report| report.to_string().trim_end().replace('\n', "; "))?;
        Ok(config)
    }

    /// The settings that every service has.
    pub(crate) fn common(&self) -> chassis::Config {
        let Self { store, mesh, .. } = self.clone();
        chassis::Config { store, mesh }
    }

    /// The address of the shop on the web, without a slash at its end. A warning tells if
    /// links in mail would lead to this host only.
    fn public_url(&self) -> String {
        let gateway = &self.gateway;
        let is_known = self.public_url.is_some() || !gateway.acme.domains.is_empty();
        if !is_known && self.mail.server.is_some() {
            tracing::warn!(
                listen = %gateway.listen,
                "links in mail lead to the address that the gateway listens at; set public_url to the shop's address on the web"
            );
        }
        match (&self.public_url, gateway.acme.domains.first()) {
            (Some(url), _) => url.trim_end_matches('/').to_owned(),
            (None, Some(domain)) => format!("https://{domain}"),
            (None, None) if gateway.is_secure() => format!("https://{}", gateway.listen),
            (None, None) => format!("http://{}", gateway.listen),
        }
    }

    /// The entry point of a service, with its settings.
    pub(crate) fn open(&self, service: ServiceName) -> Open {
        let config = self.clone();
        match service {
            ServiceName::Users => {
                let Self { users, password, keys, notifications, .. } = config;
                let shop = notifications.shop;
                opener(users::open, users::Config { shop, users, password, keys })
            }
            ServiceName::Products => opener(products::open, config.products),
            ServiceName::Orders => {
                let (orders, payments) = (config.orders, config.payments);
                opener(orders::open, orders::Config { orders, payments })
            }
            ServiceName::Notifications => {
                let public_url = config.public_url();
                let Self { notifications, mail, webhooks, .. } = config;
                let config = notifications::Config { public_url, notifications, mail, webhooks };
                opener(notifications::open, config)
            }
            ServiceName::Gateway => opener(gateway::open, config.gateway),
        }
    }
}

fn is_web_address(url: &str, _: &()) -> garde::Result {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    // Without a path, because the gateway's pages lie at the root.
    let is_address = |rest: &str| {
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        rest.bytes().all(is_part) && rest.starts_with(|c: char| c.is_alphanumeric() || c == '[')
    };
    ensure(
        rest.is_some_and(is_address),
        "must be an address such as https://shop.example, without a path",
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    #[test]
    fn an_empty_file_gives_the_defaults_and_every_fault_is_reported() {
        assert_eq!(ShopConfig::parse("").unwrap(), ShopConfig::default());
        let config = ShopConfig::parse("[gateway]\nlisten = \"0.0.0.0:80\"").unwrap();
        assert_eq!(config.gateway.listen.port(), 80);
        let unknown = ShopConfig::parse("[store]\n\ncache = 3").unwrap_err();
        assert!(
            unknown.starts_with("line 3: unknown field `cache`"),
            "{unknown}"
        );
        let text = "[gateway.limits]\nconnections = 15\n[password]\nmemory_kib = 1024\niterations = 1\n[keys]\nrotate_days = 0\n[mail]\nserver = \"mail.example:587\"\nfrom = \"shop@example.org\"";
        assert_eq!(
            ShopConfig::parse(text).unwrap_err(),
            "gateway.limits.connections: lower than 16; \
             gateway.limits.streams: must be less than connections; \
             keys.rotate_days: lower than 1; \
             mail.server: must be a host's name or address alone; its port is mail.port; \
             password.iterations: lower than 2; \
             password.memory_kib: lower than 19456"
        );
    }

    /// Each setting by its path, `section.name`, and its value.
    fn settings(of: impl Serialize) -> BTreeMap<String, Value> {
        fn collect(path: &str, value: Value, into: &mut BTreeMap<String, Value>) {
            match value {
                Value::Object(members) => {
                    for (name, value) in members {
                        let path = [path, &name].join(".");
                        collect(path.trim_start_matches('.'), value, into);
                    }
                }
                value => drop(into.insert(path.into(), value)),
            }
        }
        let mut all = BTreeMap::new();
        collect("", serde_json::to_value(of).unwrap(), &mut all);
        all
    }

    #[test]
    fn the_commented_file_has_every_setting_with_its_default() {
        let shipped = crate::generate::SETTINGS;
        assert_eq!(ShopConfig::parse(shipped).unwrap(), ShopConfig::default());
        let is_setting = |line: &str| line.starts_with(|c: char| c.is_ascii_lowercase());
        let uncommented: Vec<&str> = shipped
            .lines()
            .map(|line| {
                line.strip_prefix('#')
                    .filter(|rest| is_setting(rest))
                    .unwrap_or(line)
            })
            .collect();
        let uncommented = uncommented.join("\n");
        ShopConfig::parse(&uncommented).unwrap();
        let in_file = settings(toml::from_str::<toml::Table>(&uncommented).unwrap());
        let defaults = settings(ShopConfig::default());
        let names = |of: &BTreeMap<String, Value>| of.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&in_file), names(&defaults));
        let wrong: Vec<_> = defaults
            .iter()
            .filter(|(name, default)| !default.is_null() && in_file[*name] != **default)
            .collect();
        assert!(
            wrong.is_empty(),
            "packaging/konbini.toml differs from the defaults {wrong:?}"
        );
    }

    #[test]
    fn links_lead_to_the_shop() {
        for (text, url) in [
            ("", "http://127.0.0.1:8080"),
            (
                "public_url = \"https://shop.example/\"",
                "https://shop.example",
            ),
            (
                "[gateway.acme]\ndomains = [\"a.example\"]",
                "https://a.example",
            ),
        ] {
            assert_eq!(ShopConfig::parse(text).unwrap().public_url(), url);
        }
        for wrong in [
            "shop.example",
            "https://",
            "ftp://a.example",
            "https://a.example/#",
            "https://a.example/shop",
        ] {
            let text = format!("public_url = \"{wrong}\"");
            let fault = ShopConfig::parse(&text).unwrap_err();
            assert!(
                fault.starts_with("public_url: must be an address"),
                "{fault}"
            );
        }
    }
}
