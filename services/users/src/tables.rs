//! Tables of accounts, address books, sessions and API keys, and the transactions that write them together
//! with their events.
//!
//! ```text
//! users            account             → the account as its owner sees it
//! users_by_email   lower-case address  → account
//! passwords        account             → argon2id hash and its generation
//! languages        account             → BCP 47 tag the owner reads
//! erased           account             → when it was erased
//! addresses        account, address   → entry of the account's address book
//! people_by_part   part, account       → found by that part of the address or name
//! sessions         account, session    → state of the session
//! api_keys         API key             → its scopes, its maker and the MAC of its secret
//! letters          time, random bytes  → account that asked for a password reset
//! ```
//!
//! `accounts` writes the first five, `address_book`, `people`, `sessions`, `api_keys` and `pending_resets` one each;
//! `email_undos`, `codes`, `factors`, `keys` and `throttle` own tables of their own.
//!
//! **Invariants:** `users_by_email` has exactly one row per account. A session
//! deleted while its tokens may still be valid is deleted with `session.revoked`.

mod accounts;
mod address_book;
mod api_keys;
mod email_undos;
mod pending_resets;
mod people;
mod sessions;

use mesh::{Cause, Draft, Log};
use model::{AddressId, ApiKeyId, Fact, SessionId, Time, UserId};
use store::{Table, Tx};

use crate::domain::{AddressEntry, ApiKey, Session, User};
use crate::password::StoredPassword;

pub(crate) use accounts::*;
pub(crate) use address_book::*;
pub(crate) use api_keys::*;
pub(crate) use email_undos::*;
pub(crate) use pending_resets::*;
pub(crate) use people::*;
pub(crate) use sessions::*;

pub(crate) const USERS: Table<UserId, User> = Table::new("users");
const USERS_BY_EMAIL: Table<String, UserId> = Table::new("users_by_email");
const PASSWORDS: Table<UserId, StoredPassword> = Table::new("passwords");
const LANGUAGES: Table<UserId, String> = Table::new("languages");
pub(crate) const ERASED: Table<UserId, Time> = Table::new("erased");
pub(crate) const ADDRESSES: Table<(UserId, AddressId), AddressEntry> = Table::new("addresses");
pub(crate) const SESSIONS: Table<(UserId, SessionId), Session> = Table::new("sessions");
pub(crate) const API_KEYS: Table<ApiKeyId, ApiKey> = Table::new("api_keys");

/// The cause of a change, and the log that receives its events.
#[derive(Clone)]
pub(crate) struct AccountCause {
    pub(crate) log: Log,
    pub(crate) cause: Cause,
}

impl AccountCause {
    /// The time of the change.
    pub(crate) fn at(&self) -> Time {
        self.cause.at
    }

    /// Appends an event to the log.
    pub(crate) fn append(
        &self,
        tx: &mut Tx<'_>,
        key: String,
        fact: Fact,
    ) -> Result<(), store::Error> {
        let draft = Draft { key, fact, cause: self.cause.clone() };
        self.log.append(tx, draft).map(|_| ())
    }
}
