//! ACME client (RFC 8555): certificates are obtained and renewed automatically, proven by
//! TLS-ALPN-01 (RFC 8737) on the same port.
//!
//! Until the first certificate is issued every handshake fails, which the log explains.
//!
//! **Invariants:** the account and the certificate are in one private file that is whole or
//! absent; an order is made only when there is no certificate, the names changed, or a third
//! of its life is left; failures are retried with exponential backoff, so that the
//! authority's rate limits are never used up.

mod http;
mod order;

use crate::config::AcmeConfig;
use std::sync::Arc;
use std::time::Duration;

use chassis::{Context, Error, Folder};
use instant_acme::{Account, AccountCredentials, NewAccount};
use serde::{Deserialize, Serialize};
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use x509_parser::parse_x509_certificate;

use self::http::AuthorityClient;
use super::certificate::{Certificates, certified};

/// The name of the secret in the gateway's `data_dir`.
const SECRET: &str = "acme";

/// How often the gateway checks whether a renewal is due. One long sleep would be wrong,
/// because the clock of a host may jump.
const CHECK_EVERY: Duration = Duration::from_secs(60 * 60);

/// Exponential backoff after failures. An authority allows some five failed validations of
/// a name in an hour.
const RETRY_FIRST: Duration = Duration::from_secs(5 * 60);
const RETRY_MAX: Duration = Duration::from_secs(6 * 60 * 60);

/// The account and the certificate, and the authority they belong to.
#[derive(Serialize, Deserialize)]
struct StoredState {
    directory: String,
    account: AccountCredentials,
    issued: Option<Issued>,
}

/// A certificate.
#[derive(Clone, Serialize, Deserialize)]
struct Issued {
    domains: Vec<String>,
    /// The certificate and its issuers, PEM.
    chain: String,
    /// Its private key, PEM.
    key: String,
}

impl Issued {
    /// When it should be renewed, in seconds since 1970: when a third of its validity is
    /// left.
    fn due(&self) -> Result<i64, String> {
        let der = CertificateDer::from_pem_slice(self.chain.as_bytes())
            .map_err(|error| error.to_string())?;
        let (_, parsed) = parse_x509_certificate(&der).map_err(|error| error.to_string())?;
        let validity = parsed.validity();
        let (from, until) = (
            validity.not_before.timestamp(),
            validity.not_after.timestamp(),
        );
        Ok(until - (until - from) / 3)
    }
}

/// Uses the stored certificate, and starts the task that obtains and renews it.
///
/// # Errors
/// [`Error::Config`] when the authority's root certificate cannot be read, and
/// [`Error::Folder`].
pub(super) fn manage(
    ctx: &Context,
    settings: AcmeConfig,
    certificates: &Arc<Certificates>,
    provider: &Arc<CryptoProvider>,
) -> Result<(), Error> {
    let authority = AuthorityClient::new(&settings)?;
    let mut manager = CertificateManager {
        settings,
        folder: ctx.folder.clone(),
        authority,
        certificates: certificates.clone(),
        provider: provider.clone(),
        issued: None,
    };
    if let Some(stored) = manager.stored()?
        && let Some(issued) = stored.issued
        && issued.domains == manager.settings.domains
    {
        manager.install(issued).map_err(Error::Service)?;
    } else {
        tracing::warn!(
            "there is no certificate yet; every TLS handshake fails until the authority issues one"
        );
    }
    let stop = ctx.stop.clone();
    ctx.tasks.spawn(async move {
        tokio::select! { () = manager.run() => {}, () = stop.cancelled() => {} }
    });
    Ok(())
}

/// The stored state, if it belongs to this authority.
fn stored(folder: &Folder, settings: &AcmeConfig) -> Result<Option<StoredState>, Error> {
    let Some(text) = folder.kept_secret("gateway", SECRET)? else {
        return Ok(None);
    };
    // The error of a parser could show a part of a key.
    let stored: StoredState = serde_json::from_str(&text).map_err(|_| {
        let file = folder.path().join("gateway").join("acme.secret");
        let why =
            "the file is damaged; move it away, and the gateway registers a new account".into();
        Error::Folder { path: file, why }
    })?;
    Ok(Some(stored).filter(|stored| stored.directory == settings.directory))
}

/// The certificate that was issued for the settings, if there is one.
///
/// # Errors
/// [`Error::Config`] when the authority's root certificate cannot be read, and
/// [`Error::Folder`] when the stored state cannot.
pub(super) fn issued(
    folder: &Folder,
    settings: &AcmeConfig,
) -> Result<Option<CertificateDer<'static>>, Error> {
    AuthorityClient::new(settings)?;
    let issued = stored(folder, settings)?.and_then(|stored| stored.issued);
    let issued = issued.filter(|issued| issued.domains == settings.domains);
    let parsed = issued.map(|issued| CertificateDer::from_pem_slice(issued.chain.as_bytes()));
    parsed
        .transpose()
        .map_err(|error| Error::Service(error.to_string()))
}

struct CertificateManager {
    settings: AcmeConfig,
    folder: Folder,
    authority: AuthorityClient,
    certificates: Arc<Certificates>,
    provider: Arc<CryptoProvider>,
    issued: Option<Issued>,
}

impl CertificateManager {
    async fn run(&mut self) {
        let mut pause = RETRY_FIRST;
        loop {
            if !self.is_due() {
                tokio::time::sleep(CHECK_EVERY).await;
                continue;
            }
            match self.renew().await {
                Ok(()) => {
                    pause = RETRY_FIRST;
                    let domains = self.settings.domains.join(", ");
                    tracing::info!(domains, "a new certificate is in use");
                    // A new certificate that is already due is not renewed at once.
                    tokio::time::sleep(CHECK_EVERY).await;
                }
                Err(why) => {
                    let again_s = pause.as_secs();
                    tracing::error!(why, again_s, "no certificate could be obtained");
                    tokio::time::sleep(pause).await;
                    pause = RETRY_MAX.min(pause * 2);
                }
            }
        }
    }

    fn is_due(&self) -> bool {
        let due = self.issued.as_ref().map(Issued::due);
        match due {
            Some(Ok(due)) => model::now().0 / 1_000 >= due,
            Some(Err(_)) | None => true,
        }
    }

    async fn renew(&mut self) -> Result<(), String> {
        let account = self.account().await?;
        let issued = order::obtain(&account, &self.settings.domains, &self.certificates).await?;
        self.install(issued.clone())?;
        let mut stored = self
            .stored()
            .ok()
            .flatten()
            .ok_or("the file of the ACME account has disappeared")?;
        stored.issued = Some(issued);
        self.save(&stored)
    }

    /// The stored account, or a new one, which is stored before it is used.
    async fn account(&self) -> Result<Account, String> {
        let failed = |error: instant_acme::Error| order::describe(&error);
        let builder = Account::builder_with_http(Box::new(self.authority.clone()));
        if let Some(stored) = self.stored().map_err(|error| error.to_string())? {
            return builder
                .from_credentials(stored.account)
                .await
                .map_err(failed);
        }
        let contact = self
            .settings
            .email
            .as_ref()
            .map(|email| format!("mailto:{email}"));
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let directory = self.settings.directory.clone();
        let made = builder.create(&new, directory.clone(), None).await;
        let (account, credentials) = made.map_err(failed)?;
        self.save(&StoredState { directory, account: credentials, issued: None })?;
        Ok(account)
    }

    fn stored(&self) -> Result<Option<StoredState>, Error> {
        stored(&self.folder, &self.settings)
    }

    fn save(&self, stored: &StoredState) -> Result<(), String> {
        let text = serde_json::to_string(stored).map_err(|error| error.to_string())?;
        self.folder
            .keep_service_secret("gateway", SECRET, &text)
            .map_err(|error| error.to_string())
    }

    fn install(&mut self, issued: Issued) -> Result<(), String> {
        let (chain, key) = (issued.chain.as_bytes(), issued.key.as_bytes());
        self.certificates
            .set(certified(chain, key, &self.provider)?);
        self.issued = Some(issued);
        Ok(())
    }
}
