//! Mail: what is sent to whom, when it is sent again, and when it is given up.
//!
//! A row says only that somebody is to be written to, and about what. The address
//! and the words, and a one-time code even more so, are asked for when the mail
//! is sent, and are never kept.
//!
//! **Invariants:** a mail is queued in the transaction that tells its event, and
//! leaves the queue when the server took it, refused it for good, or it is too
//! late; so it goes out at least once. Every try of it has one `Message-ID`.

mod compose;
mod postman;
mod queue;
mod smtp;

use std::sync::Arc;
use std::time::Duration;

use ::store::{Error as StoreError, Tx};
use blake2::digest::consts::U16;
use blake2::{Blake2b, Digest};
use chassis::config;
use mesh::Event;
use model::{CodePurpose, Time};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub(crate) use self::postman::start;

use crate::domain::{Topic, UserId};
use crate::retry::Schedule;

/// The longest pause between two tries of a mail, and of a mail with a code.
const PAUSE_MAX: Duration = Duration::from_secs(4 * 60 * 60);
const CODE_PAUSE_MAX: Duration = Duration::from_secs(30);

/// The first pause of a mail with a code: somebody waits for it.
const CODE_PAUSE_FIRST: Duration = Duration::from_secs(2);

/// Which mail: a hash of its event and its recipient, so that it is the same
/// whenever it is made again.
pub(crate) type MailId = [u8; 16];

/// A mail to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mail {
    /// To whom.
    pub(crate) user_id: UserId,
    /// What it is about.
    pub(crate) letter: Letter,
    /// When what it tells of happened.
    pub(crate) began_at: Time,
    /// How often it was tried in vain.
    pub(crate) failed: u32,
}

impl ::store::Record for Mail {}

/// What a mail is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Letter {
    /// What is also told in the inbox.
    Notice(Topic),
    /// A one-time code, which is asked for when it is sent.
    Code {
        /// What it allows.
        purpose: CodePurpose,
        /// From when on it is worth nothing.
        until: Time,
    },
}

impl Letter {
    /// The kind of what it is about.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Notice(topic) => topic.kind(),
            Self::Code { .. } => "user.code_requested",
        }
    }
}

/// Where mail is put. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Outbox {
    settings: Arc<config::Mail>,
    bell: Arc<Notify>,
}

impl Outbox {
    pub(crate) fn new(settings: config::Mail) -> Self {
        Self { settings: Arc::new(settings), bell: Arc::default() }
    }

    /// Puts a mail about `event` into the queue: none where no mail leaves the
    /// shop, and none about what is too long ago to be sent.
    pub(crate) fn queue(
        &self,
        tx: &mut Tx<'_>,
        event: &Event,
        user: UserId,
        letter: Letter,
    ) -> Result<(), StoreError> {
        let is_code = matches!(letter, Letter::Code { .. });
        let leaves = self.settings.server.is_some() || is_code && self.settings.print_codes;
        let mail = Mail { user_id: user, letter, began_at: event.at, failed: 0 };
        let now = model::now();
        if !leaves || now.since(event.at) > self.schedule(&mail).give_up_after {
            return Ok(());
        }
        queue::put(tx, now, id(event, user), &mail)?;
        let bell = self.bell.clone();
        tx.on_durable(move || bell.notify_one());
        Ok(())
    }

    fn schedule(&self, mail: &Mail) -> Schedule {
        let first = Duration::from_millis(self.settings.retry_first_ms);
        match mail.letter {
            Letter::Notice(_) => Schedule {
                first,
                pause_max: PAUSE_MAX,
                give_up_after: Duration::from_secs(u64::from(self.settings.retry_hours) * 3600),
            },
            Letter::Code { until, .. } => Schedule {
                first: first.min(CODE_PAUSE_FIRST),
                pause_max: CODE_PAUSE_MAX,
                give_up_after: until.since(mail.began_at),
            },
        }
    }
}

fn id(event: &Event, user: UserId) -> MailId {
    Blake2b::<U16>::new()
        .chain_update(event.id())
        .chain_update(user.uuid().as_bytes())
        .finalize()
        .into()
}
