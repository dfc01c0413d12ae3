//! Outbound mail: the queue, retries and giving up.
//!
//! A queued mail holds the recipient's id and the topic only. Address, one-time code and what
//! was ordered are requested when the mail is sent and never stored, so personal data stays in
//! the databases of users and orders.
//!
//! | module | holds |
//! | --- | --- |
//! | `worker` | the attempts |
//! | `smtp` | composing and sending a mail, and the meaning of failures |
//! | `connection` | a session with the server, step by step |
//! | `sequence` | the order of mails about one order |
//! | `given_up` | mails that staff can send again |
//! | `status` | the state for the status and the warnings |
//!
//! **Invariants:** a mail is queued in the transaction that handles its event, and leaves
//! the queue when the server accepted it, rejected it for good, or it expired; so it is
//! sent at least once. All attempts of a mail have the same `Message-ID`.

mod connection;
pub(crate) mod digest;
pub(crate) mod given_up;
mod sequence;
mod smtp;
mod status;
mod worker;

use crate::config::MailConfig;
use std::sync::Arc;
use std::time::Duration;

use ::store::{Error as StoreError, Table, Tx};
use blake2::digest::consts::U16;
use blake2::{Blake2b, Digest};
use chassis::delivery::Backoff;
use mesh::Event;
use model::{CodePurpose, EmailChangeId, OrderId, Time, UserId};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub(crate) use self::worker::start;

use self::digest::Admission;
use self::smtp::MailServer;
use crate::domain::{Audience, CODE_KIND, EMAIL_UNDO_KIND, Topic};

/// The longest pause between two attempts of a mail, and of one with a code.
const PAUSE_MAX: Duration = Duration::from_secs(4 * 60 * 60);
const CODE_PAUSE_MAX: Duration = Duration::from_secs(30);

/// The shortest and the longest pause before another service is asked again what a mail is made of.
const UNASKED_PAUSE_FIRST: Duration = Duration::from_secs(1);
const UNASKED_PAUSE_MAX: Duration = Duration::from_secs(30);

/// Codes are sent first, since a person waits for them and they expire; staff come last, since
/// one order may make a mail for each of them.
const CODE_PRIORITY: u16 = 0;
const NOTICE_PRIORITY: u16 = 1;
const STAFF_PRIORITY: u16 = 2;

/// The longest first pause of a mail with a code: a person waits for it.
const CODE_PAUSE_FIRST: Duration = Duration::from_secs(2);

/// (priority, due, mail) → the mail.
const MAIL: Table<(u16, Time, MailId), OutboundMail> = Table::new("mail");

/// Checks the settings of the mail server and the files that they name.
///
/// # Errors
/// [`chassis::Error::Config`] naming the setting or the file at fault.
pub(crate) fn check(settings: &MailConfig) -> Result<(), chassis::Error> {
    MailServer::open(settings).map(drop)
}

/// Connects to the mail server, if there is one, and sends no mail.
///
/// # Errors
/// Why no mail could be sent.
pub(crate) async fn probe(settings: &MailConfig) -> Result<(), String> {
    let server = MailServer::open(settings).map_err(|error| error.to_string())?;
    match server {
        Some(server) => server.probe().await,
        None => Ok(()),
    }
}

/// Hash of the event and the recipient; random for mail to staff, which may have no event.
/// Stored in the key, so all attempts have the same.
pub(crate) type MailId = [u8; 16];

/// A queued mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutboundMail {
    /// The account; `None` for the guest whose order it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user_id: Option<UserId>,
    #[serde(rename = "letter")]
    pub(crate) content: MailContent,
    /// When its event happened.
    pub(crate) began_at: Time,
    /// Failed attempts so far.
    pub(crate) failed: u32,
    /// How often since the last attempt another service did not say what it is made of.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) unasked: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl ::store::Record for OutboundMail {}

/// What a mail is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MailContent {
    /// A notification that is also in the inbox.
    Notice(Topic),
    /// A one-time code, requested when the mail is sent.
    Code {
        purpose: CodePurpose,
        /// When the code expires.
        until: Time,
    },
    /// The link that undoes a change of address, to the address from before it. The link and
    /// the address are requested when the mail is sent.
    EmailUndo {
        change_id: EmailChangeId,
        /// When the link expires.
        until: Time,
    },
    /// The number of further notifications of a kind.
    Digest {
        kind: String,
        count: u64,
        /// Since when they were counted.
        since: Time,
    },
}

impl MailContent {
    /// The order that it is about.
    pub(crate) fn order_id(&self) -> Option<OrderId> {
        match self {
            Self::Notice(topic) => topic.order_id(),
            Self::Code { .. } | Self::EmailUndo { .. } | Self::Digest { .. } => None,
        }
    }

    /// The kind of its topic, for logs and notifications.
    pub(crate) fn kind(&self) -> &str {
        match self {
            Self::Notice(topic) => topic.kind(),
            Self::Digest { kind, .. } => kind,
            Self::Code { .. } => CODE_KIND,
            Self::EmailUndo { .. } => EMAIL_UNDO_KIND,
        }
    }
}

impl OutboundMail {
    /// A mail that was not attempted yet.
    pub(crate) fn new(user_id: Option<UserId>, content: MailContent, began_at: Time) -> Self {
        Self { user_id, content, began_at, failed: 0, unasked: 0 }
    }

    fn priority(&self) -> u16 {
        match &self.content {
            MailContent::Code { .. } => CODE_PRIORITY,
            MailContent::Notice(topic) if topic.rule().audience == Audience::Staff => {
                STAFF_PRIORITY
            }
            MailContent::Notice(_) | MailContent::EmailUndo { .. } => NOTICE_PRIORITY,
            MailContent::Digest { .. } => STAFF_PRIORITY,
        }
    }
}

/// Queues mail. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Outbox {
    settings: Arc<MailConfig>,
    wake_up: Arc<Notify>,
}

impl Outbox {
    pub(crate) fn new(settings: MailConfig) -> Self {
        Self { settings: Arc::new(settings), wake_up: Arc::default() }
    }

    /// Queues a mail about `event`, unless mail is disabled or the event is too old.
    pub(crate) fn queue(
        &self,
        tx: &mut Tx<'_>,
        event: &Event,
        user_id: Option<UserId>,
        content: MailContent,
    ) -> Result<(), StoreError> {
        let is_code = matches!(content, MailContent::Code { .. });
        let is_enabled = self.settings.server.is_some() || is_code && self.settings.print_codes;
        let mail = OutboundMail::new(user_id, content, event.at);
        let now = model::now();
        if !is_enabled || now.since(event.at) > self.backoff(&mail).give_up_after {
            return Ok(());
        }
        self.put(tx, now, id(event, user_id), &mail)
    }

    /// Queues a mail to a member of staff about what happened at `at`, or counts it in a
    /// digest. None where mail is disabled or what happened is too old.
    pub(crate) fn queue_for_staff(
        &self,
        tx: &mut Tx<'_>,
        user_id: UserId,
        topic: &Topic,
        at: Time,
    ) -> Result<(), StoreError> {
        let content = MailContent::Notice(topic.clone());
        let mail = OutboundMail::new(Some(user_id), content, at);
        let (now, id) = (model::now(), rand::random());
        let is_too_old = now.since(at) > self.backoff(&mail).give_up_after;
        if self.settings.server.is_none() || is_too_old {
            return Ok(());
        }
        match digest::admit(tx, user_id, topic.kind(), id, now)? {
            Admission::Single => self.put(tx, now, id, &mail),
            // The worker looks for the next mail that is due twice a minute.
            Admission::Counted => Ok(()),
        }
    }

    fn put(
        &self,
        tx: &mut Tx<'_>,
        due: Time,
        id: MailId,
        mail: &OutboundMail,
    ) -> Result<(), StoreError> {
        tx.put(MAIL, &(mail.priority(), due, id), mail)?;
        sequence::note(tx, mail, id, due)?;
        let wake_up = self.wake_up.clone();
        tx.on_durable(move || wake_up.notify_one());
        Ok(())
    }

    /// The pauses of a mail of which another service does not say what it is made of: nothing was
    /// sent, and a service that restarts is back within seconds.
    fn unasked_backoff(&self, mail: &OutboundMail) -> Backoff {
        Backoff {
            first: UNASKED_PAUSE_FIRST,
            pause_max: UNASKED_PAUSE_MAX,
            ..self.backoff(mail)
        }
    }

    fn backoff(&self, mail: &OutboundMail) -> Backoff {
        let first = Duration::from_millis(self.settings.retry_first_ms);
        match mail.content {
            MailContent::Notice(_) | MailContent::EmailUndo { .. } | MailContent::Digest { .. } => {
                Backoff {
                    first,
                    pause_max: PAUSE_MAX,
                    give_up_after: Duration::from_secs(u64::from(self.settings.retry_hours) * 3600),
                }
            }
            MailContent::Code { until, .. } => Backoff {
                first: first.min(CODE_PAUSE_FIRST),
                pause_max: CODE_PAUSE_MAX,
                give_up_after: until.since(mail.began_at),
            },
        }
    }
}

/// No account has this id.
const NOBODY: UserId = UserId::NIL;

fn id(event: &Event, user: Option<UserId>) -> MailId {
    Blake2b::<U16>::new()
        .chain_update(event.id())
        .chain_update(user.unwrap_or(NOBODY).uuid().as_bytes())
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exact bytes on disk: a change here is a change of format.
    #[test]
    fn golden_bytes() {
        let user_id: UserId = "user_01h455vb4pex5vsknk084sn02q".parse().unwrap();
        let until = Time(9);
        let content = MailContent::Code { purpose: CodePurpose::PasswordReset, until };
        let mail = OutboundMail {
            failed: 1,
            ..OutboundMail::new(Some(user_id), content, Time(7))
        };
        let mut golden = b"\x01\x84\xa7user_id\xc4\x10".to_vec();
        golden.extend_from_slice(user_id.uuid().as_bytes());
        golden.extend_from_slice(b"\xa6letter\x81\xa4Code\x82\xa7purpose\xaepassword_reset");
        golden.extend_from_slice(b"\xa5until\x09\xa8began_at\x07\xa6failed\x01");
        assert_eq!(::store::encode(&mail).unwrap(), golden);
        assert_eq!(::store::decode::<OutboundMail>(&golden).unwrap(), mail);
    }
}
