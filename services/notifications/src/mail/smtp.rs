//! The shop's mail server (RFC 5321), and what its answers mean.

use std::time::Duration;

use chassis::Error;
use chassis::config::{self, Security};
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::response::{Category, Severity};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

/// How a try ended, if not well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// The server's reply code, where there was one.
    pub(super) code: Option<u16>,
    /// Whether no later try can help.
    pub(super) is_final: bool,
    /// For the log; never the server's words, which may name the address.
    pub(super) why: String,
}

/// Where mail is handed over.
pub(super) struct Server {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    timeout: Duration,
    /// Whom the mail is from.
    pub(super) from: Mailbox,
}

impl Server {
    /// The server that the settings name; `None` without one.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting at fault.
    pub(super) fn open(settings: &config::Mail) -> Result<Option<Self>, Error> {
        let (Some(host), Some(from)) = (&settings.server, &settings.from) else {
            return Ok(None);
        };
        let from = from.parse().map_err(|error| {
            Error::Config(format!(
                "mail.from is no address such as Shop <shop@example.com>: {error}"
            ))
        })?;
        let tls = match settings.security {
            Security::None => Tls::None,
            Security::Starttls => Tls::Required(tls(host, settings)?),
            Security::Tls => Tls::Wrapper(tls(host, settings)?),
        };
        let timeout = Duration::from_millis(settings.timeout_ms);
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(settings.port())
            .tls(tls)
            .timeout(Some(timeout));
        if let Some((user, password)) = settings.credentials()? {
            builder = builder.credentials(Credentials::new(user, password));
        }
        Ok(Some(Self { transport: builder.build(), timeout, from }))
    }

    /// Hands a mail over. It is the server's once this is `Ok`.
    pub(super) async fn send(&self, mail: Message) -> Result<(), Failure> {
        match tokio::time::timeout(self.timeout, self.transport.send(mail)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(failure(&error)),
            Err(_) => Err(Failure {
                code: None,
                is_final: false,
                why: format!("no answer within {:?}", self.timeout),
            }),
        }
    }
}

fn tls(host: &str, settings: &config::Mail) -> Result<TlsParameters, Error> {
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

/// Only what is wrong with the letter or its address is final (RFC 5321 §4.2.2:
/// 55x, "mail system"). A refused login or an unknown command is the server's
/// trouble, or ours with it, and can be mended meanwhile.
fn failure(error: &lettre::transport::smtp::Error) -> Failure {
    let Some(code) = error.status() else {
        return Failure { code: None, is_final: false, why: kind(error).into() };
    };
    let is_final = code.severity == Severity::PermanentNegativeCompletion
        && code.category == Category::MailSystem;
    let code = u16::from(code);
    Failure {
        code: Some(code),
        is_final,
        why: format!("the server answered {code}"),
    }
}

fn kind(error: &lettre::transport::smtp::Error) -> &'static str {
    if error.is_timeout() {
        "no answer in time"
    } else if error.is_tls() {
        "the connection could not be secured"
    } else if error.is_response() {
        "the server's answer could not be read"
    } else if error.is_client() {
        "the server does not offer what is needed"
    } else {
        "the connection failed"
    }
}
