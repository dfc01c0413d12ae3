//! What is kept, and every change to it with its event.
//!
//! ```text
//! users            account            → what its owner may see of it
//! users_by_email   lower-case address → account
//! passwords        account            → argon2id hash
//! sessions         account, session   → its state
//! signing_keys     kid                → public key and status
//! ```
//!
//! **Invariants:** `users_by_email` has exactly one row an account. A session
//! that goes while its tokens may live goes with `session.revoked`.

use chassis::limits::ACCESS_TOKEN_LIFE;
use mesh::{Draft, Fact, Id, KeyPublished, Log, Time, kinds};
use serde::{Deserialize, Serialize};
use store::{Read, Record, Table, Tx};

use crate::Error;
use crate::domain::{Addition, Email, Refresh, SESSIONS_PER_USER_MAX, Session, User};
use crate::password::Verified;
use crate::tokens::Generation;

type UserId = Id<kinds::User>;
type SessionId = Id<kinds::Session>;

pub(crate) const USERS: Table<UserId, User> = Table::new("users");
const USERS_BY_EMAIL: Table<String, UserId> = Table::new("users_by_email");
const PASSWORDS: Table<UserId, String> = Table::new("passwords");
pub(crate) const SESSIONS: Table<(UserId, SessionId), Session> = Table::new("sessions");
const SIGNING_KEYS: Table<String, SigningKey> = Table::new("signing_keys");

/// A public key that tokens are checked with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SigningKey {
    /// PASERK `k4.public.…`.
    pub(crate) key: String,
    pub(crate) status: KeyStatus,
    created_at: Time,
}

impl Record for SigningKey {}

/// What a key is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeyStatus {
    /// Signs.
    Active,
}

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

/// The account with an address, in whatever case it is written.
pub(crate) fn by_email(read: &impl Read, email: &Email) -> Result<Option<User>, Error> {
    match read.get(USERS_BY_EMAIL, &email.key())? {
        Some(id) => Ok(read.get(USERS, &id)?),
        None => Ok(None),
    }
}

/// The account of somebody whose token was believed.
pub(crate) fn caller(read: &impl Read, id: UserId) -> Result<User, Error> {
    let user = read.get(USERS, &id)?;
    user.filter(User::is_active).ok_or(Error::Unauthenticated)
}

/// The hash an account's password has.
pub(crate) fn password(read: &impl Read, id: UserId) -> Result<Option<String>, Error> {
    Ok(read.get(PASSWORDS, &id)?)
}

/// Every key that tokens are checked with, by kid.
pub(crate) fn keys(read: &impl Read) -> Result<Vec<(String, SigningKey)>, Error> {
    Ok(read.scan(SIGNING_KEYS.all())?.collect::<Result<_, _>>()?)
}

/// The kid of the key that signs.
pub(crate) fn active_key(read: &impl Read) -> Result<Option<String>, ::store::Error> {
    for row in read.scan(SIGNING_KEYS.all())? {
        let (kid, key) = row?;
        if key.status == KeyStatus::Active {
            return Ok(Some(kid));
        }
    }
    Ok(None)
}

/// Puts a key to use and tells everyone.
pub(crate) fn publish_key(
    tx: &mut Tx<'_>,
    published: KeyPublished,
    cause: &Cause,
) -> Result<(), ::store::Error> {
    let key = SigningKey {
        key: published.key.clone(),
        status: KeyStatus::Active,
        created_at: cause.at,
    };
    tx.put(SIGNING_KEYS, &published.kid, &key)?;
    cause.tell(tx, "keys".into(), Fact::KeyPublished(published))
}

/// Makes an account.
pub(crate) fn register(
    tx: &mut Tx<'_>,
    user: &User,
    hash: &String,
    cause: &Cause,
) -> Result<(), Error> {
    put_user(tx, None, user)?;
    tx.put(PASSWORDS, &user.id, hash)?;
    let fact = Fact::UserRegistered { user_id: user.id, staff: user.is_staff() };
    Ok(cause.tell(tx, user.id.to_string(), fact)?)
}

/// Changes an account; tokens that would allow too much end.
pub(crate) fn change(
    tx: &mut Tx<'_>,
    before: &User,
    after: &User,
    cause: &Cause,
) -> Result<(), Error> {
    put_user(tx, Some(before), after)?;
    if after.allows_less_than(before) {
        end_every_session(tx, after.id, cause)?;
    }
    Ok(())
}

/// Makes an account, or what there is of it to what is wanted. A new password
/// ends the sessions of whoever knew the old one. Whether it is new, too.
pub(crate) fn add(
    tx: &mut Tx<'_>,
    wanted: Addition,
    hash: Option<&String>,
    cause: &Cause,
) -> Result<(User, bool), Error> {
    let before = by_email(tx, &wanted.email)?;
    let user = User::added(before.as_ref(), wanted, cause.at);
    let Some(before) = before else {
        let hash = hash.ok_or_else(|| {
            let detail = "is required for an account that does not exist yet";
            Error::Invalid(vec![chassis::FieldError::new("/password", detail)])
        })?;
        register(tx, &user, hash, cause)?;
        return Ok((user, true));
    };
    change(tx, &before, &user, cause)?;
    if let Some(hash) = hash {
        tx.put(PASSWORDS, &user.id, hash)?;
        end_every_session(tx, user.id, cause)?;
    }
    Ok((user, false))
}

fn put_user(tx: &mut Tx<'_>, before: Option<&User>, after: &User) -> Result<(), Error> {
    let key = after.email.key();
    if tx
        .get(USERS_BY_EMAIL, &key)?
        .is_some_and(|id| id != after.id)
    {
        return Err(Error::EmailTaken);
    }
    if let Some(before) = before {
        tx.delete(USERS_BY_EMAIL, &before.email.key())?;
    }
    tx.put(USERS_BY_EMAIL, &key, &after.id)?;
    Ok(tx.put(USERS, &after.id, after)?)
}

/// Begins a session of an account whose password was found right, if it still is
/// and the account may be used.
pub(crate) fn log_in(
    tx: &mut Tx<'_>,
    user_id: UserId,
    verified: &Verified,
    (session_id, session): (SessionId, &Session),
    cause: &Cause,
) -> Result<User, Error> {
    let user = tx.get(USERS, &user_id)?.filter(User::is_active);
    let user = user.ok_or(Error::WrongCredentials)?;
    if password(tx, user_id)?.as_ref() != Some(&verified.hash) {
        return Err(Error::WrongCredentials);
    }
    if let Some(stronger) = &verified.stronger {
        tx.put(PASSWORDS, &user_id, stronger)?;
    }
    make_room(tx, user_id, cause)?;
    tx.put(SESSIONS, &(user_id, session_id), session)?;
    Ok(user)
}

/// Sees to it that an account can have one more session.
fn make_room(tx: &mut Tx<'_>, user_id: UserId, cause: &Cause) -> Result<(), Error> {
    let (mut live, over): (Vec<_>, Vec<_>) = sessions(tx, user_id)?
        .into_iter()
        .partition(|(_, session)| session.is_live(cause.at));
    for (id, _) in over {
        // Its tokens expired weeks ago, so there is nothing to revoke.
        tx.delete(SESSIONS, &(user_id, id))?;
    }
    live.sort_by_key(|(_, session)| session.refreshed_at);
    let too_many = (live.len() + 1).saturating_sub(SESSIONS_PER_USER_MAX);
    for (id, _) in live.drain(..too_many) {
        end_session(tx, user_id, id, cause)?;
    }
    Ok(())
}

/// What became of a refresh token that this shop made.
pub(crate) enum Refreshed {
    /// The session now has this pair.
    Pair(User, Session),
    /// There is none: the session is over, now if not before.
    Refused,
}

/// Lets a refresh token do what it may.
pub(crate) fn refresh(
    tx: &mut Tx<'_>,
    presented: Generation,
    cause: &Cause,
) -> Result<Refreshed, Error> {
    let Generation { user_id, session_id, number } = presented;
    let key = (user_id, session_id);
    let user = tx.get(USERS, &user_id)?.filter(User::is_active);
    let (Some(user), Some(session)) = (user, tx.get(SESSIONS, &key)?) else {
        return Ok(Refreshed::Refused);
    };
    match session.refresh(number, cause.at) {
        Refresh::Rotated(session) => {
            tx.put(SESSIONS, &key, &session)?;
            Ok(Refreshed::Pair(user, session))
        }
        Refresh::Repeated => Ok(Refreshed::Pair(user, session)),
        Refresh::Reused => {
            tracing::warn!(%user_id, %session_id, "a refresh token was used twice; its session ends");
            end_session(tx, user_id, session_id, cause)?;
            Ok(Refreshed::Refused)
        }
        Refresh::Over => Ok(Refreshed::Refused),
    }
}

/// Ends a session, known or not: whoever has its tokens cannot use them any more.
pub(crate) fn end_session(
    tx: &mut Tx<'_>,
    user_id: UserId,
    session_id: SessionId,
    cause: &Cause,
) -> Result<(), ::store::Error> {
    tx.delete(SESSIONS, &(user_id, session_id))?;
    let until = cause.at.after(ACCESS_TOKEN_LIFE);
    let fact = Fact::SessionRevoked { user_id, session_id, until, reason: None };
    cause.tell(tx, user_id.to_string(), fact)
}

fn end_every_session(tx: &mut Tx<'_>, user_id: UserId, cause: &Cause) -> Result<(), Error> {
    for (session_id, _) in sessions(tx, user_id)? {
        end_session(tx, user_id, session_id, cause)?;
    }
    Ok(())
}

fn sessions(read: &impl Read, user_id: UserId) -> Result<Vec<(SessionId, Session)>, Error> {
    let rows = read.scan(SESSIONS.prefix(&user_id))?;
    let rows = rows.map(|row| row.map(|((_, id), session)| (id, session)));
    Ok(rows.collect::<Result<_, _>>()?)
}
