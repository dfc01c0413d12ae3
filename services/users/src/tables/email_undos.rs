//! Changes of address that can be undone: the address before each, for [`UNDO_LIFE`].
//!
//! ```text
//! email_undos      account        → the addresses it can go back to, oldest first
//! email_undo_ends  expiry, change → account
//! email_reserved   former address → account
//! ```
//!
//! An account has one entry for each address that counted within the time, so undoing a later
//! change never takes an earlier undo away, and undoing an earlier one ends the later ones. A
//! former address stays reserved meanwhile: otherwise another account could take it, and
//! nothing could be undone. **Invariant:** each entry has one row in `email_undo_ends`, at its
//! expiry, and each former address of an account one in `email_reserved`.

use std::time::Duration;

use model::{EmailChangeId, Time, UserId};
use serde::{Deserialize, Serialize};
use store::{Read, Record, Table, Tx};

use crate::Error;
use crate::domain::{Email, User};

const UNDOS: Table<UserId, EmailUndos> = Table::new("email_undos");
const UNDO_ENDS: Table<(Time, EmailChangeId), UserId> = Table::new("email_undo_ends");
const RESERVED: Table<String, UserId> = Table::new("email_reserved");

/// How long a change of address can be undone: long enough for a week away from the mailbox.
const UNDO_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Most entries of an account, some 300 bytes each. The oldest is the owner's way back, so a
/// further change waits and no entry is dropped.
const UNDOS_MAX: usize = 8;

/// Entries expired at once, so that a transaction stays short.
const EXPIRED_AT_ONCE: usize = 64;

/// The entries of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct EmailUndos(Vec<EmailUndoEntry>);

impl Record for EmailUndos {}

/// An address that an account can go back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EmailUndoEntry {
    pub(crate) change_id: EmailChangeId,
    /// The address before the change.
    pub(crate) email: Email,
    /// When the first change from this address was requested. Entries of earlier versions lack
    /// it, and then everything was made since.
    #[serde(default = "long_ago")]
    pub(crate) since: Time,
    pub(crate) until: Time,
}

fn long_ago() -> Time {
    Time(0)
}

/// Makes the change that is being requested undoable: the entry of the account's current
/// address is made, or lasts anew.
///
/// # Errors
/// [`Error::Throttled`] when the account had too many addresses lately.
pub(crate) fn remember_email(
    tx: &mut Tx<'_>,
    user: &User,
    now: Time,
) -> Result<EmailUndoEntry, Error> {
    keep(tx, user.id, |undo| undo.until > now)?;
    let mut undos = live(tx, user.id, now)?;
    let newest = undos.pop_if(|newest| newest.email.key() == user.email.key());
    let (change_id, since) = match newest {
        Some(newest) => {
            tx.delete(UNDO_ENDS, &(newest.until, newest.change_id))?;
            (newest.change_id, newest.since)
        }
        None => (EmailChangeId::new(), now),
    };
    if let Some(oldest) = undos.first()
        && undos.len() >= UNDOS_MAX
    {
        return Err(Error::Throttled(oldest.until.since(now)));
    }
    let undo = EmailUndoEntry {
        change_id,
        email: user.email.clone(),
        since,
        until: now.after(UNDO_LIFE),
    };
    undos.push(undo.clone());
    tx.put(UNDO_ENDS, &(undo.until, change_id), &user.id)?;
    tx.put(UNDOS, &user.id, &EmailUndos(undos))?;
    Ok(undo)
}

/// Keeps an address that stopped counting for its account.
pub(crate) fn reserve_email(
    tx: &mut Tx<'_>,
    user_id: UserId,
    email: &Email,
) -> Result<(), store::Error> {
    tx.put(RESERVED, &email.key(), &user_id)
}

/// Whether an address is kept for an account other than `user_id`.
pub(super) fn is_reserved(
    read: &impl Read,
    email: &Email,
    user_id: UserId,
    now: Time,
) -> Result<bool, store::Error> {
    let key = email.key();
    match read.get(RESERVED, &key)? {
        Some(owner) if owner != user_id => {
            let undos = live(read, owner, now)?;
            Ok(undos.iter().any(|undo| undo.email.key() == key))
        }
        _ => Ok(false),
    }
}

/// The entry of a change, if it can still be undone.
pub(crate) fn email_undo(
    read: &impl Read,
    user_id: UserId,
    change_id: EmailChangeId,
    now: Time,
) -> Result<Option<EmailUndoEntry>, store::Error> {
    let undos = live(read, user_id, now)?;
    Ok(undos.into_iter().find(|undo| undo.change_id == change_id))
}

/// The entry by which an account goes back to an address, if there is one.
pub(crate) fn email_undo_to(
    read: &impl Read,
    user_id: UserId,
    email: &Email,
    now: Time,
) -> Result<Option<EmailUndoEntry>, store::Error> {
    let undos = live(read, user_id, now)?;
    Ok(undos
        .into_iter()
        .find(|undo| undo.email.key() == email.key()))
}

/// Takes the entry of a change and every later one of the account.
pub(crate) fn take_email_undo(
    tx: &mut Tx<'_>,
    user_id: UserId,
    change_id: EmailChangeId,
    now: Time,
) -> Result<Option<EmailUndoEntry>, store::Error> {
    let undos = live(tx, user_id, now)?;
    let Some(place) = undos.iter().position(|undo| undo.change_id == change_id) else {
        return Ok(None);
    };
    let taken = undos[place].clone();
    keep(tx, user_id, |undo| {
        undos[..place]
            .iter()
            .any(|kept| kept.change_id == undo.change_id)
    })?;
    Ok(Some(taken))
}

/// Deletes every entry of an account.
pub(super) fn forget_email_undos(tx: &mut Tx<'_>, user_id: UserId) -> Result<(), store::Error> {
    keep(tx, user_id, |_| false)
}

/// Deletes entries that have expired. Returns whether there may be more.
pub(crate) fn expire_email_undos(tx: &mut Tx<'_>, now: Time) -> Result<bool, store::Error> {
    let due = tx.scan(UNDO_ENDS.all())?.take(EXPIRED_AT_ONCE);
    let due = due.collect::<Result<Vec<_>, _>>()?;
    let due: Vec<_> = due
        .into_iter()
        .filter(|((until, _), _)| *until <= now)
        .collect();
    for (_, user_id) in &due {
        keep(tx, *user_id, |undo| undo.until > now)?;
    }
    Ok(due.len() == EXPIRED_AT_ONCE)
}

fn live(read: &impl Read, user_id: UserId, now: Time) -> Result<Vec<EmailUndoEntry>, store::Error> {
    let EmailUndos(mut undos) = read.get(UNDOS, &user_id)?.unwrap_or_default();
    undos.retain(|undo| undo.until > now);
    Ok(undos)
}

/// Deletes the entries of an account that `is_kept` does not keep, with their rows.
fn keep(
    tx: &mut Tx<'_>,
    user_id: UserId,
    is_kept: impl Fn(&EmailUndoEntry) -> bool,
) -> Result<(), store::Error> {
    let EmailUndos(undos) = tx.get(UNDOS, &user_id)?.unwrap_or_default();
    let (kept, dropped): (Vec<_>, Vec<_>) = undos.into_iter().partition(is_kept);
    for undo in &dropped {
        tx.delete(UNDO_ENDS, &(undo.until, undo.change_id))?;
        let key = undo.email.key();
        let is_owned = tx.get(RESERVED, &key)? == Some(user_id);
        if is_owned && kept.iter().all(|kept| kept.email.key() != key) {
            tx.delete(RESERVED, &key)?;
        }
    }
    match kept.is_empty() {
        true => tx.delete(UNDOS, &user_id),
        false => tx.put(UNDOS, &user_id, &EmailUndos(kept)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{Options, Store};

    #[tokio::test]
    async fn an_expired_entry_leaves_no_row() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Options::default()).unwrap();
        let email = |text| Email::parse(text).unwrap();
        let ana = User::new(email("ana@x.org"), "Ana".into(), Time(1));
        let moved = ana.moved(email("ana@y.org"), Time(2));
        let other = UserId::new();
        let written = store.write(move |tx| {
            let first = remember_email(tx, &ana, Time(1))?;
            reserve_email(tx, ana.id, &ana.email)?;
            let later = Time(1).after(UNDO_LIFE / 2);
            let second = remember_email(tx, &moved, later)?;
            let again = remember_email(tx, &moved, later.after(UNDO_LIFE / 4))?;
            assert_eq!(again.change_id, second.change_id, "the same address");
            assert_eq!(again.since, later);
            assert!(is_reserved(tx, &ana.email, other, later)?);
            assert!(!is_reserved(tx, &ana.email, ana.id, later)?, "its own");

            assert!(!is_reserved(tx, &ana.email, other, first.until)?);
            expire_email_undos(tx, first.until)?;
            assert_eq!(tx.get(RESERVED, &ana.email.key())?, None);
            let kept = live(tx, ana.id, first.until)?;
            assert_eq!(kept, std::slice::from_ref(&again));
            expire_email_undos(tx, again.until)?;
            assert_eq!(tx.get(UNDOS, &ana.id)?, None);
            assert_eq!(tx.scan(UNDO_ENDS.all())?.count(), 0);
            Ok::<_, Error>(())
        });
        written.await.unwrap();
    }
}
