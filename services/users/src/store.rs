//! What is kept, and every change to it with its event.
//!
//! ```text
//! users            account            → what its owner may see of it
//! users_by_email   lower-case address → account
//! passwords        account            → argon2id hash, and how many it had before
//! languages        account            → BCP 47 tag its owner reads
//! sessions         account, session   → its state
//! letters          when, at random    → the account a letter is to go to
//! ```
//!
//! `accounts` changes the first four, `sessions` and `letters` their own; `codes`,
//! `keys` and `throttle` have tables of their own.
//!
//! **Invariants:** `users_by_email` has exactly one row an account. A session
//! that goes while its tokens may live goes with `session.revoked`.

mod accounts;
mod letters;
mod sessions;

use mesh::{Draft, Log};
use model::{Fact, Id, Time, kinds};
use store::{Table, Tx};

use crate::domain::{Session, User};
use crate::password::StoredPassword;

pub(crate) use accounts::*;
pub(crate) use letters::*;
pub(crate) use sessions::*;

type UserId = Id<kinds::User>;
type SessionId = Id<kinds::Session>;

pub(crate) const USERS: Table<UserId, User> = Table::new("users");
const USERS_BY_EMAIL: Table<String, UserId> = Table::new("users_by_email");
const PASSWORDS: Table<UserId, StoredPassword> = Table::new("passwords");
const LANGUAGES: Table<UserId, String> = Table::new("languages");
pub(crate) const SESSIONS: Table<(UserId, SessionId), Session> = Table::new("sessions");

/// What all events of one request share, and where they go.
#[derive(Clone)]
pub(crate) struct Cause {
    pub(crate) log: Log,
    /// When.
    pub(crate) at: Time,
    /// Who.
    pub(crate) by: Option<UserId>,
    /// In which request.
    pub(crate) trace: Option<String>,
}

impl Cause {
    fn tell(&self, tx: &mut Tx<'_>, key: String, fact: Fact) -> Result<(), ::store::Error> {
        let by = self.by.map(|id| id.to_string());
        let trace = self.trace.clone();
        self.log
            .append(tx, Draft { key, fact, at: self.at, by, trace })
            .map(|_| ())
    }
}
