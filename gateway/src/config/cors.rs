//! `[gateway.cors]`: access by scripts of other sites.

use serde::{Deserialize, Serialize};

/// `[gateway.cors]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CorsConfig {
    /// Origins whose scripts may read responses: `["*"]` for any, or exact origins such as
    /// `https://shop.example`, at most 64.
    pub origins: Vec<String>,
    /// Whether browsers may send credentials (cookies and client certificates); only for
    /// exact origins. The shop itself needs none.
    pub credentials: bool,
    /// How long a browser may cache a preflight response, in seconds, 0..=86,400; browsers
    /// cap it at two hours or less.
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

    /// Checks what serde does not.
    ///
    /// # Errors
    /// The setting at fault and its range.
    pub fn check(&self) -> Result<(), String> {
        if self.max_age_seconds > 86_400 {
            return Err("gateway.cors.max_age_seconds must be 0..86400".into());
        }
        if self.origins.len() > 64 {
            return Err("gateway.cors.origins must be at most 64".into());
        }
        if self.is_for_anybody() {
            if self.credentials {
                return Err(
                    "gateway.cors.credentials needs exact origins: with \"*\" any site could act as the browser's owner".into(),
                );
            }
            if self.origins.len() > 1 {
                return Err("gateway.cors.origins is either [\"*\"] or exact origins".into());
            }
            return Ok(());
        }
        match self.origins.iter().find(|origin| !is_origin(origin)) {
            Some(origin) => Err(format!(
                "gateway.cors.origins: {origin:?} is not an origin: a scheme, a host in lower case and an optional port, such as https://shop.example"
            )),
            None => Ok(()),
        }
    }
}

/// As a browser would write it (RFC 6454 §6.2).
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else {
        return false;
    };
    let is_host =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._:[]".contains(&byte);
    matches!(scheme, "http" | "https") && !host.is_empty() && host.bytes().all(is_host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_need_exact_origins() {
        let check = |origins: &[&str], credentials| {
            let origins = origins.iter().map(|&origin| origin.into()).collect();
            let cors = CorsConfig { origins, credentials, ..CorsConfig::default() };
            cors.check().is_ok()
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
