//! The settings of notifications: `[notifications]`, `[mail]` and `[webhooks]`.

mod mail;
mod webhooks;

use serde::{Deserialize, Serialize};

pub use self::mail::{MailConfig, Security};
pub use self::webhooks::WebhooksConfig;

/// The sections of this service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// `[notifications]`
    pub notifications: InboxConfig,
    /// `[mail]`
    pub mail: MailConfig,
    /// `[webhooks]`
    pub webhooks: WebhooksConfig,
}

/// `[notifications]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InboxConfig {
    /// The shop's name, as messages say it. 1..=100 characters.
    pub shop: String,
    /// The default language: a folder's name below
    /// `DATA/templates`, or one that is built in (`en`, `de`).
    pub language: String,
    /// How many entries an inbox keeps, 1..=1,000,000.
    pub entries_max: u64,
    /// For how many days it keeps them, 1..=36,500.
    pub days_max: u32,
}

impl Default for InboxConfig {
    /// 400 days: a year and a month.
    fn default() -> Self {
        Self {
            shop: "konbini".into(),
            language: "en".into(),
            entries_max: 10_000,
            days_max: 400,
        }
    }
}

impl InboxConfig {
    /// Checks what serde does not.
    ///
    /// # Errors
    /// The setting at fault and its range.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=100).contains(&self.shop.chars().count())
            || self.shop.chars().any(char::is_control)
        {
            return Err("notifications.shop must be one line of 1..100 characters".into());
        }
        let is_tag = |tag: &str| {
            (1..=35).contains(&tag.len())
                && tag
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if !is_tag(&self.language) {
            return Err("notifications.language must be a language tag such as en or de-AT".into());
        }
        chassis::config::ranges(&[
            ("notifications.entries_max", self.entries_max, 1..=1_000_000),
            ("notifications.days_max", self.days_max.into(), 1..=36_500),
        ])
    }
}
