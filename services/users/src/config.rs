//! The settings of users: `[users]`, `[password]` and `[keys]`.

use std::time::Duration;

use chassis::Role;
use garde::Validate;
use serde::{Deserialize, Serialize};

/// The sections of this service.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// The shop's name, as authenticator apps show it.
    pub shop: String,
    /// `[users]`
    pub users: UsersConfig,
    /// `[password]`
    pub password: PasswordConfig,
    /// `[keys]`
    pub keys: KeysConfig,
}

/// `[users]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct UsersConfig {
    /// The roles whose accounts need a second factor. One that has none can log in and enrol
    /// it, and nothing else.
    #[garde(skip)]
    pub require_second_factor: Vec<Role>,
}

/// `[password]`: argon2id (RFC 9106). The defaults are OWASP's minimum; raised
/// parameters take effect at a person's next login.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct PasswordConfig {
    /// Memory a hash takes, in KiB, at least 19,456.
    #[garde(range(min = 19_456, max = 1_048_576))]
    pub memory_kib: u32,
    /// Passes over that memory, at least 2.
    #[garde(range(min = 2, max = 100))]
    pub iterations: u32,
}

impl Default for PasswordConfig {
    fn default() -> Self {
        Self { memory_kib: 19_456, iterations: 2 }
    }
}

/// `[keys]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct KeysConfig {
    /// For how many days one key signs before another takes its place, 1..=3650.
    #[garde(range(min = 1, max = 3650))]
    pub rotate_days: u32,
}

impl Default for KeysConfig {
    fn default() -> Self {
        Self { rotate_days: 90 }
    }
}

impl KeysConfig {
    /// How long one key signs.
    pub fn rotate_every(&self) -> Duration {
        Duration::from_secs(u64::from(self.rotate_days) * 24 * 3600)
    }
}
