//! Transactions on sessions: log in, refresh, revoke.

use std::net::IpAddr;

use chassis::limits::ACCESS_TOKEN_LIFE;
use model::{Fact, RevocationReason, SessionId, UserId};
use store::{Read, Tx};

use super::{AccountCause, SESSIONS, USERS, confirm_password, password};
use crate::Error;
use crate::challenges::Challenge;
use crate::domain::{Refresh, SESSIONS_PER_USER_MAX, Session, User};
use crate::password::Verified;
use crate::tokens::Generation;

#[cfg(test)]
mod tests;

/// The most sessions that are deleted in one transaction.
const DELETED_AT_ONCE: usize = 1_000;

/// Deletes sessions of any account without an event, for a shop whose signing keys were all
/// replaced, so that no access token is left; returns how many.
pub(crate) fn delete_sessions(tx: &mut Tx<'_>) -> Result<usize, Error> {
    let some: Result<Vec<_>, _> = tx
        .scan(SESSIONS.all())?
        .take(DELETED_AT_ONCE)
        .map(|row| row.map(|(key, _)| key))
        .collect();
    let some = some?;
    for key in &some {
        tx.delete(SESSIONS, key)?;
    }
    Ok(some.len())
}

/// The account of a verified password, if the password is still current and the account
/// active.
pub(crate) fn confirm_login(
    tx: &mut Tx<'_>,
    user_id: UserId,
    verified: &Verified,
) -> Result<User, Error> {
    let user = tx.get(USERS, &user_id)?.filter(User::is_active);
    let user = user.ok_or(Error::WrongCredentials)?;
    if !confirm_password(tx, user_id, verified)? {
        return Err(Error::WrongCredentials);
    }
    keep_room_for(tx, &user);
    Ok(user)
}

/// The account that a login challenge is about, if the password is still the one that the
/// challenge was given for and the account active.
pub(crate) fn challenged(tx: &mut Tx<'_>, challenge: Challenge) -> Result<User, Error> {
    let user = tx.get(USERS, &challenge.user_id)?.filter(User::is_active);
    let user = user.ok_or(Error::WrongChallenge)?;
    let password = password(tx, user.id)?;
    if password.is_none_or(|password| password.generation != challenge.generation) {
        return Err(Error::WrongChallenge);
    }
    keep_room_for(tx, &user);
    Ok(user)
}

/// Starts a session of an account that has logged in.
pub(crate) fn begin_session(
    tx: &mut Tx<'_>,
    user_id: UserId,
    session_id: SessionId,
    session: &Session,
    cause: &AccountCause,
) -> Result<(), Error> {
    end_oldest_sessions(tx, user_id, cause)?;
    Ok(tx.put(SESSIONS, &(user_id, session_id), session)?)
}

/// Ends the least recently used sessions until one more fits the limit.
fn end_oldest_sessions(
    tx: &mut Tx<'_>,
    user_id: UserId,
    cause: &AccountCause,
) -> Result<(), Error> {
    let (mut live, over): (Vec<_>, Vec<_>) = sessions(tx, user_id)?
        .into_iter()
        .partition(|(_, session)| session.has_tokens(cause.at()));
    for (id, _) in over {
        // All its tokens have expired: there is nothing to revoke.
        tx.delete(SESSIONS, &(user_id, id))?;
    }
    live.sort_by_key(|(_, session)| session.refreshed_at);
    let too_many = (live.len() + 1).saturating_sub(SESSIONS_PER_USER_MAX);
    for (id, _) in live.drain(..too_many) {
        end_session(tx, user_id, id, RevocationReason::TooMany, cause)?;
    }
    Ok(())
}

/// Outcome of presenting a genuine refresh token.
pub(crate) enum Refreshed {
    /// The session's current generation.
    Pair(User, Session),
    /// The session has ended, at the latest now.
    Refused,
}

/// Lets the sessions of staff use the reserve of a nearly full disk, so that they can look at
/// what fills it.
fn keep_room_for(tx: &mut Tx<'_>, user: &User) {
    if user.is_staff() {
        tx.use_reserve();
    }
}

/// Rotates a refresh token presented from `address`, or ends the session of a reused one.
pub(crate) fn refresh(
    tx: &mut Tx<'_>,
    presented: Generation,
    address: IpAddr,
    cause: &AccountCause,
) -> Result<Refreshed, Error> {
    let Generation { user_id, session_id, number } = presented;
    let key = (user_id, session_id);
    let user = tx.get(USERS, &user_id)?.filter(User::is_active);
    let (Some(user), Some(session)) = (user, tx.get(SESSIONS, &key)?) else {
        return Ok(Refreshed::Refused);
    };
    keep_room_for(tx, &user);
    match session.refresh(number, cause.at()) {
        Refresh::Rotated(session) => {
            let session = Session { address: Some(address), ..session };
            tx.put(SESSIONS, &key, &session)?;
            Ok(Refreshed::Pair(user, session))
        }
        Refresh::Repeated => Ok(Refreshed::Pair(user, session)),
        Refresh::Reused => {
            tracing::warn!(%user_id, %session_id, "a refresh token was used twice; its session ends");
            end_session(tx, user_id, session_id, RevocationReason::Reused, cause)?;
            Ok(Refreshed::Refused)
        }
        Refresh::Over => Ok(Refreshed::Refused),
    }
}

/// Ends a session, stored or not, and revokes its tokens.
pub(crate) fn end_session(
    tx: &mut Tx<'_>,
    user_id: UserId,
    session_id: SessionId,
    reason: RevocationReason,
    cause: &AccountCause,
) -> Result<(), store::Error> {
    let key = (user_id, session_id);
    // After the clock stepped back, the last token was issued later than now.
    let refreshed_at = tx.get(SESSIONS, &key)?.map(|session| session.refreshed_at);
    let until = refreshed_at
        .max(Some(cause.at()))
        .unwrap_or(cause.at())
        .after(ACCESS_TOKEN_LIFE);
    tx.delete(SESSIONS, &key)?;
    let reason = Some(reason);
    let fact = Fact::SessionRevoked { user_id, session_id, until, reason };
    cause.append(tx, user_id.to_string(), fact)
}

/// Ends all sessions of an account but `keep`.
pub(crate) fn end_every_session(
    tx: &mut Tx<'_>,
    user_id: UserId,
    keep: Option<SessionId>,
    reason: RevocationReason,
    cause: &AccountCause,
) -> Result<(), Error> {
    for (session_id, _) in sessions(tx, user_id)? {
        if Some(session_id) != keep {
            end_session(tx, user_id, session_id, reason, cause)?;
        }
    }
    Ok(())
}

/// The sessions of an account, oldest first, expired ones included.
pub(crate) fn sessions(
    read: &impl Read,
    user_id: UserId,
) -> Result<Vec<(SessionId, Session)>, Error> {
    let rows = read.scan(SESSIONS.prefix(&user_id))?;
    let rows = rows.map(|row| row.map(|((_, id), session)| (id, session)));
    Ok(rows.collect::<Result<_, _>>()?)
}
