//! The settings of a shop: the sections of all services, composed into one file.
//!
//! They come from a profile, from the file `konbini.toml`, from variables of the environment and from the
//! command line, and are read and checked wholly before anything is opened. Every setting has
//! a default that is right for one small host. **Invariant:** unknown names are refused, so
//! that a misspelt setting is never ignored; all faults are reported at once.
//!
//! | module | holds |
//! | --- | --- |
//! | `layers` | the layers and their order |
//! | `setting` | the value that a layer gives one setting, its origin, and its faults |
//! | `names` | the names of all settings |
//! | `profile`, `file`, `environment` | the layers of the profile, the file and the environment |

mod environment;
mod file;
mod layers;
mod names;
mod profile;
mod setting;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use chassis::config::{BackupConfig, MeshConfig, StoreConfig, ensure};
use chassis::{Folder, Open, opener};
use garde::Validate;
use mesh::ZenohEndpoints;
use notifications::config::{InboxConfig, MailConfig, WebhooksConfig};
use orders::config::{OrdersConfig, PaymentsConfig, TaxConfig};
use serde::{Deserialize, Serialize};
use users::config::{KeysConfig, PasswordConfig, UsersConfig};

use self::profile::HostProfile;
use crate::service_name::ServiceName;

pub(crate) use layers::{LayeredSettings, SettingSources};
pub(crate) use names::variable;
pub(crate) use setting::{SettingFault, SettingOrigin};

/// The settings of a shop.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ShopConfig {
    /// The size of the host, which chooses defaults.
    #[garde(skip)]
    profile: HostProfile,
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
    backup: BackupConfig,
    #[garde(dive)]
    products: products::Config,
    #[garde(dive)]
    orders: OrdersConfig,
    #[garde(dive)]
    payments: PaymentsConfig,
    #[garde(dive)]
    tax: TaxConfig,
    #[garde(dive)]
    notifications: InboxConfig,
    #[garde(dive)]
    pub(crate) mail: MailConfig,
    #[garde(dive)]
    webhooks: WebhooksConfig,
}

impl ShopConfig {
    /// The host in the shop's address on the web, if it is a name.
    pub(crate) fn public_host(&self) -> Option<String> {
        let url = self.public_url.as_deref();
        let authority = url.and_then(|url| url.split("://").nth(1));
        let authority = authority.map(|rest| rest.trim_end_matches('/'));
        let host = match authority {
            Some(authority) if authority.starts_with('[') => return None,
            Some(authority) => authority.split(':').next().unwrap_or_default(),
            None => self.gateway.acme.domains.first()?,
        };
        let is_name = host.parse::<IpAddr>().is_err();
        is_name.then(|| host.to_owned())
    }

    /// The files with secrets that settings name, and the file of the settings if it has some.
    pub(crate) fn secret_files<'a>(&'a self, settings: &'a Path) -> Vec<&'a Path> {
        let named = [
            &self.gateway.tls.key,
            &self.mail.password_file,
            &self.mesh.private_key,
            &self.payments.stripe.key_file,
            &self.payments.stripe.webhook_secret_file,
            &self.payments.mollie.key_file,
        ];
        let named = named.into_iter().flatten().map(PathBuf::as_path);
        let payments = self.payments.secrets_files.iter().map(PathBuf::as_path);
        let has_some = !self.payments.secrets.is_empty();
        let settings = has_some.then_some(settings).into_iter();
        named.chain(payments).chain(settings).collect()
    }

    /// The faults of the files that settings name, and of templates; each with the setting
    /// that it is about, empty for none.
    pub(crate) fn faults_of_files(&self, folder: &Folder) -> Vec<(&'static str, String)> {
        let mut faults = notifications::faults_of_files(folder, &self.mail, &self.webhooks);
        let mut check = |setting, checked: Result<(), String>| {
            faults.extend(checked.err().map(|why| (setting, why)));
        };
        let certificate = gateway::certificate(folder, &self.gateway);
        check("gateway.tls.certificate", text_of(certificate.map(drop)));
        let secrets = self.payments.all_secrets();
        check("payments.secrets_files", text_of(secrets.map(drop)));
        let keys = self.payments.stripe.keys();
        check("payments.stripe.key_file", text_of(keys.map(drop)));
        let key = self.payments.mollie.key();
        check("payments.mollie.key_file", text_of(key.map(drop)));
        let MeshConfig { listen, connect, .. } = &self.mesh;
        let mutual = self.mesh.mutual_tls();
        let endpoints = ZenohEndpoints::alone().and_beyond(listen, connect, mutual);
        check("mesh.listen", text_of(endpoints.map(drop)));
        let named = [
            ("mesh.authority", &self.mesh.authority),
            ("mesh.certificate", &self.mesh.certificate),
            ("mesh.private_key", &self.mesh.private_key),
        ];
        for (setting, file) in named {
            if let Some(file) = file
                && let Err(error) = std::fs::File::open(file)
            {
                check(setting, Err(format!("{}: {error}", file.display())));
            }
        }
        faults
    }

    /// The settings that every service has.
    pub(crate) fn common(&self) -> chassis::Config {
        let Self { store, mesh, backup, .. } = self.clone();
        chassis::Config { store, mesh, backup }
    }

    /// The address of the shop on the web, without a slash at its end; that of a gateway which
    /// listens at `listen`, unless the settings name one.
    pub(crate) fn web_address(&self, listen: SocketAddr) -> String {
        let gateway = &self.gateway;
        match (&self.public_url, gateway.acme.domains.first()) {
            (Some(url), _) => url.trim_end_matches('/').to_owned(),
            (None, Some(domain)) => format!("https://{domain}"),
            (None, None) if gateway.is_secure() => format!("https://{listen}"),
            (None, None) => format!("http://{listen}"),
        }
    }

    /// The address of the shop on the web, for links in mail. A warning says if they would
    /// lead to this host only.
    fn public_url(&self) -> String {
        let gateway = &self.gateway;
        let is_known = self.known_url().is_some();
        if !is_known && self.mail.server.is_some() {
            tracing::warn!(
                listen = %gateway.listen,
                "links in mail lead to the address that the gateway listens at; set public_url to the shop's address on the web"
            );
        }
        self.web_address(gateway.listen)
    }

    /// The address of the shop on the web, if the settings name one.
    fn known_url(&self) -> Option<String> {
        let is_known = self.public_url.is_some() || !self.gateway.acme.domains.is_empty();
        is_known.then(|| self.web_address(self.gateway.listen))
    }

    /// The settings of notifications.
    pub(crate) fn notifications(&self) -> notifications::Config {
        let public_url = self.public_url();
        let Self { notifications, mail, webhooks, .. } = self.clone();
        notifications::Config { public_url, notifications, mail, webhooks }
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
                let public_url = config.known_url();
                let Self { orders, payments, tax, .. } = config;
                let config = orders::Config { orders, payments, tax, public_url };
                opener(orders::open, config)
            }
            ServiceName::Notifications => opener(notifications::open, self.notifications()),
            ServiceName::Gateway => opener(gateway::open, config.gateway),
        }
    }
}

fn text_of<T, E: ToString>(outcome: Result<T, E>) -> Result<T, String> {
    outcome.map_err(|error| error.to_string())
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

    /// The settings of a file and of variables, or all faults.
    fn read(file: &str, variables: &[(&str, &str)]) -> Result<LayeredSettings, Vec<String>> {
        let variables = variables
            .iter()
            .map(|(name, text)| (name.into(), text.into()));
        let sources = SettingSources {
            file: file.into(),
            variables: variables.collect(),
            arguments: vec!["KONBINI_DATA".into()],
            listen: None,
        };
        let faults = |faults: Vec<SettingFault>| faults.iter().map(ToString::to_string).collect();
        sources.read().map_err(faults)
    }

    fn parsed(file: &str) -> ShopConfig {
        read(file, &[]).unwrap().config
    }

    #[test]
    fn every_fault_is_reported_with_its_place() {
        assert_eq!(parsed(""), ShopConfig::default());
        let with_bom = parsed("\u{feff}[gateway]\r\nlisten = \"0.0.0.0:80\"\r\n");
        assert_eq!(with_bom.gateway.listen.port(), 80);
        let file = "publik_url = 1\n[gateway.limits]\nconnections = 15\nstreams = \"many\"\n\
            [password]\nmemory_kib = 1024\n[mail]\nserver = \"mail.example:587\"\n\
            from = \"shop@example.org\"\npassword = \"x\"\n[stores]\ncache_mib = 1\n\
            [payments]\nsecrets = \"whsec_abc\"\n[keys]\nrotate_days = 3 4\nrotate = 1\nx = 1\n";
        let variables = [
            ("KONBINI_DATA", "elsewhere"),
            ("KONBINI_FOO", "1"),
            ("KONBINI_GATEWAY_LISTN", "127.0.0.1:80"),
            ("KONBINI_KEYS_ROTATE_DAYS", "0"),
            ("KONBINI_STORE_CACHE_MIB", "lots"),
            ("PATH", "/bin"),
        ];
        let faults = read(file, &variables).unwrap_err();
        let expected = [
            "line 1: publik_url: there is no such setting; did you mean `public_url`?",
            "line 3: gateway.limits.connections: lower than 16",
            "line 4: gateway.limits.streams: invalid type: string \"many\", expected u32",
            "line 6: password.memory_kib: lower than 19456",
            "line 8: mail.server: must be a host's name or address alone; its port is mail.port",
            "line 10: mail.password: there is no such setting; did you mean `mail.password_file`?",
            "line 11: stores: there is no such setting; did you mean `store`?",
            "line 14: payments.secrets: invalid type: string \"(a secret)\", expected a sequence",
            "line 16: string values must be quoted, expected literal string",
            "line 17: keys.rotate: there is no such setting; did you mean `keys.rotate_days`?",
            "line 18: keys.x: there is no such setting; did you mean `keys.rotate_days`?",
            "KONBINI_FOO: there is no such setting",
            "KONBINI_GATEWAY_LISTN: there is no such setting; did you mean KONBINI_GATEWAY_LISTEN?",
            "KONBINI_KEYS_ROTATE_DAYS: lower than 1",
            "KONBINI_STORE_CACHE_MIB: invalid type: string \"lots\", expected u64",
        ];
        assert_eq!(faults, expected);
    }

    #[test]
    fn a_profile_stands_below_the_file_and_the_environment() {
        let limit = |settings: &LayeredSettings, name: &str| {
            let row = settings.rows().find(|(setting, ..)| setting == name);
            let (_, value, origin) = row.unwrap();
            (value.as_i64().unwrap(), origin)
        };
        let file = "profile = \"small\"\n[store]\ncache_mib = 2\n";
        let variables = [("KONBINI_GATEWAY_CACHE_MIB", "8")];
        let settings = read(file, &variables).unwrap();
        for (name, expected) in [
            ("store.cache_mib", (2, SettingOrigin::Line(3))),
            (
                "gateway.cache.mib",
                (8, SettingOrigin::Variable(variables[0].0.into())),
            ),
            ("products.cache_mib", (1, SettingOrigin::Profile)),
            ("keys.rotate_days", (90, SettingOrigin::Default)),
        ] {
            assert_eq!(limit(&settings, name), expected, "{name}");
        }
        let by_variable = read("", &[("KONBINI_PROFILE", "small")]).unwrap();
        assert_eq!(
            limit(&by_variable, "store.cache_mib"),
            (1, SettingOrigin::Profile)
        );
        let faults = read("profile = \"tiny\"", &[]).unwrap_err();
        assert!(faults[0].contains("`standard` or `small`"), "{faults:?}");
        let faults = read(
            "profile = \"small\"\n[gateway.limits]\nconnections = 100\n",
            &[],
        );
        assert_eq!(
            faults.unwrap_err().len(),
            1,
            "fewer connections than the profile's streams"
        );
    }

    #[test]
    fn a_variable_stands_over_the_file_and_has_the_type_of_its_setting() {
        let file = "[gateway]\nlisten = \"127.0.0.1:1\"\n\n[gateway.limits]\nwrite_ms = 20000\nhead_ms = 20000\n\
            [mail]\npatience_ms = 500\n";
        let secret = format!("whsec_{}", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let settings = read(
            file,
            &[
                ("KONBINI_GATEWAY_LIMITS_WRITE_MS", "30000"),
                ("KONBINI_GATEWAY_LISTEN", "127.0.0.1:2"),
                (
                    "KONBINI_GATEWAY_TRUSTED_PROXIES",
                    "10.0.0.0/8, 192.168.0.0/16",
                ),
                ("KONBINI_GATEWAY_CORS_ORIGINS", "https://a.example"),
                ("KONBINI_GATEWAY_COMPRESSION", "false"),
                ("KONBINI_NOTIFICATIONS_SHOP", "24"),
                ("KONBINI_ORDERS_UNPAID_EXPIRE_MINUTES", "60"),
                ("KONBINI_PAYMENTS_SECRETS", &secret),
                ("KONBINI_PRODUCTS_LOW_STOCK", "7"),
            ],
        )
        .unwrap();
        let changed: Vec<String> = settings
            .rows()
            .filter(|(_, _, origin)| *origin != SettingOrigin::Default)
            .map(|(name, value, origin)| format!("{name} = {value} {origin:?}"))
            .collect();
        let expected = [
            "gateway.compression = false Variable(\"KONBINI_GATEWAY_COMPRESSION\")",
            "gateway.cors.origins = [\"https://a.example\"] Variable(\"KONBINI_GATEWAY_CORS_ORIGINS\")",
            "gateway.limits.head_ms = 20000 Line(6)",
            "gateway.limits.write_ms = 30000 Variable(\"KONBINI_GATEWAY_LIMITS_WRITE_MS\")",
            "gateway.listen = \"127.0.0.1:2\" Variable(\"KONBINI_GATEWAY_LISTEN\")",
            "gateway.trusted_proxies = [\"10.0.0.0/8\",\"192.168.0.0/16\"] Variable(\"KONBINI_GATEWAY_TRUSTED_PROXIES\")",
            "mail.timeout_ms = 500 Line(8)",
            "notifications.shop = \"24\" Variable(\"KONBINI_NOTIFICATIONS_SHOP\")",
            "orders.unpaid_expire_minutes = 60 Variable(\"KONBINI_ORDERS_UNPAID_EXPIRE_MINUTES\")",
            "payments.secrets = [\"(a secret)\"] Variable(\"KONBINI_PAYMENTS_SECRETS\")",
            "products.low_stock = 7 Variable(\"KONBINI_PRODUCTS_LOW_STOCK\")",
        ];
        assert_eq!(changed, expected);
    }

    #[test]
    fn every_setting_has_a_variable_of_its_own() {
        let names = names::flattened(ShopConfig::default());
        let variables: std::collections::BTreeSet<_> =
            names.keys().map(|name| variable(name)).collect();
        assert_eq!(variables.len(), names.len());
        for taken in crate::shop::argument_variables() {
            assert!(!variables.contains(&taken), "{taken}");
        }
    }

    #[test]
    fn the_commented_file_has_every_setting_with_its_default() {
        let shipped = crate::generate::SETTINGS;
        assert_eq!(parsed(shipped), ShopConfig::default());
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
        parsed(&uncommented);
        let in_file = names::flattened(toml::from_str::<toml::Table>(&uncommented).unwrap());
        let defaults = names::flattened(ShopConfig::default());
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
            assert_eq!(parsed(text).public_url(), url);
        }
        for wrong in [
            "shop.example",
            "https://",
            "ftp://a.example",
            "https://a.example/#",
            "https://a.example/shop",
        ] {
            let text = format!("public_url = \"{wrong}\"");
            let faults = read(&text, &[]).unwrap_err();
            assert!(
                faults[0].starts_with("line 1: public_url: must be an address"),
                "{faults:?}"
            );
        }
    }
}
