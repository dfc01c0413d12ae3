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

/// The file's name in the gateway's room.
const KEPT: &str = "acme";

/// How often it is looked whether a certificate is due. Not slept through at once:
/// the clock of a host may jump.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);

/// The pause after a first failed try; each further one is twice as long. An
/// authority lets a name fail some five times an hour.
const RETRY_FIRST: Duration = Duration::from_secs(5 * 60);
const RETRY_MAX: Duration = Duration::from_secs(6 * 60 * 60);

/// The account and the certificate, and the authority they belong to.
#[derive(Serialize, Deserialize)]
struct Kept {
    directory: String,
    account: AccountCredentials,
    issued: Option<Issued>,
}

/// A certificate.
#[derive(Clone, Serialize, Deserialize)]
struct Issued {
    domains: Vec<String>,
    /// It and those that vouch for it, PEM.
    chain: String,
    /// Its private key, PEM.
    key: String,
}

impl Issued {
    /// When it should be renewed, in seconds since 1970: with a third of its life
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

/// Shows the certificate that was kept, and sees to it that it stays a good one.
///
/// # Errors
/// [`Error::Config`] when the authority cannot be believed, and [`Error::Folder`].
pub(super) fn keep(
    ctx: &Context,
    settings: AcmeConfig,
    certificates: &Arc<Certificates>,
    provider: &Arc<CryptoProvider>,
) -> Result<(), Error> {
    let authority = AuthorityClient::new(&settings)?;
    let mut keeper = Keeper {
        settings,
        folder: ctx.folder.clone(),
        authority,
        certificates: certificates.clone(),
        provider: provider.clone(),
        issued: None,
    };
    if let Some(kept) = keeper.kept()?
        && let Some(issued) = kept.issued
        && issued.domains == keeper.settings.domains
    {
        keeper.show(issued).map_err(Error::Service)?;
    } else {
        tracing::warn!("there is no certificate yet; nobody is served before it has come");
    }
    let stop = ctx.stop.clone();
    ctx.tasks.spawn(async move {
        tokio::select! { () = keeper.run() => {}, () = stop.cancelled() => {} }
    });
    Ok(())
}

struct Keeper {
    settings: AcmeConfig,
    folder: Folder,
    authority: AuthorityClient,
    certificates: Arc<Certificates>,
    provider: Arc<CryptoProvider>,
    issued: Option<Issued>,
}

impl Keeper {
    async fn run(&mut self) {
        let mut pause = RETRY_FIRST;
        loop {
            if !self.is_due() {
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            }
            match self.renew().await {
                Ok(()) => {
                    pause = RETRY_FIRST;
                    let domains = self.settings.domains.join(", ");
                    tracing::info!(domains, "a new certificate is shown from now on");
                    // Even if it is due at once, it was made just now.
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Err(why) => {
                    let again_s = pause.as_secs();
                    tracing::error!(why, again_s, "no certificate could be had");
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
        self.show(issued.clone())?;
        let mut kept = self.kept().ok().flatten().ok_or("the account was lost")?;
        kept.issued = Some(issued);
        self.save(&kept)
    }

    /// The account that was kept, or a new one, which is kept before it is used.
    async fn account(&self) -> Result<Account, String> {
        let failed = |error: instant_acme::Error| order::said(&error);
        let builder = Account::builder_with_http(Box::new(self.authority.clone()));
        if let Some(kept) = self.kept().map_err(|error| error.to_string())? {
            return builder.from_credentials(kept.account).await.map_err(failed);
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
        self.save(&Kept { directory, account: credentials, issued: None })?;
        Ok(account)
    }

    /// The stored state, if it belongs to this authority.
    fn kept(&self) -> Result<Option<Kept>, Error> {
        let Some(text) = self.folder.kept_secret("gateway", KEPT)? else {
            return Ok(None);
        };
        // The error of a parser could show a part of a key.
        let kept: Kept = serde_json::from_str(&text).map_err(|_| {
            let file = self.folder.path().join("gateway").join("acme.secret");
            let why = "it is damaged; move it away, and a new account is made".into();
            Error::Folder { path: file, why }
        })?;
        Ok(Some(kept).filter(|kept| kept.directory == self.settings.directory))
    }

    fn save(&self, kept: &Kept) -> Result<(), String> {
        let text = serde_json::to_string(kept).map_err(|error| error.to_string())?;
        self.folder
            .keep_service_secret("gateway", KEPT, &text)
            .map_err(|error| error.to_string())
    }

    fn show(&mut self, issued: Issued) -> Result<(), String> {
        let (chain, key) = (issued.chain.as_bytes(), issued.key.as_bytes());
        self.certificates
            .set(certified(chain, key, &self.provider)?);
        self.issued = Some(issued);
        Ok(())
    }
}
