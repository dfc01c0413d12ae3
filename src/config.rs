//! `konbini.toml`: the sections of all services, composed into one file.
//!
//! The file is read and checked wholly before anything is opened. Every setting has a default
//! that is right for one small host. **Invariant:** unknown names are refused, so that a
//! misspelt setting is never ignored; all settings outside their range are reported at once.

use std::path::Path;

use chassis::config::{MeshConfig, StoreConfig};
use chassis::{Error, Open, opener};
use notifications::config::{InboxConfig, MailConfig, WebhooksConfig};
use orders::config::{OrdersConfig, PaymentsConfig};
use serde::Deserialize;
use users::config::{KeysConfig, PasswordConfig};

use crate::service_name::ServiceName;

/// The settings of a shop.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ShopConfig {
    pub(crate) gateway: gateway::Config,
    store: StoreConfig,
    password: PasswordConfig,
    keys: KeysConfig,
    pub(crate) mesh: MeshConfig,
    products: products::Config,
    orders: OrdersConfig,
    payments: PaymentsConfig,
    notifications: InboxConfig,
    pub(crate) mail: MailConfig,
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
        chassis::config::all([
            config.gateway.check(),
            config.store.check(),
            config.password.check(),
            config.keys.check(),
            config.products.check(),
            config.orders.check(),
            config.payments.check(),
            config.notifications.check(),
            config.mail.check(),
            config.webhooks.check(),
        ])?;
        Ok(config)
    }

    /// The settings that every service has.
    pub(crate) fn common(&self) -> chassis::Config {
        let Self { store, mesh, .. } = self.clone();
        chassis::Config { store, mesh }
    }

    /// The entry point of a service, with its settings.
    pub(crate) fn open(&self, service: ServiceName) -> Open {
        let config = self.clone();
        match service {
            ServiceName::Users => {
                let (password, keys) = (config.password, config.keys);
                opener(users::open, users::Config { password, keys })
            }
            ServiceName::Products => opener(products::open, config.products),
            ServiceName::Orders => {
                let (orders, payments) = (config.orders, config.payments);
                opener(orders::open, orders::Config { orders, payments })
            }
            ServiceName::Notifications => {
                let Self { notifications, mail, webhooks, .. } = config;
                let config = notifications::Config { notifications, mail, webhooks };
                opener(notifications::open, config)
            }
            ServiceName::Gateway => opener(gateway::open, config.gateway),
        }
    }
}

#[cfg(test)]
mod tests {
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
        let text = "[password]\nmemory_kib = 1024\niterations = 1\n[keys]\nrotate_days = 0";
        let weak = ShopConfig::parse(text).unwrap_err();
        for setting in ["memory_kib", "iterations", "rotate_days"] {
            assert!(weak.contains(setting), "{weak}");
        }
    }
}
