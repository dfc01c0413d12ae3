//! `[gateway.tls]`: the door's certificate, and what else makes it secure.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Acme;

/// The certificate's and its key's names among systemd's credentials.
const CREDENTIALS: (&str, &str) = ("tls_certificate", "tls_key");

/// `[gateway.tls]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the certificate and those that vouch for it, its own first
    /// [default: the systemd credential `tls_certificate`].
    pub certificate: Option<PathBuf>,
    /// PEM file with its private key [default: the systemd credential `tls_key`].
    pub key: Option<PathBuf>,
    /// Where plain HTTP is sent on to HTTPS from, such as `0.0.0.0:80`.
    pub redirect_listen: Option<SocketAddr>,
    /// For how many days browsers are told to insist on HTTPS (RFC 6797),
    /// 0..=730; 0: they are not told.
    pub hsts_days: u32,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            certificate: None,
            key: None,
            redirect_listen: None,
            hsts_days: 365,
        }
    }
}

impl Tls {
    pub(super) fn check(&self, acme: &Acme) -> Result<(), String> {
        let named = self.certificate.is_some() || self.key.is_some();
        if named && self.files().is_none() {
            return Err("gateway.tls needs both, a certificate and its key".into());
        }
        if named && acme.is_on() {
            return Err(
                "gateway.tls.certificate must not be set with gateway.acme.domains: one of them makes the certificate".into(),
            );
        }
        if self.redirect_listen.is_some() && !acme.is_on() && self.files().is_none() {
            return Err(
                "gateway.tls.redirect_listen needs a certificate: there is no HTTPS to send anyone to".into(),
            );
        }
        if self.hsts_days > 730 {
            return Err("gateway.tls.hsts_days must be 0..730".into());
        }
        Ok(())
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

/// `$CREDENTIALS_DIRECTORY/NAME` (systemd.exec(5)).
#[expect(clippy::disallowed_methods, reason = "configuration is read here")]
fn credential(name: &str) -> Option<PathBuf> {
    let folder = std::env::var("CREDENTIALS_DIRECTORY").ok()?;
    Some(Path::new(&folder).join(name)).filter(|file| file.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_comes_with_its_key_and_from_one_place() {
        let acme = Acme { domains: vec!["shop.example".into()], ..Acme::default() };
        let files = Tls {
            certificate: Some("c.pem".into()),
            key: Some("k.pem".into()),
            redirect_listen: Some(([0, 0, 0, 0], 80).into()),
            ..Tls::default()
        };
        assert_eq!(files.check(&Acme::default()), Ok(()));
        assert!(files.check(&acme).is_err());
        let keyless = Tls { key: None, ..files.clone() };
        assert!(keyless.check(&Acme::default()).is_err());
        let bare = Tls { certificate: None, key: None, ..files };
        assert!(bare.check(&Acme::default()).is_err());
        assert_eq!(bare.check(&acme), Ok(()));
    }
}
