//! `[notifications]`: what people are told, and in which words.

use serde::{Deserialize, Serialize};

/// `[notifications]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Notifications {
    /// The shop's name, as messages say it. 1..=100 characters.
    pub shop: String,
    /// The language of whoever did not say what they read: a folder's name below
    /// `DATA/templates`, or one that is built in (`en`, `de`).
    pub language: String,
    /// How many entries an inbox keeps, 1..=1,000,000.
    pub entries_max: u64,
    /// For how many days it keeps them, 1..=36,500.
    pub days_max: u32,
}

impl Default for Notifications {
    /// 400 days: a year, and what was forgotten of it.
    fn default() -> Self {
        Self {
            shop: "konbini".into(),
            language: "en".into(),
            entries_max: 10_000,
            days_max: 400,
        }
    }
}

impl Notifications {
    pub(super) fn check(&self) -> Result<(), String> {
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
        if !(1..=1_000_000).contains(&self.entries_max) {
            return Err("notifications.entries_max must be 1..1000000".into());
        }
        if !(1..=36_500).contains(&self.days_max) {
            return Err("notifications.days_max must be 1..36500".into());
        }
        Ok(())
    }
}
