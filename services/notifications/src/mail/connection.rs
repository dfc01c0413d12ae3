//! A session with the mail server, step by step (RFC 5321 §3): connect, secure, log in, name the
//! sender and the recipient, send the content.
//!
//! The steps are known apart because a refusal means another thing in each. Up to the sender
//! the server refuses the shop: its name, its password or its address, which are settings. Only a
//! refusal of the recipient is about this one mail.
//!
//! **Invariant:** nothing is said in the clear where the settings ask for TLS, but the greeting.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use chassis::Error;
use chassis::outbound::{connect, tls_config};
use lettre::address::Envelope;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, AsyncTokioStream, Certificate, TlsParameters,
};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::config::{MailConfig, Security};

/// The step of a session that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Connecting, the greeting and EHLO, and TLS.
    Connection,
    Login,
    Sender,
    Recipient,
    /// DATA and the content.
    Content,
}

/// Why a step failed.
#[derive(Debug)]
pub(super) enum StepError {
    /// What the server answered, or that it did not.
    Smtp(SmtpError),
    /// No connection, or none that is secure.
    Unreachable(String),
}

type Failed = (Step, StepError);

fn failed(step: Step) -> impl FnOnce(SmtpError) -> Failed {
    move |error| (step, StepError::Smtp(error))
}

/// How to reach the mail server and what to say to it first.
pub(super) struct MailRoute {
    host: String,
    port: u16,
    tls: SessionTls,
    /// The shop's name in EHLO.
    hello: ClientId,
    credentials: Option<Credentials>,
    /// Timeout of connecting.
    timeout: Duration,
}

enum SessionTls {
    None,
    /// After STARTTLS.
    Upgraded(TlsParameters),
    /// From the first byte.
    Immediate(TlsConnector),
}

impl MailRoute {
    /// The route to `host` by the settings; the shop says `hello` unless they name another.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting at fault.
    pub(super) fn open(settings: &MailConfig, host: &str, hello: &str) -> Result<Self, Error> {
        let authority = settings.authority.as_deref();
        let tls = match settings.security {
            Security::None => SessionTls::None,
            Security::Starttls => SessionTls::Upgraded(parameters(host, settings)?),
            Security::Tls => SessionTls::Immediate(connector(authority)?),
        };
        let credentials = settings.credentials()?;
        let hello = settings.hello_name.as_deref().unwrap_or(hello);
        Ok(Self {
            host: host.to_owned(),
            port: settings.port(),
            tls,
            hello: ClientId::Domain(hello.to_owned()),
            credentials: credentials.map(|(user, password)| Credentials::new(user, password)),
            timeout: Duration::from_millis(settings.timeout_ms),
        })
    }

    /// A session that is ready for a mail.
    ///
    /// # Errors
    /// The step that failed, and why.
    pub(super) async fn begin(&self) -> Result<AsyncSmtpConnection, Failed> {
        let unreachable = |why| (Step::Connection, StepError::Unreachable(why));
        let any_address = |_: IpAddr| Ok(());
        let stream = connect(&self.host, self.port, any_address, self.timeout).await;
        let stream = stream.map_err(unreachable)?;
        let stream: Box<dyn AsyncTokioStream> = match &self.tls {
            SessionTls::None | SessionTls::Upgraded(_) => Box::new(stream),
            SessionTls::Immediate(connector) => {
                let name = ServerName::try_from(self.host.clone());
                let name = name.map_err(|error| unreachable(error.to_string()))?;
                let secured = connector.connect(name, stream).await;
                let secured = secured.map_err(|_| unreachable(NOT_SECURED.into()))?;
                Box::new(SecuredStream(secured))
            }
        };
        let greeted = AsyncSmtpConnection::connect_with_transport(stream, &self.hello).await;
        let mut session = greeted.map_err(failed(Step::Connection))?;
        if let SessionTls::Upgraded(parameters) = &self.tls {
            let upgraded = session.starttls(parameters.clone(), &self.hello).await;
            upgraded.map_err(failed(Step::Connection))?;
        }
        if let Some(credentials) = &self.credentials {
            let login = session.auth(DEFAULT_MECHANISMS, credentials).await;
            login.map_err(failed(Step::Login))?;
        }
        Ok(session)
    }
}

/// Why TLS failed; the details may be many, and `konbini doctor` has them.
const NOT_SECURED: &str = "the connection could not be secured";

/// Sends a mail over a session. On `Ok` the server has taken responsibility for it.
///
/// # Errors
/// The step that failed, and why.
pub(super) async fn transmit(
    session: &mut AsyncSmtpConnection,
    envelope: &Envelope,
    content: &[u8],
) -> Result<(), Failed> {
    let mut parameters = Vec::new();
    let server = session.server_info();
    let mut addresses = envelope.to().iter().chain(envelope.from());
    let is_ascii = addresses.all(|address| AsRef::<str>::as_ref(address).is_ascii());
    if !is_ascii && server.supports_feature(Extension::SmtpUtfEight) {
        parameters.push(MailParameter::SmtpUtfEight);
    }
    if !content.is_ascii() && server.supports_feature(Extension::EightBitMime) {
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    let sender = Mail::new(envelope.from().cloned(), parameters);
    let named = session.command(sender).await;
    named.map_err(failed(Step::Sender))?;
    for to in envelope.to() {
        let named = session.command(Rcpt::new(to.clone(), Vec::new())).await;
        named.map_err(failed(Step::Recipient))?;
    }
    let begun = session.command(Data).await;
    begun.map_err(failed(Step::Content))?;
    let taken = session.message(content).await;
    taken.map_err(failed(Step::Content)).map(drop)
}

fn parameters(host: &str, settings: &MailConfig) -> Result<TlsParameters, Error> {
    let mut parameters = TlsParameters::builder(host.to_owned());
    if let Some(pem) = settings.authority_pem()? {
        let certificate = Certificate::from_pem(pem.as_bytes())
            .map_err(|error| Error::Config(format!("mail.authority: {error}")))?;
        parameters = parameters.add_root_certificate(certificate);
    }
    parameters
        .build()
        .map_err(|error| Error::Config(format!("mail.server: {error}")))
}

fn connector(authority: Option<&Path>) -> Result<TlsConnector, Error> {
    let config: ClientConfig = tls_config(authority)?;
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A stream over TLS, as the SMTP client takes it.
#[derive(Debug)]
struct SecuredStream(TlsStream<TcpStream>);

impl AsyncTokioStream for SecuredStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().0.peer_addr()
    }
}

impl AsyncRead for SecuredStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for SecuredStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
