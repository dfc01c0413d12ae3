//! TLS 1.2 and 1.3 (RFC 8446) for clients, by rustls.
//!
//! The certificate is looked up at each handshake, so that a renewed one is used from the
//! next connection on, without effect on open ones.
//!
//! **Invariant:** a certificate in use matches its key. Files that do not match keep the
//! gateway from starting; while it runs they are logged and ignored.

mod acme;
mod certificate;
pub(crate) mod redirect;

use crate::config::Config;
use std::io;
use std::sync::Arc;

use chassis::{Context, Error, Folder};
use http::HeaderValue;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;

pub use self::certificate::CertificateSummary;
pub(crate) use self::certificate::Certificates;
use self::certificate::{CHALLENGE, Files};

const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// The protocol of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// TLS of the public address.
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    certificates: Arc<Certificates>,
    /// `Strict-Transport-Security`, if it is sent.
    pub(crate) hsts: Option<HeaderValue>,
}

impl Tls {
    /// Configures TLS, and starts the task that renews or reloads the certificate; `None`
    /// when the settings have no TLS.
    ///
    /// # Errors
    /// [`Error::Config`] when the certificate's files cannot be read or do not match.
    pub(crate) fn open(ctx: &Context, settings: &Config) -> Result<Option<Self>, Error> {
        let provider = Arc::new(ring::default_provider());
        let certificates = Arc::new(Certificates::default());
        if settings.acme.is_on() {
            acme::manage(ctx, settings.acme.clone(), &certificates, &provider)?;
        } else if let Some((certificate, key)) = settings.tls.files() {
            let files = Files { certificate, key };
            let watch = Arc::new(files.watch(certificates.clone(), provider.clone())?);
            let (stop, at_once) = (ctx.stop.clone(), watch.clone());
            ctx.supervision.on_reload(move || at_once.reload());
            ctx.tasks.spawn(async move {
                tokio::select! { () = watch.run() => {}, () = stop.cancelled() => {} }
            });
        } else {
            return Ok(None);
        }
        let config = server(provider, certificates.clone())
            .map_err(|error| Error::Service(format!("TLS cannot be configured: {error}")))?;
        let hsts_days = u64::from(settings.tls.hsts_days);
        let hsts = (hsts_days > 0)
            .then(|| HeaderValue::try_from(format!("max-age={}", hsts_days * DAY_SECONDS)))
            .and_then(Result::ok);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Some(Self { acceptor, certificates, hsts }))
    }

    /// The certificates, which change while the gateway runs.
    pub(crate) fn certificates(&self) -> Arc<Certificates> {
        self.certificates.clone()
    }

    /// Performs a handshake; `None` for the validation of an ACME challenge, which ends
    /// with the handshake.
    ///
    /// # Errors
    /// When the handshake fails.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<Option<TlsStream<TcpStream>>> {
        let stream = self.acceptor.accept(stream).await?;
        let is_challenge = stream.get_ref().1.alpn_protocol() == Some(CHALLENGE);
        Ok((!is_challenge).then_some(stream))
    }
}

/// The certificate of the public address, as far as it is known at rest; `None` without TLS,
/// and while ACME has issued none.
///
/// # Errors
/// [`Error::Config`] when the certificate's files cannot be read or do not match, and
/// [`Error::Folder`] when what ACME issued cannot be read.
pub fn certificate(
    folder: &Folder,
    settings: &Config,
) -> Result<Option<CertificateSummary>, Error> {
    let der = if settings.acme.is_on() {
        acme::issued(folder, &settings.acme)?
    } else if let Some((certificate, key)) = settings.tls.files() {
        let certified = Files { certificate, key }.read(&ring::default_provider())?;
        certified.cert.into_iter().next()
    } else {
        None
    };
    let summary = der.map(|der| CertificateSummary::of(&der));
    summary
        .transpose()
        .map_err(|why| Error::Config(format!("the certificate cannot be read: {why}")))
}

/// The protocol that the handshake negotiated.
pub(crate) fn protocol(stream: &TlsStream<TcpStream>) -> Protocol {
    match stream.get_ref().1.alpn_protocol() {
        Some(HTTP2) => Protocol::Http2,
        _ => Protocol::Http1,
    }
}

fn server(
    provider: Arc<CryptoProvider>,
    certificates: Arc<Certificates>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = [HTTP2, HTTP1, CHALLENGE].map(<[u8]>::to_vec).into();
    config.ticketer = ring::Ticketer::new()?;
    Ok(config)
}
