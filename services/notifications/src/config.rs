//! The settings of notifications: `[notifications]`, `[mail]` and `[webhooks]`.

mod mail;
mod webhooks;

use chassis::config::ensure;
use garde::Validate;
use serde::{Deserialize, Serialize};

pub use self::mail::{MailConfig, Security};
pub use self::webhooks::WebhooksConfig;

/// The sections of this service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// The address of the shop on the web, which links in mail begin with; no slash at its
    /// end.
    pub public_url: String,
    /// `[notifications]`
    pub notifications: InboxConfig,
    /// `[mail]`
    pub mail: MailConfig,
    /// `[webhooks]`
    pub webhooks: WebhooksConfig,
}

/// `[notifications]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct InboxConfig {
    /// The shop's name, as messages say it. 1..=100 characters.
    #[garde(length(chars, min = 1, max = 100))]
    #[garde(custom(|_, _| ensure(!self.shop.chars().any(char::is_control), "must be one line")))]
    pub shop: String,
    /// The address of the shop's logo, an image that mails show in place of the name.
    #[garde(custom(|_, _| ensure(
        self.shop_logo.as_deref().is_none_or(is_image),
        "must be an address that begins with https://, of at most 500 characters",
    )))]
    pub shop_logo: Option<String>,
    /// The shop's postal address, at the end of mails. At most 10 lines of 100 characters.
    #[garde(length(max = 10), inner(length(chars, min = 1, max = 100)))]
    #[garde(custom(|_, _| ensure(
        !self.shop_address.iter().any(|line| line.contains(char::is_control)),
        "each must be one line",
    )))]
    pub shop_address: Vec<String>,
    /// The default language: a folder's name below
    /// `DATA/templates`, or one that is built in (`en`, `de`).
    #[garde(length(min = 1, max = 35), custom(is_language_tag))]
    pub language: String,
    /// How many entries an inbox keeps at least, 1..=1,000,000; up to 64 more are dropped at once.
    #[garde(range(min = 1, max = 1_000_000))]
    pub entries_max: u64,
    /// For how many days it keeps them, 1..=36,500.
    #[garde(range(min = 1, max = 36_500))]
    pub days_max: u32,
}

impl Default for InboxConfig {
    /// 400 days: a year and a month.
    fn default() -> Self {
        Self {
            shop: "konbini".into(),
            shop_logo: None,
            shop_address: Vec::new(),
            language: "en".into(),
            entries_max: 10_000,
            days_max: 400,
        }
    }
}

fn is_image(address: &str) -> bool {
    let is_visible = |byte: u8| byte.is_ascii_graphic() && !b"\"<>".contains(&byte);
    address.starts_with("https://") && address.len() <= 500 && address.bytes().all(is_visible)
}

fn is_language_tag(text: &str, _: &()) -> garde::Result {
    let is_tag = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    ensure(
        text.bytes().all(is_tag),
        "must be a language tag such as en or de-AT",
    )
}
