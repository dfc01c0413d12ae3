//! `[mail]`: how mail leaves the shop. Without a server there is none, and what
//! is told is told in inboxes.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;

/// The password's name among systemd's credentials.
const CREDENTIAL: &str = "smtp_password";

/// `[mail]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mail {
    /// The host that takes the shop's mail; without one there is no mail.
    pub server: Option<String>,
    /// Its port [default: 587, 465 or 25, by `security`].
    pub port: Option<u16>,
    /// How the connection is secured.
    pub security: Security,
    /// PEM file of whoever signed the server's certificate, if the public
    /// authorities did not.
    pub authority: Option<PathBuf>,
    /// Who the shop is there; without one it does not log in.
    pub user: Option<String>,
    /// File with the password [default: the systemd credential `smtp_password`].
    pub password_file: Option<PathBuf>,
    /// Whom the mail is from, `Name <name@example.com>`.
    pub from: Option<String>,
    /// How many mails are sent in a second at most, 1..=1,000.
    pub per_second_max: u32,
    /// How long the server may take for one mail, in milliseconds,
    /// 100..=300,000.
    #[serde(alias = "patience_ms")]
    pub timeout_ms: u64,
    /// The pause after a first failed try, in milliseconds, 10..=3,600,000; each
    /// further one is twice as long, up to four hours.
    pub retry_first_ms: u64,
    /// For how many hours a mail is tried, 1..=720.
    pub retry_hours: u32,
    /// Whether one-time codes are written to the log where there is no server:
    /// for a shop to be tried out, and for no other.
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

impl Default for Mail {
    fn default() -> Self {
        Self {
            server: None,
            port: None,
            security: Security::Starttls,
            authority: None,
            user: None,
            password_file: None,
            from: None,
            per_second_max: 5,
            timeout_ms: 30_000,
            retry_first_ms: 30_000,
            retry_hours: 48,
            print_codes: false,
        }
    }
}

impl Mail {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.server.is_some() && self.from.is_none() {
            return Err("mail.from is needed with mail.server: whom the mail is from".into());
        }
        if self.user.is_some() && self.security == Security::None {
            return Err("mail.security must not be none with mail.user: the password would travel in the clear".into());
        }
        if !(1..=1_000).contains(&self.per_second_max) {
            return Err("mail.per_second_max must be 1..1000".into());
        }
        if !(100..=300_000).contains(&self.timeout_ms) {
            return Err("mail.timeout_ms must be 100..300000".into());
        }
        if !(10..=3_600_000).contains(&self.retry_first_ms) {
            return Err("mail.retry_first_ms must be 10..3600000".into());
        }
        if !(1..=720).contains(&self.retry_hours) {
            return Err("mail.retry_hours must be 1..720".into());
        }
        Ok(())
    }

    /// The server's port.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or_else(|| self.security.port())
    }

    /// Who the shop is at its server, and its password, read anew.
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
            .or_else(credential)
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

/// `$CREDENTIALS_DIRECTORY/smtp_password` (systemd.exec(5)).
#[expect(clippy::disallowed_methods, reason = "configuration is read here")]
fn credential() -> Option<PathBuf> {
    let folder = std::env::var("CREDENTIALS_DIRECTORY").ok()?;
    Some(Path::new(&folder).join(CREDENTIAL)).filter(|file| file.exists())
}

fn read(file: &Path) -> Result<String, Error> {
    std::fs::read_to_string(file)
        .map_err(|error| Error::Config(format!("{}: {error}", file.display())))
}
