//! Password resets that were requested and whose code is still to be sent.
//!
//! A request is answered before the account is looked at; the code is requested in a
//! second transaction. **Invariant:** the first transaction costs the same write whether
//! or not an account has the address, and a crash between the two loses nothing: pending
//! rows are completed at the next start.

use model::{CodePurpose, Fact, Id, Time, UserId};
use store::{Read, Table, Tx};

use super::{AccountCause, USERS};
use crate::domain::User;
use crate::{Error, codes};

/// (time, random bytes) → the account, or an unused id where none has the address.
const PENDING_RESETS: Table<(Time, [u8; 16]), UserId> = Table::new("letters");

/// Key of a pending reset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PendingReset(Time, [u8; 16]);

/// Records a reset request for an account, or for none.
pub(crate) fn add_pending_reset(
    tx: &mut Tx<'_>,
    user_id: Option<UserId>,
    now: Time,
) -> Result<PendingReset, Error> {
    let pending = PendingReset(now, rand::random());
    let user_id = user_id.unwrap_or_else(Id::new);
    tx.put(PENDING_RESETS, &(pending.0, pending.1), &user_id)?;
    Ok(pending)
}

/// Every pending reset: those a crash left behind, when called at start.
pub(crate) fn pending_resets(read: &impl Read) -> Result<Vec<PendingReset>, store::Error> {
    let rows = read.scan(PENDING_RESETS.all())?;
    rows.map(|row| row.map(|((at, key), _)| PendingReset(at, key)))
        .collect()
}

/// Removes a pending reset and requests the code, if an active account asked for it.
pub(crate) fn complete_reset_request(
    tx: &mut Tx<'_>,
    PendingReset(at, key): PendingReset,
    cause: &AccountCause,
) -> Result<(), Error> {
    let user_id = tx.get(PENDING_RESETS, &(at, key))?;
    tx.delete(PENDING_RESETS, &(at, key))?;
    let user = user_id.map(|id| tx.get(USERS, &id)).transpose()?.flatten();
    match user.filter(User::is_active) {
        Some(user) => request_code(tx, user.id, CodePurpose::PasswordReset, cause),
        None => Ok(()),
    }
}

/// Requests a one-time code for an account; it replaces the previous one.
pub(crate) fn request_code(
    tx: &mut Tx<'_>,
    user_id: UserId,
    purpose: CodePurpose,
    cause: &AccountCause,
) -> Result<(), Error> {
    let until = codes::request(tx, user_id, purpose, cause.at())?;
    let fact = Fact::UserCodeRequested { user_id, purpose, until };
    Ok(cause.append(tx, user_id.to_string(), fact)?)
}

#[cfg(test)]
mod tests {
    use super::super::register;
    use super::*;
    use crate::domain::Email;
    use mesh::{Cause, Event, Log};
    use store::{Options, Store};

    #[tokio::test]
    async fn a_pending_reset_completes_once_and_only_for_an_account() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Options::default()).unwrap();
        let log = Log::open(store.clone(), "users", Time(1)).await.unwrap();
        let email = Email::parse("ana@example.org").unwrap();
        let ana = User::new(email, "Ana".into(), Time(1));
        let cause = AccountCause { log: log.clone(), cause: Cause::own(Time(7)) };
        let sent = store.write(move |tx| {
            register(tx, &ana, "hash".into(), &cause)?;
            add_pending_reset(tx, Some(ana.id), Time(2))?;
            add_pending_reset(tx, None, Time(2))?;
            // As after a crash, and each one twice.
            let pending = pending_resets(tx)?;
            assert_eq!(pending.len(), 2);
            for reset in pending.iter().chain(&pending) {
                complete_reset_request(tx, *reset, &cause)?;
            }
            assert!(pending_resets(tx)?.is_empty());
            Ok::<_, Error>(())
        });
        sent.await.unwrap();
        let events = log.read(0).unwrap();
        let kinds = events
            .iter()
            .map(|event| Event::decode(&event.body).unwrap().kind);
        let kinds: Vec<_> = kinds.collect();
        assert_eq!(kinds, ["user.registered", "user.code_requested"]);
    }
}
