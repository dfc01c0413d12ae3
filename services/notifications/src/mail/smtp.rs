//! SMTP client for the shop's mail server (RFC 5321), and the meaning of its replies.
//!
//! **Invariant:** a failure carries no text of the server, which may contain the address.

use std::time::Duration;

use chassis::Error;
use chassis::config::{self, Security};
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::response::{Category, Severity};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

/// Whether a failed attempt is worth repeating.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    Later,
    Never,
}

/// A failed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SmtpFailure {
    /// The server's reply code, where there was one.
    pub(super) code: Option<u16>,
    pub(super) retry: Retry,
    /// Reason, for the log.
    pub(super) why: String,
}

/// The connection to the mail server.
pub(super) struct MailServer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    timeout: Duration,
    /// The sender of all mail.
    pub(super) from: Mailbox,
}

impl MailServer {
    /// The configured server; `None` without one.
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

    /// Sends a mail. On `Ok` the server has taken responsibility for it.
    pub(super) async fn send(&self, mail: Message) -> Result<(), SmtpFailure> {
        match tokio::time::timeout(self.timeout, self.transport.send(mail)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(failure(&error)),
            Err(_) => Err(SmtpFailure {
                code: None,
                retry: Retry::Later,
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

/// Only a rejection of the mail or its address is permanent (RFC 5321 §4.2.2: 55x, "mail
/// system"). A refused login or an unknown command is a matter of configuration, which can be
/// corrected before the next attempt.
fn failure(error: &lettre::transport::smtp::Error) -> SmtpFailure {
    let Some(code) = error.status() else {
        return SmtpFailure { code: None, retry: Retry::Later, why: kind(error).into() };
    };
    let is_permanent = code.severity == Severity::PermanentNegativeCompletion
        && code.category == Category::MailSystem;
    let code = u16::from(code);
    SmtpFailure {
        code: Some(code),
        retry: if is_permanent { Retry::Never } else { Retry::Later },
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
