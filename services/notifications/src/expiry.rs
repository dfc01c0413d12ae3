//! Expiry: deletes inboxes of erased accounts and messages of deleted webhooks, in chunks.
//!
//! Chunks keep every transaction short. The table `forgetting` lists the erased users whose
//! inbox is not deleted yet. **Invariants:** the remaining work is recorded in the store, so an
//! interrupted expiry continues at the next start. An erased user gets no new entry, in
//! whichever order the logs of two services arrive.

use std::sync::Arc;
use std::time::Duration;

use ::store::{Error as StoreError, Read, Table, Tx};
use chassis::Context;
use model::UserId;
use tokio::sync::Notify;

use crate::inbox_digest::INBOX_WINDOWS;
use crate::mail::digest::MAIL_WINDOWS;
use crate::tables::{CHUNK_ENTRIES, INBOX, InboxTally, TALLIES, entries_after, tally};
use crate::{preferences, webhooks, windows};

/// Erased users whose inbox is not yet deleted.
const FORGETTING: Table<UserId, ()> = Table::new("forgetting");

/// How often the tables are checked without a wake-up.
const CHECK_EVERY: Duration = Duration::from_secs(60);

/// Starts the task; `wake_up` announces something to delete.
pub(crate) fn start(ctx: &Context, wake_up: Arc<Notify>) {
    let store = ctx.store.clone();
    let expiry = async move {
        loop {
            let deleted = store.write_when_free(|tx| {
                Ok::<_, StoreError>(forget_chunk(tx)? || webhooks::tables::delete_chunk(tx)?)
            });
            match deleted.await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "expired rows cannot be deleted"),
            }
            let _ = tokio::time::timeout(CHECK_EVERY, wake_up.notified()).await;
        }
    };
    ctx.tasks
        .spawn(ctx.stop.clone().run_until_cancelled_owned(expiry));
}

/// Marks a user as erased: no new entries, and the inbox is deleted by the expiry.
pub(crate) fn forget(tx: &mut Tx<'_>, user: UserId) -> Result<(), StoreError> {
    let tally = InboxTally { forgotten: true, ..tally(tx, user)? };
    tx.put(TALLIES, &user, &tally)?;
    preferences::forget(tx, user)?;
    windows::forget(tx, MAIL_WINDOWS, user)?;
    windows::forget(tx, INBOX_WINDOWS, user)?;
    tx.put(FORGETTING, &user, &())
}

/// Deletes a chunk of an erased user's inbox; `false` once none is left.
pub(crate) fn forget_chunk(tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    let next = tx.scan(FORGETTING.all())?.next().transpose()?;
    let Some((user, ())) = next else {
        return Ok(false);
    };
    let chunk = entries_after(tx, user, None, CHUNK_ENTRIES)?;
    for (id, _) in &chunk {
        tx.delete(INBOX, &(user, *id))?;
    }
    if chunk.len() < CHUNK_ENTRIES {
        let tally = InboxTally { forgotten: true, ..InboxTally::default() };
        tx.put(TALLIES, &user, &tally)?;
        tx.delete(FORGETTING, &user)?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Retention, Topic};
    use crate::tables::{add_entry, newest_first};
    use ::store::{Options, Store};
    use model::{Id, Time};

    /// An inbox of more than one chunk is deleted, others stay, and a late event adds nothing.
    #[tokio::test]
    async fn an_erased_user_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Options::default()).unwrap();
        let (user, other): (UserId, UserId) = (Id::new(), Id::new());
        let keep = Retention { entries_max: 10_000, age_max: Duration::from_secs(1) };
        let held = |user| {
            let rows = newest_first(&store, user, None).unwrap();
            rows.map(|row| row.unwrap().1.created_at.0)
                .collect::<Vec<_>>()
        };
        let filled = store.write(move |tx| {
            for _ in 0..CHUNK_ENTRIES + 1 {
                add_entry(tx, &keep, user, Topic::UserRegistered {}, Time(1))?;
            }
            add_entry(tx, &keep, other, Topic::UserRegistered {}, Time(1))?;
            forget(tx, user)
        });
        filled.await.unwrap();
        for left in [true, true, false] {
            assert_eq!(store.write(forget_chunk).await.unwrap(), left);
        }
        let late =
            store.write(move |tx| add_entry(tx, &keep, user, Topic::UserRegistered {}, Time(2)));
        late.await.unwrap();
        assert!(held(user).is_empty());
        assert_eq!(tally(&store, user).unwrap().unread, 0);
        assert_eq!(held(other), [1]);
    }
}
