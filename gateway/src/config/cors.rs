//! `[gateway.cors]`: access by scripts of other sites.

use chassis::config::ensure;
use garde::Validate;
use serde::{Deserialize, Serialize};

/// `[gateway.cors]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct CorsConfig {
    /// Origins whose scripts may read responses: `["*"]` for any, or exact origins such as
    /// `https://shop.example`, at most 64.
    #[garde(length(max = 64), inner(custom(is_origin)))]
    #[garde(custom(|_, _| ensure(
        !self.is_for_anybody() || self.origins.len() == 1,
        "must be either [\"*\"] or exact origins",
    )))]
    pub origins: Vec<String>,
    /// Whether browsers may send credentials (cookies and client certificates); only for
    /// exact origins. The shop itself needs none.
    #[garde(custom(|_, _| ensure(
        !self.credentials || !self.is_for_anybody(),
        "needs exact origins: with \"*\" any site could act as the browser's owner",
    )))]
    pub credentials: bool,
    /// How long a browser may cache a preflight response, in seconds, 0..=86,400; browsers
    /// cap it at two hours or less.
    #[garde(range(max = 86_400))]
    pub max_age_seconds: u32,
}

impl Default for CorsConfig {
    fn default() -> Self {
        Self {
            origins: vec!["*".into()],
            credentials: false,
            max_age_seconds: 86_400,
        }
    }
}

impl CorsConfig {
    /// Whether scripts of any site may read responses.
    pub fn is_for_anybody(&self) -> bool {
        self.origins.iter().any(|origin| origin == "*")
    }
}

/// `*`, or an origin as a browser would write it (RFC 6454 §6.2).
fn is_origin(text: &str, _: &()) -> garde::Result {
    let (scheme, host) = text.split_once("://").unwrap_or_default();
    let is_host =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._:[]".contains(&byte);
    let is_exact =
        matches!(scheme, "http" | "https") && !host.is_empty() && host.bytes().all(is_host);
    ensure(
        text == "*" || is_exact,
        format_args!(
            "{text:?} is not an origin: a scheme, a host in lower case and an optional port, such as https://shop.example"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_need_exact_origins() {
        let check = |origins: &[&str], credentials| {
            let origins = origins.iter().map(|&origin| origin.into()).collect();
            let cors = CorsConfig { origins, credentials, ..CorsConfig::default() };
            cors.validate().is_ok()
        };
        assert!(check(&["*"], false) && check(&[], false));
        assert!(check(&["https://shop.test", "http://[::1]:3000"], true));
        assert!(!check(&["*"], true) && !check(&["*", "https://shop.test"], false));
        for wrong in [
            "shop.test",
            "https://shop.test/",
            "https://Shop.test",
            "null",
            "https://",
        ] {
            assert!(!check(&[wrong], false), "{wrong}");
        }
    }
}
