//! `[webhooks]`: how other programs are told.

use serde::{Deserialize, Serialize};

/// `[webhooks]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhooks {
    /// Whether they may lead to addresses that the internet does not: this host,
    /// its network, the cloud's metadata. Whoever is admin here can then make this
    /// host send requests there.
    pub allow_private: bool,
    /// Whether they may go unencrypted, over `http`.
    pub allow_http: bool,
    /// The pause after a first failed try, in milliseconds, 10..=3,600,000; each
    /// further one is twice as long, up to six hours.
    pub retry_first_ms: u64,
    /// For how many hours one message is tried, 1..=720.
    pub retry_hours: u32,
    /// After how many hours without any success a webhook is disabled, 1..=8,760.
    pub disable_after_hours: u32,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self {
            allow_private: false,
            allow_http: false,
            retry_first_ms: 5_000,
            retry_hours: 24,
            disable_after_hours: 5 * 24,
        }
    }
}

impl Webhooks {
    pub(super) fn check(&self) -> Result<(), String> {
        if !(10..=3_600_000).contains(&self.retry_first_ms) {
            return Err("webhooks.retry_first_ms must be 10..3600000".into());
        }
        if !(1..=720).contains(&self.retry_hours) {
            return Err("webhooks.retry_hours must be 1..720".into());
        }
        if !(1..=8_760).contains(&self.disable_after_hours) {
            return Err("webhooks.disable_after_hours must be 1..8760".into());
        }
        Ok(())
    }
}
