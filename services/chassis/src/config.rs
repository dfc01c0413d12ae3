//! The settings that every service has: `[store]`, `[mesh]` and `[backup]`.
//!
//! Each service owns the sections about its own domain; the binary composes the file. The
//! helpers here are theirs too.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use garde::Validate;
use serde::{Deserialize, Serialize};

/// The sections of every service.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// `[store]`
    pub store: StoreConfig,
    /// `[mesh]`
    pub mesh: MeshConfig,
    /// `[backup]`
    pub backup: BackupConfig,
}

/// `[store]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// The database cache of a service, in MiB, 1..=4096.
    #[garde(range(min = 1, max = 4096))]
    pub cache_mib: u64,
    /// For how many days a service keeps events that all others have applied, 1..=36500.
    #[garde(range(min = 1, max = 36_500))]
    pub events_days: u64,
}

impl StoreConfig {
    /// The age up to which events are kept, even if every follower has applied them.
    pub(crate) fn events_kept(&self) -> Duration {
        Duration::from_secs(self.events_days * 24 * 60 * 60)
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { cache_mib: 4, events_days: 90 }
    }
}

/// `[backup]`: what is expected of the command that makes backups.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct BackupConfig {
    /// The age in hours from which on the last backup is overdue, 1..=8,760; without it, none
    /// is expected. Somewhat more than the interval of backups, which take their time.
    #[garde(range(min = 1, max = 8_760))]
    pub expected_hours: Option<u32>,
}

impl BackupConfig {
    /// The age from which on the last backup is overdue.
    pub fn age_max(&self) -> Option<Duration> {
        let hours = u64::from(self.expected_hours?);
        Some(Duration::from_secs(hours * 60 * 60))
    }
}

/// `[mesh]`: endpoints beyond this host. A service's HTTP stays on loopback
/// regardless.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MeshConfig {
    /// `tls/HOST:PORT` to listen on.
    pub listen: Vec<String>,
    /// `tls/HOST:PORT` of the other hosts.
    pub connect: Vec<String>,
    /// PEM file of the authority that signs the shop's certificates.
    pub authority: Option<PathBuf>,
    /// PEM file of this host's certificate.
    pub certificate: Option<PathBuf>,
    /// PEM file of its private key.
    pub private_key: Option<PathBuf>,
}

impl MeshConfig {
    /// The certificates, when all three files are named.
    pub fn mutual_tls(&self) -> Option<mesh::MutualTls> {
        Some(mesh::MutualTls {
            authority: self.authority.clone()?,
            certificate: self.certificate.clone()?,
            private_key: self.private_key.clone()?,
        })
    }
}

/// A rule of a setting that garde does not have.
///
/// # Errors
/// The sentence `why`, unless the rule `holds`.
pub fn ensure(holds: bool, why: impl fmt::Display) -> garde::Result {
    match holds {
        true => Ok(()),
        false => Err(garde::Error::new(why)),
    }
}

/// The file of a systemd credential, `$CREDENTIALS_DIRECTORY/NAME` (systemd.exec(5)), if it
/// exists.
#[expect(clippy::disallowed_methods, reason = "configuration is read here")]
pub fn credential(name: &str) -> Option<PathBuf> {
    let folder = std::env::var("CREDENTIALS_DIRECTORY").ok()?;
    Some(Path::new(&folder).join(name)).filter(|file| file.exists())
}
