//! `konbini.toml`, read and checked in one place, before anything is opened.
//!
//! Every setting has a default that is right for one small host. Unknown names
//! are refused, so that a typo never passes for a setting.

pub mod gateway;
mod keys;
mod mail;
mod notifications;
mod orders;
mod products;
mod webhooks;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;

pub use self::gateway::{Acme, Cache, Cors, Gateway, Limits, Tls};
pub use self::keys::Keys;
pub use self::mail::{Mail, Security};
pub use self::notifications::Notifications;
pub use self::orders::{Orders, Payments, Secret};
pub use self::products::Products;
pub use self::webhooks::Webhooks;

/// The whole configuration of a shop.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The gateway's door.
    pub gateway: Gateway,
    /// The services' databases.
    pub store: Store,
    /// Password hashing.
    pub password: Password,
    /// The keys that sign access tokens.
    pub keys: Keys,
    /// Where events travel beyond this host.
    pub mesh: Mesh,
    /// The catalogue and its stock.
    pub products: Products,
    /// How long an order may stay unpaid.
    pub orders: Orders,
    /// Whose word counts for an order's being paid.
    pub payments: Payments,
    /// What people are told, and in which words.
    pub notifications: Notifications,
    /// How mail leaves the shop.
    pub mail: Mail,
    /// How other programs are told.
    pub webhooks: Webhooks,
}

/// `[store]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// How much of its database a service keeps in memory, in MiB, 1..=4096.
    pub cache_mib: u64,
}

impl Default for Store {
    fn default() -> Self {
        Self { cache_mib: 4 }
    }
}

/// `[password]`: argon2id (RFC 9106). The defaults are OWASP's minimum; raised
/// parameters take effect at a person's next login.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Password {
    /// Memory a hash takes, in KiB, at least 19,456.
    pub memory_kib: u32,
    /// Passes over that memory, at least 2.
    pub iterations: u32,
}

impl Default for Password {
    fn default() -> Self {
        Self { memory_kib: 19_456, iterations: 2 }
    }
}

/// `[mesh]`: endpoints beyond this host. A service's HTTP stays on loopback
/// whatever is said here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mesh {
    /// `tls/HOST:PORT` to listen on.
    pub listen: Vec<String>,
    /// `tls/HOST:PORT` of the others.
    pub connect: Vec<String>,
    /// PEM file of whoever signs the shop's certificates.
    pub authority: Option<PathBuf>,
    /// PEM file of this host's certificate.
    pub certificate: Option<PathBuf>,
    /// PEM file of its private key.
    pub private_key: Option<PathBuf>,
}

impl Config {
    /// The file's name in the data folder.
    pub const FILE: &'static str = "konbini.toml";

    /// Reads the file; without one, the defaults.
    ///
    /// # Errors
    /// [`Error::Config`] naming the file, the setting and the mend.
    pub fn read(file: &Path) -> Result<Self, Error> {
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
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        self.gateway.check()?;
        self.keys.check()?;
        self.products.check()?;
        self.orders.check()?;
        self.payments.check()?;
        self.notifications.check()?;
        self.mail.check()?;
        self.webhooks.check()?;
        let faults = [
            (
                !(1..=4096).contains(&self.store.cache_mib),
                "store.cache_mib must be 1..4096",
            ),
            (
                self.password.memory_kib < 19_456,
                "password.memory_kib must be at least 19456",
            ),
            (
                self.password.memory_kib > 1_048_576,
                "password.memory_kib must be at most 1048576",
            ),
            (
                !(2..=100).contains(&self.password.iterations),
                "password.iterations must be 2..100",
            ),
        ];
        let faults: Vec<_> = faults
            .iter()
            .filter(|(bad, _)| *bad)
            .map(|(_, why)| *why)
            .collect();
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults.join("; "))
        }
    }

    /// The certificates, when all three files are named.
    pub fn mutual_tls(&self) -> Option<mesh::MutualTls> {
        Some(mesh::MutualTls {
            authority: self.mesh.authority.clone()?,
            certificate: self.mesh.certificate.clone()?,
            private_key: self.mesh.private_key.clone()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_refusals() {
        assert_eq!(Config::parse("").unwrap(), Config::default());
        let config = Config::parse("[gateway]\nlisten = \"0.0.0.0:80\"").unwrap();
        assert_eq!(config.gateway.listen.port(), 80);
        let unknown = Config::parse("[store]\n\ncache = 3").unwrap_err();
        assert!(
            unknown.starts_with("line 3: unknown field `cache`"),
            "{unknown}"
        );
        let weak = Config::parse("[password]\nmemory_kib = 1024\niterations = 1").unwrap_err();
        assert!(
            weak.contains("memory_kib") && weak.contains("iterations"),
            "{weak}"
        );
    }
}
