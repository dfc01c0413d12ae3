//! `[gateway.tls]`: the certificate of the public address, the redirect to HTTPS and HSTS.

use std::net::SocketAddr;
use std::path::PathBuf;

use garde::Validate;
use serde::{Deserialize, Serialize};

use chassis::config::{credential, ensure};

use super::AcmeConfig;

/// The names of the systemd credentials for the certificate and its key.
const CREDENTIALS: (&str, &str) = ("tls_certificate", "tls_key");

/// `[gateway.tls]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(context(AcmeConfig as acme))]
#[garde(custom(|_, _| ensure(
    !self.is_named() || self.files().is_some(),
    "needs both `certificate` and `key`",
)))]
pub struct TlsConfig {
    /// PEM file with the certificate and then its issuers
    /// [default: the systemd credential `tls_certificate`].
    #[garde(custom(|_, _| ensure(
        !self.is_named() || !acme.is_on(),
        "must not be set with gateway.acme.domains: choose one source of certificates",
    )))]
    pub certificate: Option<PathBuf>,
    /// PEM file with its private key [default: the systemd credential `tls_key`].
    #[garde(skip)]
    pub key: Option<PathBuf>,
    /// The address at which plain HTTP is redirected to HTTPS, such as `0.0.0.0:80`.
    #[garde(custom(|_, _| ensure(
        self.redirect_listen.is_none() || acme.is_on() || self.files().is_some(),
        "needs a certificate: without one there is no HTTPS to redirect to",
    )))]
    pub redirect_listen: Option<SocketAddr>,
    /// The days for which browsers shall insist on HTTPS (HSTS, RFC 6797), 0..=730; 0 sends
    /// no such header.
    #[garde(range(max = 730))]
    pub hsts_days: u32,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            certificate: None,
            key: None,
            redirect_listen: None,
            hsts_days: 365,
        }
    }
}

impl TlsConfig {
    fn is_named(&self) -> bool {
        self.certificate.is_some() || self.key.is_some()
    }

    /// The files of the certificate and its key, when there are both.
    pub fn files(&self) -> Option<(PathBuf, PathBuf)> {
        let or_credential =
            |named: &Option<PathBuf>, name| named.clone().or_else(|| credential(name));
        Some((
            or_credential(&self.certificate, CREDENTIALS.0)?,
            or_credential(&self.key, CREDENTIALS.1)?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_needs_its_key_and_a_single_source() {
        let acme = AcmeConfig {
            domains: vec!["shop.example".into()],
            ..AcmeConfig::default()
        };
        let files = TlsConfig {
            certificate: Some("c.pem".into()),
            key: Some("k.pem".into()),
            redirect_listen: Some(([0, 0, 0, 0], 80).into()),
            ..TlsConfig::default()
        };
        files.validate_with(&AcmeConfig::default()).unwrap();
        assert!(files.validate_with(&acme).is_err());
        let keyless = TlsConfig { key: None, ..files.clone() };
        assert!(keyless.validate_with(&AcmeConfig::default()).is_err());
        let bare = TlsConfig { certificate: None, key: None, ..files };
        assert!(bare.validate_with(&AcmeConfig::default()).is_err());
        bare.validate_with(&acme).unwrap();
    }
}
