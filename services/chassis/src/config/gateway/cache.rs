//! `[gateway.cache]`: public answers that the gateway keeps.

use serde::{Deserialize, Serialize};

/// `[gateway.cache]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// How much memory they may take, in MiB, 0..=4096; 0 keeps none.
    pub mib: u64,
}

impl Default for Cache {
    fn default() -> Self {
        Self { mib: 16 }
    }
}

impl Cache {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.mib > 4096 {
            return Err("gateway.cache.mib must be 0..4096".into());
        }
        Ok(())
    }
}
