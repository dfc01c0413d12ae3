//! The settings of payment providers: `[payments.stripe]` and `[payments.mollie]`.
//!
//! A provider is offered once its key is there: in the file that the settings name, or among
//! systemd's credentials. **Invariant:** no key is in the settings themselves, so none is printed.

use std::fmt;
use std::path::PathBuf;

use chassis::Error;
use chassis::config::{credential, ensure};
use garde::Validate;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// The keys' names among systemd's credentials.
const STRIPE_KEY: &str = "stripe_key";
const STRIPE_WEBHOOK_SECRET: &str = "stripe_webhook_secret";
const MOLLIE_KEY: &str = "mollie_key";

/// Bytes of a file with keys, several times those of any.
const KEYS_BYTES_MAX: usize = 4_096;

/// `[payments.stripe]`: payment at Stripe's Checkout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct StripeConfig {
    /// The file with the secret key, `sk_…`, or a restricted one, `rk_…` [default: the systemd
    /// credential `stripe_key`]; without either, the method is not offered.
    #[garde(skip)]
    pub key_file: Option<PathBuf>,
    /// The file with the webhook's secrets, `whsec_…`, one a line [default: the systemd
    /// credential `stripe_webhook_secret`].
    #[garde(skip)]
    pub webhook_secret_file: Option<PathBuf>,
    /// Where its API is: https, or http on this host.
    #[garde(custom(is_api))]
    pub api_url: String,
}

impl Default for StripeConfig {
    fn default() -> Self {
        Self {
            key_file: None,
            webhook_secret_file: None,
            api_url: "https://api.stripe.com".into(),
        }
    }
}

/// What Stripe is asked with.
pub struct StripeKeys {
    /// The key of the account.
    pub key: String,
    /// The secrets of webhooks that are valid now.
    pub webhook_secrets: Vec<String>,
}

impl fmt::Debug for StripeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secrets)")
    }
}

impl StripeConfig {
    /// The keys, if there is one.
    ///
    /// # Errors
    /// [`Error::Config`] for a file that cannot be read or holds something else.
    pub fn keys(&self) -> Result<Option<StripeKeys>, Error> {
        let key = one_line(self.key_file.clone().or_else(|| credential(STRIPE_KEY)))?;
        let secrets = self.webhook_secret_file.clone();
        let webhook_secrets = lines(secrets.or_else(|| credential(STRIPE_WEBHOOK_SECRET)))?;
        Ok(key.map(|key| StripeKeys { key, webhook_secrets }))
    }
}

/// `[payments.mollie]`: payment at Mollie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct MollieConfig {
    /// The file with the API key, `live_…` or `test_…` [default: the systemd credential
    /// `mollie_key`]; without either, the method is not offered.
    #[garde(skip)]
    pub key_file: Option<PathBuf>,
    /// Where its API is: https, or http on this host.
    #[garde(custom(is_api))]
    pub api_url: String,
}

impl Default for MollieConfig {
    fn default() -> Self {
        Self { key_file: None, api_url: "https://api.mollie.com".into() }
    }
}

impl MollieConfig {
    /// The key, if there is one.
    ///
    /// # Errors
    /// [`Error::Config`] for a file that cannot be read or holds something else.
    pub fn key(&self) -> Result<Option<String>, Error> {
        one_line(self.key_file.clone().or_else(|| credential(MOLLIE_KEY)))
    }
}

fn one_line(file: Option<PathBuf>) -> Result<Option<String>, Error> {
    let name = file.as_ref().map(|file| file.display().to_string());
    let mut lines = lines(file)?;
    match (name, lines.len()) {
        (None, _) => Ok(None),
        (Some(_), 1) => Ok(lines.pop()),
        (Some(name), _) => Err(Error::Config(format!(
            "{name}: it must have one line, the key"
        ))),
    }
}

/// The lines of a file with keys that are not blank.
fn lines(file: Option<PathBuf>) -> Result<Vec<String>, Error> {
    let Some(file) = file else {
        return Ok(Vec::new());
    };
    let failed = |why: String| Error::Config(format!("{}: {why}", file.display()));
    let text = std::fs::read_to_string(&file).map_err(|error| failed(error.to_string()))?;
    let lines: Vec<_> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let is_key = |line: &&str| line.bytes().all(|byte| byte.is_ascii_graphic());
    match !lines.is_empty() && text.len() <= KEYS_BYTES_MAX && lines.iter().all(is_key) {
        true => Ok(lines.into_iter().map(str::to_owned).collect()),
        false => Err(failed(
            "it must have keys of visible ASCII, one a line".into(),
        )),
    }
}

/// A key must not cross a network in the clear.
fn is_api(url: &str, (): &()) -> garde::Result {
    let url = Url::parse(url).ok();
    let is_safe = url.is_some_and(|url| match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(Host::Domain(name))) => name == "localhost",
        ("http", Some(Host::Ipv4(address))) => address.is_loopback(),
        ("http", Some(Host::Ipv6(address))) => address.is_loopback(),
        _ => false,
    });
    ensure(is_safe, "an https URL, or an http one of this host")
}

pub(super) fn is_origin(origin: &str, (): &()) -> garde::Result {
    let url = Url::parse(origin).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
    let is_origin = url.is_some_and(|url| url.origin().ascii_serialization() == origin);
    ensure(
        is_origin,
        "an origin such as https://shop.example, without a path",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_origins() {
        for (url, is_safe) in [
            ("https://api.stripe.com", true),
            ("http://127.0.0.1:8420", true),
            ("http://localhost:8420/", true),
            ("http://[::1]:1", true),
            ("http://api.stripe.com", false),
            ("http://localhost.example", false),
            ("ftp://127.0.0.1", false),
            ("stripe", false),
        ] {
            assert_eq!(is_api(url, &()).is_ok(), is_safe, "{url}");
        }
        for (origin, is_one) in [
            ("https://shop.example", true),
            ("http://localhost:3000", true),
            ("https://shop.example/", false),
            ("https://shop.example:443", false),
            ("https://Shop.example", false),
            ("shop.example", false),
            ("*", false),
        ] {
            assert_eq!(super::is_origin(origin, &()).is_ok(), is_one, "{origin}");
        }
    }

    #[test]
    fn keys_are_read_from_their_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let mollie = MollieConfig { key_file: Some(file.clone()), ..MollieConfig::default() };
        assert_eq!(MollieConfig::default().key().unwrap(), None);
        assert!(mollie.key().unwrap_err().to_string().contains("key"));
        for (text, key) in [
            ("test_1\n", Some("test_1")),
            ("\n test_1 ", Some("test_1")),
            ("", None),
            ("a\nb", None),
            ("a b", None),
            ("ü", None),
        ] {
            std::fs::write(&file, text).unwrap();
            let read = mollie.key().ok().flatten();
            assert_eq!(read.as_deref(), key, "{text:?}");
        }
        std::fs::write(&file, "whsec_1\nwhsec_2\n").unwrap();
        let key = folder.path().join("one");
        std::fs::write(&key, "sk_test_1").unwrap();
        let stripe = StripeConfig {
            key_file: Some(key),
            webhook_secret_file: Some(file),
            ..StripeConfig::default()
        };
        let keys = stripe.keys().unwrap().unwrap();
        assert_eq!(
            (keys.key.as_str(), keys.webhook_secrets.len()),
            ("sk_test_1", 2)
        );
        assert_eq!(format!("{keys:?}"), "(secrets)");
    }
}
