//! Inboxes as they are kept.
//!
//! | tree | key | value |
//! | --- | --- | --- |
//! | `inbox` | (user, notification) | [`Notification`] |
//! | `inbox_tallies` | user | [`Tally`] |
//!
//! **Invariant:** a tally is written in the transaction that changes its inbox,
//! so it always counts what is there.

use ::store::{Error as StoreError, Read, Table, Tx};
use mesh::Time;
use serde::{Deserialize, Serialize};

use crate::domain::{Notification, NotificationId, Retention, Topic, UserId, next_id};
use crate::error::Error;

/// (user, notification) → the entry; a user's inbox in the order it was told.
const INBOX: Table<(UserId, NotificationId), Notification> = Table::new("inbox");
/// user → what their inbox holds.
const TALLIES: Table<UserId, Tally> = Table::new("inbox_tallies");

/// How many of the oldest entries one new one may push out: more than come in,
/// so that an inbox shrinks to its bounds, yet no commit is long.
const DROPPED_MAX: usize = 8;

/// How many entries one transaction looks at when all are marked read.
const MARKED_MAX: usize = 500;

/// What an inbox holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Its entries.
    pub(crate) held: u64,
    /// Those not marked read.
    pub(crate) unread: u64,
    /// The one told last, also when it is no longer held.
    pub(crate) newest: Option<NotificationId>,
}

impl ::store::Record for Tally {}

/// What `user`'s inbox holds.
pub(crate) fn tally(from: &impl Read, user: UserId) -> Result<Tally, StoreError> {
    Ok(from.get(TALLIES, &user)?.unwrap_or_default())
}

/// An inbox, newest first, told before `before` if that is given.
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

/// The first `count_max` entries told after `after`, oldest first.
pub(crate) fn told_after(
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

/// Puts an entry about what happened at `at` into an inbox, and drops the oldest
/// that are no longer kept.
pub(crate) fn tell(
    tx: &mut Tx<'_>,
    keep: &Retention,
    user: UserId,
    topic: Topic,
    at: Time,
) -> Result<NotificationId, StoreError> {
    let mut tally = tally(tx, user)?;
    let id = next_id(NotificationId::new(), tally.newest);
    let told = Notification { topic, read_at: None, created_at: at };
    tx.put(INBOX, &(user, id), &told)?;
    tally.held += 1;
    tally.unread += 1;
    tally.newest = Some(id);
    let held = tally.held;
    let oldest = told_after(tx, user, None, DROPPED_MAX)?;
    let dropped = (0..)
        .zip(&oldest)
        .take_while(|(place, (_, entry))| keep.drops(*place, held, entry.created_at, at));
    for (_, (old, entry)) in dropped {
        tx.delete(INBOX, &(user, *old))?;
        tally.held -= 1;
        tally.unread -= u64::from(entry.read_at.is_none());
    }
    tx.put(TALLIES, &user, &tally)?;
    Ok(id)
}

/// Marks one entry read; the moment it was first read stays.
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

/// Marks a stretch of an inbox read, newest first, and returns where the next
/// one begins; `None` once nothing is unread. Stretches, since one transaction
/// over 10,000 entries would hold up every other write of this service.
pub(crate) fn mark_stretch_read(
    tx: &mut Tx<'_>,
    user: UserId,
    before: Option<NotificationId>,
    now: Time,
) -> Result<Option<NotificationId>, StoreError> {
    let mut tally = tally(tx, user)?;
    if tally.unread == 0 {
        return Ok(None);
    }
    let stretch: Vec<_> = newest_first(tx, user, before)?
        .take(MARKED_MAX)
        .collect::<Result<_, _>>()?;
    let last = stretch.last().map(|(id, _)| *id);
    for (id, entry) in stretch {
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
    use std::time::Duration;

    const KEEP: Retention = Retention { entries_max: 3, age_max: Duration::from_millis(100) };

    fn held(store: &Store, user: UserId) -> Vec<i64> {
        let rows = newest_first(store, user, None).unwrap();
        rows.map(|row| row.unwrap().1.created_at.0).collect()
    }

    async fn tell_at(store: &Store, user: UserId, moments: Vec<i64>) {
        let told = store.write(move |tx| {
            for at in moments {
                tell(tx, &KEEP, user, Topic::UserRegistered {}, Time(at))?;
            }
            Ok::<_, StoreError>(())
        });
        told.await.unwrap();
    }

    /// Everything here is read back from `held` and the tally: what is dropped is
    /// the owner's oldest, by number and by age, and only theirs.
    #[tokio::test]
    async fn an_inbox_keeps_to_its_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Options::default()).unwrap();
        let (user, other) = (UserId::new(), UserId::new());
        tell_at(&store, other, vec![1]).await;
        tell_at(&store, user, vec![1, 2, 3]).await;
        let first = told_after(&store, user, None, 1).unwrap()[0].0;
        let read = store.write(move |tx| mark_read(tx, user, first, Time(9)));
        read.await.unwrap();
        assert_eq!(tally(&store, user).unwrap().unread, 2);

        tell_at(&store, user, vec![4]).await;
        assert_eq!(held(&store, user), [4, 3, 2]);
        let counted = tally(&store, user).unwrap();
        assert_eq!((counted.held, counted.unread), (3, 3));

        tell_at(&store, user, vec![104]).await;
        assert_eq!(held(&store, user), [104, 4]);
        let counted = tally(&store, user).unwrap();
        assert_eq!((counted.held, counted.unread), (2, 2));
        assert_eq!(held(&store, other), [1]);
    }
}
