//! `[mail]`: outbound mail over SMTP. Without a server, notifications reach inboxes only.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use garde::Validate;
use serde::{Deserialize, Serialize};

use chassis::Error;
use chassis::config::{credential, ensure};

/// The password's name among systemd's credentials.
const CREDENTIAL: &str = "smtp_password";

/// `[mail]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct MailConfig {
    /// The host that takes the shop's mail; without one there is no mail.
    #[garde(custom(|_, _| ensure(
        self.server.as_deref().is_none_or(is_host),
        "must be a host's name or address alone; its port is mail.port",
    )))]
    pub server: Option<String>,
    /// Its port [default: 587, 465 or 25, by `security`].
    pub port: Option<u16>,
    /// How the connection is secured.
    #[garde(custom(|_, _| ensure(
        self.user.is_none() || self.security != Security::None,
        "must not be none with mail.user: the password would travel in the clear",
    )))]
    pub security: Security,
    /// PEM file of the authority that signed the server's certificate, if it is not a
    /// public one.
    pub authority: Option<PathBuf>,
    /// The user to log in as; without one the shop does not log in.
    pub user: Option<String>,
    /// File with the password [default: the systemd credential `smtp_password`].
    pub password_file: Option<PathBuf>,
    /// The shop's name in EHLO, a host's name or an address in brackets [default: the domain of
    /// `from`].
    #[garde(custom(|_, _| ensure(
        self.hello_name.as_deref().is_none_or(is_hello),
        "must be a host's name, or an IP address in brackets",
    )))]
    pub hello_name: Option<String>,
    /// The sender, `Name <name@example.com>`.
    #[garde(custom(|_, _| ensure(
        self.server.is_none() || self.from.is_some(),
        "must be set with mail.server: the sender's address",
    )))]
    pub from: Option<String>,
    /// How many mails are sent in a second at most, 1..=1,000.
    #[garde(range(min = 1, max = 1_000))]
    pub per_second_max: u32,
    /// Timeout of one mail, in milliseconds, 100..=300,000.
    #[garde(range(min = 100, max = 300_000))]
    pub timeout_ms: u64,
    /// The pause after a first failed try, in milliseconds, 10..=3,600,000; each
    /// further one is twice as long, up to four hours.
    #[garde(range(min = 10, max = 3_600_000))]
    pub retry_first_ms: u64,
    /// For how many hours a mail is tried, 1..=720.
    #[garde(range(min = 1, max = 720))]
    pub retry_hours: u32,
    /// Whether one-time codes are written to the log where there is no server:
    /// only for a trial shop.
    pub print_codes: bool,
}

/// How the connection to the mail server is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// It begins in the clear and must turn to TLS before anything is said
    /// (RFC 3207).
    Starttls,
    /// TLS from the first byte (RFC 8314).
    Tls,
    /// In the clear, for a server on this host.
    None,
}

impl Security {
    fn port(self) -> u16 {
        match self {
            Self::Starttls => 587,
            Self::Tls => 465,
            Self::None => 25,
        }
    }
}

impl Default for MailConfig {
    fn default() -> Self {
        Self {
            server: None,
            port: None,
            security: Security::Starttls,
            authority: None,
            user: None,
            password_file: None,
            hello_name: None,
            from: None,
            per_second_max: 5,
            timeout_ms: 30_000,
            retry_first_ms: 30_000,
            retry_hours: 48,
            print_codes: false,
        }
    }
}

impl MailConfig {
    /// The server's port.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or_else(|| self.security.port())
    }

    /// The user and the password, read anew.
    ///
    /// # Errors
    /// [`Error::Config`] when there is a user and no password can be read.
    pub fn credentials(&self) -> Result<Option<(String, String)>, Error> {
        let Some(user) = &self.user else {
            return Ok(None);
        };
        let file = self
            .password_file
            .clone()
            .or_else(|| credential(CREDENTIAL))
            .ok_or_else(|| {
                Error::Config(format!(
                    "mail.user is set but there is no password: name a file with mail.password_file, or give systemd the credential {CREDENTIAL}"
                ))
            })?;
        let password = read(&file)?;
        Ok(Some((
            user.clone(),
            password.trim_end_matches(['\r', '\n']).into(),
        )))
    }

    /// The certificate of [`authority`](Self::authority), PEM.
    ///
    /// # Errors
    /// [`Error::Config`] when it cannot be read.
    pub fn authority_pem(&self) -> Result<Option<String>, Error> {
        self.authority.as_deref().map(read).transpose()
    }
}

/// Whether a text is the name or the IP address of a host.
fn is_host(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    text.parse::<IpAddr>().is_ok() || (!text.is_empty() && text.bytes().all(is_part))
}

/// Whether a text is a name that an SMTP client may give itself (RFC 5321 §4.1.1.1).
fn is_hello(text: &str) -> bool {
    let literal = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    match literal {
        Some(literal) => {
            let address = literal.strip_prefix("IPv6:").unwrap_or(literal);
            address.parse::<IpAddr>().is_ok()
        }
        None => is_host(text) && text.parse::<IpAddr>().is_err(),
    }
}

fn read(file: &Path) -> Result<String, Error> {
    std::fs::read_to_string(file)
        .map_err(|error| Error::Config(format!("{}: {error}", file.display())))
}
