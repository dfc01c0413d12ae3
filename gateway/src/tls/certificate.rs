//! The certificate in use, and reloading it from its files.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chassis::Error;
use model::Time;
use parking_lot::Mutex;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use webpki::EndEntityCert;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use crate::target::bare_host;

/// The ALPN protocol of a TLS-ALPN-01 validation (RFC 8737 §6.2).
pub(super) const CHALLENGE: &[u8] = b"acme-tls/1";

/// How often the files are checked for changes.
const CHECK_EVERY: Duration = Duration::from_secs(10);

/// The certificates that handshakes choose from.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    current: RwLock<Option<Arc<CertifiedKey>>>,
    /// Each name's certificate for a pending ACME challenge.
    challenges: RwLock<HashMap<String, Arc<CertifiedKey>>>,
}

impl Certificates {
    /// Uses `certified` for handshakes from now on. The metrics have its end, in seconds
    /// since 1970.
    pub(super) fn set(&self, certified: CertifiedKey) {
        let leaf = certified.cert.first();
        let parsed = leaf.and_then(|leaf| parse_x509_certificate(leaf).ok());
        if let Some((_, parsed)) = parsed {
            let expiry = parsed.validity().not_after.timestamp();
            metrics::gauge!("konbini_certificate_expiry_seconds", "service" => "gateway")
                .set(expiry as f64);
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Some(Arc::new(certified));
    }

    /// Whether the certificate in use is for a host (RFC 6125 §6.4).
    pub(super) fn is_for(&self, host: &str) -> bool {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let Some(certified) = &*current else {
            return false;
        };
        let name = ServerName::try_from(bare_host(host));
        let certificate = certified.end_entity_cert();
        let certificate = certificate.map(EndEntityCert::try_from);
        match (name, certificate) {
            (Ok(name), Ok(Ok(certificate))) => {
                certificate.verify_is_valid_for_subject_name(&name).is_ok()
            }
            _ => false,
        }
    }

    /// Sets or removes the certificate for the challenge of `name`.
    pub(super) fn challenge(&self, name: &str, proof: Option<CertifiedKey>) {
        let mut challenges = self
            .challenges
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        match proof {
            Some(proof) => challenges.insert(name.to_owned(), Arc::new(proof)),
            None => challenges.remove(name),
        };
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_challenge = hello
            .alpn()
            .is_some_and(|mut offered| offered.any(|one| one == CHALLENGE));
        if is_challenge {
            let challenges = self
                .challenges
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            return challenges.get(hello.server_name()?).cloned();
        }
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }
}

/// Parses a chain and its key from PEM, and checks that they match.
pub(super) fn certified(
    chain: &[u8],
    key: &[u8],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("the certificate cannot be read: {error}"))?;
    if chain.is_empty() {
        return Err("the file has no certificate".into());
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| format!("the private key cannot be read: {error}"))?;
    CertifiedKey::from_der(chain, key, provider)
        .map_err(|error| format!("the certificate and its key cannot be used: {error}"))
}

/// A certificate, as far as people look after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSummary {
    /// The host names that it is for.
    pub names: Vec<String>,
    /// When it ends.
    pub until: Time,
}

impl CertificateSummary {
    /// Reads a certificate in DER.
    pub(super) fn of(der: &[u8]) -> Result<Self, String> {
        let (_, parsed) = parse_x509_certificate(der).map_err(|error| error.to_string())?;
        let names = parsed.subject_alternative_name();
        let names = names.map_err(|error| error.to_string())?;
        let names = names.iter().flat_map(|names| &names.value.general_names);
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
        let until = parsed.validity().not_after.timestamp();
        Ok(Self {
            names: names.collect(),
            until: Time(until.saturating_mul(1_000)),
        })
    }
}

/// A certificate's files.
pub(super) struct Files {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// The state of both files by which a change is detected: modification time, size and
/// inode.
type State = [Option<(i64, i64, u64, u64)>; 2];

impl Files {
    /// Loads the files, and returns the watch that reloads them.
    ///
    /// # Errors
    /// [`Error::Config`] when they cannot be read or do not match.
    pub(super) fn watch(
        self,
        certificates: Arc<Certificates>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Watch, Error> {
        let seen = self.state();
        certificates.set(self.read(&provider)?);
        Ok(Watch { files: self, seen: Mutex::new(seen), certificates, provider })
    }

    pub(super) fn read(&self, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
        let Self { certificate, key } = self;
        let read = |file: &Path| {
            fs::read(file).map_err(|error| Error::Config(format!("{}: {error}", file.display())))
        };
        certified(&read(certificate)?, &read(key)?, provider).map_err(|why| {
            let (certificate, key) = (certificate.display(), key.display());
            Error::Config(format!("{certificate} with {key}: {why}"))
        })
    }

    fn state(&self) -> State {
        [&self.certificate, &self.key].map(|file| {
            let is = fs::metadata(file).ok()?;
            Some((is.mtime(), is.mtime_nsec(), is.size(), is.ino()))
        })
    }
}

/// Reloads files that have changed: checks them periodically, and when the process reloads.
pub(super) struct Watch {
    files: Files,
    seen: Mutex<State>,
    certificates: Arc<Certificates>,
    provider: Arc<CryptoProvider>,
}

impl Watch {
    /// Watches until it is dropped.
    pub(super) async fn run(&self) {
        loop {
            tokio::time::sleep(CHECK_EVERY).await;
            self.reload();
        }
    }

    /// Reads the files if they have changed.
    pub(super) fn reload(&self) {
        // Held until the certificate is in use: a second caller returns after that, too.
        let mut seen = self.seen.lock();
        let state = self.files.state();
        if state == *seen {
            return;
        }
        // Each new state is tried once; files that are half written change again.
        *seen = state;
        match self.files.read(&self.provider) {
            Ok(certified) => {
                self.certificates.set(certified);
                let file = self.files.certificate.display();
                tracing::info!(%file, "the certificate was reloaded");
            }
            Err(error) => {
                tracing::error!(%error, "the new certificate cannot be used; the old one stays");
            }
        }
    }
}
