//! `[gateway.monitoring]`: the address that is requested while all is well (a dead man's
//! switch). Off unless an address is set.

use std::fmt;
use std::time::Duration;

use chassis::config::ensure;
use garde::Validate;
use http::Uri;
use http::uri::Scheme;
use serde::{Deserialize, Serialize, Serializer};

/// `[gateway.monitoring]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct MonitoringConfig {
    /// The URL that is requested while all is well. It is the operator's own choice, so it may
    /// lead to a private address, and over plain HTTP.
    #[garde(inner(custom(PingUrl::check)))]
    pub ping_url: Option<PingUrl>,
    /// The interval of these requests in seconds, 1..=86,400.
    #[garde(range(min = 1, max = 86_400))]
    pub ping_seconds: u32,
}

impl Default for MonitoringConfig {
    fn default() -> Self {
        Self { ping_url: None, ping_seconds: 300 }
    }
}

impl MonitoringConfig {
    /// The interval of pings.
    pub(crate) fn interval(&self) -> Duration {
        Duration::from_secs(u64::from(self.ping_seconds))
    }
}

/// A URL whose path is a secret: who knows it can report this shop as well. Only its host is
/// ever printed or logged.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct PingUrl(String);

impl PingUrl {
    fn check(&self, _: &()) -> garde::Result {
        ensure(
            self.uri().is_some(),
            "must be an address that begins with https:// or http:// and names a host, without a user and a fragment",
        )
    }

    /// The URL, if it is one that can be requested.
    pub(crate) fn uri(&self) -> Option<Uri> {
        let uri: Uri = self.0.parse().ok()?;
        let is_http = [Scheme::HTTP, Scheme::HTTPS].contains(uri.scheme()?);
        let authority = uri.authority()?.as_str();
        // `Uri` drops a fragment.
        let is_plain = !authority.contains('@') && !self.0.contains('#');
        (is_http && is_plain && !authority.is_empty()).then_some(uri)
    }

    /// Its host, for logs and the status.
    pub(crate) fn host(&self) -> String {
        let uri = self.uri();
        let host = uri.as_ref().and_then(Uri::host);
        host.unwrap_or_default().to_owned()
    }
}

impl From<&str> for PingUrl {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for PingUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(a secret path at {})", self.host())
    }
}

impl Serialize for PingUrl {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{self:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_checked_and_its_path_never_shown() {
        for (url, host) in [
            ("https://hc-ping.example/4f1c", Some("hc-ping.example")),
            (
                "http://192.168.1.2:3001/api/push/x?status=up",
                Some("192.168.1.2"),
            ),
            ("http://[::1]/x", Some("[::1]")),
            ("ftp://a.example/x", None),
            ("https:///x", None),
            ("/x", None),
            ("a.example/x", None),
            ("https://me:secret@a.example/x", None),
            ("https://a.example/#x", None),
            ("https://a b.example/", None),
        ] {
            let settings =
                MonitoringConfig { ping_url: Some(url.into()), ..MonitoringConfig::default() };
            assert_eq!(settings.validate().is_ok(), host.is_some(), "{url}");
            let url = settings.ping_url.as_ref().unwrap();
            assert_eq!(url.host(), host.unwrap_or_default());
            let shown = format!("{settings:?} {}", serde_json::to_string(&settings).unwrap());
            for secret in ["4f1c", "push", "secret@"] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
    }
}
