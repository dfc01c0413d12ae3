//! `[webhooks]`: the delivery of events to other programs.

use std::path::PathBuf;

use garde::Validate;
use serde::{Deserialize, Serialize};

/// `[webhooks]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct WebhooksConfig {
    /// Whether private addresses are allowed: this host, its network, the cloud's
    /// metadata. An admin can then make this host send requests there.
    #[garde(skip)]
    pub allow_private: bool,
    /// Whether plain `http` is allowed.
    #[garde(skip)]
    pub allow_http: bool,
    /// PEM file of authorities that receivers' certificates may be signed by, beside the public
    /// ones.
    #[garde(skip)]
    pub authority: Option<PathBuf>,
    /// The pause after a first failed try, in milliseconds, 10..=3,600,000; each
    /// further one is twice as long, up to six hours.
    #[garde(range(min = 10, max = 3_600_000))]
    pub retry_first_ms: u64,
    /// For how many hours one message is tried, 1..=720.
    #[garde(range(min = 1, max = 720))]
    pub retry_hours: u32,
    /// After how many hours without any success a webhook is disabled, 1..=8,760.
    #[garde(range(min = 1, max = 8_760))]
    pub disable_after_hours: u32,
}

impl Default for WebhooksConfig {
    fn default() -> Self {
        Self {
            allow_private: false,
            allow_http: false,
            authority: None,
            retry_first_ms: 5_000,
            retry_hours: 24,
            disable_after_hours: 5 * 24,
        }
    }
}
