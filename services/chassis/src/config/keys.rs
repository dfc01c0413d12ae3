//! `[keys]`: the keys that sign access tokens.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// `[keys]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keys {
    /// For how many days one key signs before another takes its place, 1..=3650.
    pub rotate_days: u32,
}

impl Default for Keys {
    fn default() -> Self {
        Self { rotate_days: 90 }
    }
}

impl Keys {
    /// How long one key signs.
    pub fn rotate_every(&self) -> Duration {
        Duration::from_secs(u64::from(self.rotate_days) * 24 * 3600)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if (1..=3650).contains(&self.rotate_days) {
            Ok(())
        } else {
            Err("keys.rotate_days must be 1..3650".into())
        }
    }
}
