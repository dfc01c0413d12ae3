//! Changes of an account's e-mail address.
//!
//! A change is requested with the password, counts once a code sent to the new address is
//! confirmed, and can be undone by a link sent to the old one. The old address is written to at
//! the request, while it still counts: its owner learns of a takeover before it has happened,
//! and the link works before and after the confirmation.
//!
//! **Invariants:** until the confirmation the old address counts everywhere: for logins, codes
//! and mail. The pending address is part of the requested code, so both expire together.

use std::sync::Arc;
use std::time::Duration;

use model::{CodePurpose, Fact, RevocationReason};
use store::{Read, Tx};
use tokio_util::sync::CancellationToken;

use crate::codes::{self, Codes};
use crate::domain::{Email, User};
use crate::tables::{self, AccountCause, USERS};
use crate::{Error, Users, factors};

/// How often expired entries are deleted: an old address is kept an hour too long at most.
const EXPIRE_EVERY: Duration = Duration::from_secs(3600);

/// Requests the change of an account's address. Returns the account.
///
/// The same address in another spelling is shown at once and stays verified; it withdraws a
/// pending change.
pub(crate) fn request(
    tx: &mut Tx<'_>,
    user: &User,
    email: Email,
    cause: &AccountCause,
) -> Result<User, Error> {
    let (user_id, now) = (user.id, cause.at());
    codes::revoke(tx, user_id, CodePurpose::EmailChange)?;
    if email.key() == user.email.key() {
        let after = user.respelled(email, now);
        tables::change(tx, user, &after, cause)?;
        return Ok(after);
    }
    if tables::is_taken(tx, &email, user_id, now)? {
        return Err(Error::EmailTaken);
    }
    let undo = tables::remember_email(tx, user, now)?;
    let until = codes::request_change(tx, user_id, email, now)?;
    let purpose = CodePurpose::EmailChange;
    let code = Fact::UserCodeRequested { user_id, purpose, until };
    cause.append(tx, user_id.to_string(), code)?;
    let (change_id, until) = (undo.change_id, undo.until);
    let requested = Fact::UserEmailChangeRequested { user_id, change_id, until };
    cause.append(tx, user_id.to_string(), requested)?;
    Ok(user.clone())
}

/// Makes the pending address the account's, if the code is right; `None` if it is not.
pub(crate) fn confirm(
    tx: &mut Tx<'_>,
    codes: &Codes,
    before: &User,
    typed: &str,
    cause: &AccountCause,
) -> Result<Option<User>, Error> {
    let now = cause.at();
    let Some(email) = codes::pending_email(tx, before.id, now)? else {
        return Ok(None);
    };
    if !codes.redeem(tx, before, CodePurpose::EmailChange, typed, now)? {
        return Ok(None);
    }
    let after = before.moved(email, now);
    tables::change(tx, before, &after, cause)?;
    // Going back to an address is an undo of every change since: the links sent to addresses
    // that were held in between must not take the account away again.
    let gone_back = tables::email_undo_to(tx, before.id, &after.email, now)?;
    match gone_back {
        Some(undo) => {
            tables::take_email_undo(tx, before.id, undo.change_id, now)?;
        }
        None => tables::reserve_email(tx, before.id, &before.email)?,
    }
    Ok(Some(after))
}

/// Gives an account its address from before a change back, and ends everything that the author
/// of the change may hold.
///
/// This is the one place where what was made since the change goes: a pending change, codes,
/// sessions and a second factor; API keys belong here as well. The author knew the password,
/// so a code to choose another one is sent to the address.
pub(crate) fn undo(
    tx: &mut Tx<'_>,
    codes: &Codes,
    token: &str,
    cause: &AccountCause,
) -> Result<(), Error> {
    let now = cause.at();
    let (user_id, change_id) = codes.read_undo_token(token).ok_or(Error::WrongUndoToken)?;
    let before = tx.get(USERS, &user_id)?.ok_or(Error::WrongUndoToken)?;
    let undo = tables::take_email_undo(tx, user_id, change_id, now)?;
    let undo = undo.ok_or(Error::WrongUndoToken)?;
    for purpose in codes::PURPOSES {
        codes::revoke(tx, user_id, purpose)?;
    }
    // The token was sent to the address, so it proves the mailbox.
    let after = before.moved(undo.email, now);
    let after = factors::without_newer(tx, after, undo.since, now)?;
    tables::change(tx, &before, &after, cause)?;
    tables::end_every_session(tx, user_id, None, RevocationReason::AccountChanged, cause)?;
    match after.is_active() {
        true => tables::request_code(tx, user_id, CodePurpose::PasswordReset, cause),
        false => Ok(()),
    }
}

impl Users {
    /// Deletes expired entries until `stop`.
    pub(crate) async fn expire_email_undos(self: Arc<Self>, stop: CancellationToken) {
        let expiry = async {
            loop {
                let now = model::now();
                let expired = self
                    .store
                    .write_when_free(move |tx| tables::expire_email_undos(tx, now));
                match expired.await {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(error) => {
                        tracing::error!(%error, "old addresses are kept for an hour more");
                    }
                }
                tokio::time::sleep(EXPIRE_EVERY).await;
            }
        };
        stop.run_until_cancelled(expiry).await;
    }
}
