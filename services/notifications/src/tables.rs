//! Tables of inboxes and the transactions over them.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | `inbox` | (user, notification) | [`Notification`] |
//! | `inbox_tallies` | user | [`InboxTally`] |
//!
//! **Invariant:** a tally is written in the transaction that changes its inbox, so its counts
//! are exact.

use ::store::{Error as StoreError, Read, Table, Tx};
use model::{Time, UserId};
use serde::{Deserialize, Serialize};

use crate::domain::{Notification, NotificationId, Retention, Topic, next_id};
use crate::error::Error;

/// (user, notification) → the entry; an inbox in order of insertion.
pub(crate) const INBOX: Table<(UserId, NotificationId), Notification> = Table::new("inbox");
/// user → counts of their inbox.
pub(crate) const TALLIES: Table<UserId, InboxTally> = Table::new("inbox_tallies");

/// Most old entries dropped with a new one: many, because finding the oldest passes over those
/// that were dropped lately, yet so few that no commit is long.
const DROPPED_MAX: usize = 128;

/// Entries per transaction when a whole inbox is processed.
pub(crate) const CHUNK_ENTRIES: usize = 500;

/// Counts of an inbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InboxTally {
    /// Entries.
    pub(crate) held: u64,
    /// Entries not marked read.
    pub(crate) unread: u64,
    /// The latest entry ever inserted, dropped or not.
    pub(crate) newest: Option<NotificationId>,
    /// Time of the oldest entry, if known: while it is within the bounds so are all, and an
    /// insertion need not read old entries.
    #[serde(default)]
    pub(crate) oldest_at: Option<Time>,
    /// Whether the user is erased.
    #[serde(default)]
    pub(crate) forgotten: bool,
}

impl ::store::Record for InboxTally {}

/// The counts of an inbox.
pub(crate) fn tally(from: &impl Read, user: UserId) -> Result<InboxTally, StoreError> {
    Ok(from.get(TALLIES, &user)?.unwrap_or_default())
}

/// Entries of an inbox, newest first, before `before` if that is given.
pub(crate) fn newest_first(
    from: &impl Read,
    user: UserId,
    before: Option<NotificationId>,
) -> Result<impl Iterator<Item = Result<(NotificationId, Notification), StoreError>>, StoreError> {
    let inbox = INBOX.prefix(&user).newest_first();
    let span = match before {
        Some(id) => inbox.before(&(user, id)),
        None => inbox,
    };
    Ok(from
        .scan(span)?
        .map(|row| row.map(|((_, id), entry)| (id, entry))))
}

/// The first `count_max` entries after `after`, oldest first.
pub(crate) fn entries_after(
    from: &impl Read,
    user: UserId,
    after: Option<NotificationId>,
    count_max: usize,
) -> Result<Vec<(NotificationId, Notification)>, StoreError> {
    let inbox = INBOX.prefix(&user);
    let span = match after {
        Some(id) => inbox.after(&(user, id)),
        None => inbox,
    };
    from.scan(span)?
        .take(count_max)
        .map(|row| row.map(|((_, id), entry)| (id, entry)))
        .collect()
}

/// Inserts an entry about an event at `at`, and drops the oldest entries beyond the bounds.
/// Returns its id; `None` if the user is erased.
pub(crate) fn add_entry(
    tx: &mut Tx<'_>,
    keep: &Retention,
    user: UserId,
    topic: Topic,
    at: Time,
) -> Result<Option<NotificationId>, StoreError> {
    let mut tally = tally(tx, user)?;
    if tally.forgotten {
        return Ok(None);
    }
    let id = next_id(NotificationId::new(), tally.newest);
    let entry = Notification { topic, read_at: None, created_at: at, counted: None };
    tx.put(INBOX, &(user, id), &entry)?;
    tally.held += 1;
    tally.unread += 1;
    tally.newest = Some(id);
    drop_oldest(tx, keep, user, &mut tally, at, DROPPED_MAX)?;
    tx.put(TALLIES, &user, &tally)?;
    Ok(Some(id))
}

/// Drops a chunk of the entries beyond the bounds at `now`; returns whether there may be more.
pub(crate) fn trim(
    tx: &mut Tx<'_>,
    keep: &Retention,
    user: UserId,
    now: Time,
) -> Result<bool, StoreError> {
    let mut tally = tally(tx, user)?;
    let dropped = drop_oldest(tx, keep, user, &mut tally, now, CHUNK_ENTRIES)?;
    tx.put(TALLIES, &user, &tally)?;
    Ok(dropped == CHUNK_ENTRIES)
}

/// Whether an inbox has expired entries. Insertions drop them; an inbox without insertions is
/// trimmed when it is read.
pub(crate) fn is_overdue(
    from: &impl Read,
    keep: &Retention,
    user: UserId,
    now: Time,
) -> Result<bool, StoreError> {
    let oldest = entries_after(from, user, None, 1)?;
    Ok(oldest
        .first()
        .is_some_and(|(_, entry)| keep.drops(0, 0, entry.created_at, now)))
}

fn drop_oldest(
    tx: &mut Tx<'_>,
    keep: &Retention,
    user: UserId,
    tally: &mut InboxTally,
    now: Time,
    count_max: usize,
) -> Result<usize, StoreError> {
    let held = tally.held;
    let keeps = |oldest_at| !keep.drops(0, held.saturating_sub(keep.slack()), oldest_at, now);
    if tally.oldest_at.is_some_and(keeps) {
        return Ok(0);
    }
    let oldest = entries_after(tx, user, None, count_max)?;
    let dropped = (0..)
        .zip(&oldest)
        .take_while(|(place, (_, entry))| keep.drops(*place, held, entry.created_at, now));
    let mut count = 0;
    for (_, (old, entry)) in dropped {
        tx.delete(INBOX, &(user, *old))?;
        tally.held -= 1;
        tally.unread -= u64::from(entry.read_at.is_none());
        count += 1;
    }
    tally.oldest_at = oldest.get(count).map(|(_, entry)| entry.created_at);
    Ok(count)
}

/// Counts an entry that was read as unread again.
pub(crate) fn note_unread(tx: &mut Tx<'_>, user: UserId) -> Result<(), StoreError> {
    let mut tally = tally(tx, user)?;
    tally.unread += 1;
    tx.put(TALLIES, &user, &tally)
}

/// Marks one entry read; the first time stays.
pub(crate) fn mark_read(
    tx: &mut Tx<'_>,
    user: UserId,
    id: NotificationId,
    now: Time,
) -> Result<(), Error> {
    let entry = tx.get(INBOX, &(user, id))?.ok_or(Error::NotFound)?;
    if entry.read_at.is_none() {
        let read = Notification { read_at: Some(now), ..entry };
        tx.put(INBOX, &(user, id), &read)?;
        let mut tally = tally(tx, user)?;
        tally.unread = tally.unread.saturating_sub(1);
        tx.put(TALLIES, &user, &tally)?;
    }
    Ok(())
}

/// Marks a chunk of an inbox read, newest first, and returns where the next one begins;
/// `None` once nothing is unread. One transaction over 10,000 entries would block every other
/// write of this service.
pub(crate) fn mark_chunk_read(
    tx: &mut Tx<'_>,
    user: UserId,
    before: Option<NotificationId>,
    now: Time,
) -> Result<Option<NotificationId>, StoreError> {
    let mut tally = tally(tx, user)?;
    if tally.unread == 0 {
        return Ok(None);
    }
    let chunk: Vec<_> = newest_first(tx, user, before)?
        .take(CHUNK_ENTRIES)
        .collect::<Result<_, _>>()?;
    let last = chunk.last().map(|(id, _)| *id);
    for (id, entry) in chunk {
        if entry.read_at.is_none() {
            let read = Notification { read_at: Some(now), ..entry };
            tx.put(INBOX, &(user, id), &read)?;
            tally.unread = tally.unread.saturating_sub(1);
        }
    }
    tx.put(TALLIES, &user, &tally)?;
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::store::{Options, Store};
    use model::Id;
    use std::time::Duration;

    const KEEP: Retention = Retention { entries_max: 3, age_max: Duration::from_millis(100) };

    fn held(store: &Store, user: UserId) -> Vec<i64> {
        let rows = newest_first(store, user, None).unwrap();
        rows.map(|row| row.unwrap().1.created_at.0).collect()
    }

    async fn add_at(store: &Store, user: UserId, moments: Vec<i64>) {
        let written = store.write(move |tx| {
            for at in moments {
                add_entry(tx, &KEEP, user, Topic::UserRegistered {}, Time(at))?;
            }
            Ok::<_, StoreError>(())
        });
        written.await.unwrap();
    }

    /// The oldest entries are dropped, by number and by age, and only the owner's.
    #[tokio::test]
    async fn an_inbox_keeps_to_its_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Options::default()).unwrap();
        let (user, other): (UserId, UserId) = (Id::new(), Id::new());
        add_at(&store, other, vec![1]).await;
        add_at(&store, user, vec![1, 2, 3]).await;
        let first = entries_after(&store, user, None, 1).unwrap()[0].0;
        let read = store.write(move |tx| mark_read(tx, user, first, Time(9)));
        read.await.unwrap();
        assert_eq!(tally(&store, user).unwrap().unread, 2);

        add_at(&store, user, vec![4]).await;
        assert_eq!(held(&store, user), [4, 3, 2]);
        let counted = tally(&store, user).unwrap();
        assert_eq!((counted.held, counted.unread), (3, 3));

        add_at(&store, user, vec![104]).await;
        assert_eq!(held(&store, user), [104, 4]);
        let counted = tally(&store, user).unwrap();
        assert_eq!((counted.held, counted.unread), (2, 2));
        assert_eq!(held(&store, other), [1]);
    }
}
