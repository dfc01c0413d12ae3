//! Inboxes as they are kept.
//!
//! | tree | key | value |
//! | --- | --- | --- |
//! | `inbox` | (user, notification) | [`Notification`] |
//! | `inbox_tallies` | user | [`Tally`] |
//! | `forgetting` | user | nothing: their inbox is still to be emptied |
//!
//! **Invariants:** a tally is written in the transaction that changes its inbox,
//! so it always counts what is there. Who is forgotten is told nothing any more,
//! in whichever order the logs of two services arrive.

use ::store::{Error as StoreError, Read, Table, Tx};
use model::Time;
use serde::{Deserialize, Serialize};

use crate::domain::{Notification, NotificationId, Retention, Topic, UserId, next_id};
use crate::error::Error;

/// (user, notification) → the entry; a user's inbox in the order it was told.
const INBOX: Table<(UserId, NotificationId), Notification> = Table::new("inbox");
/// user → what their inbox holds.
const TALLIES: Table<UserId, Tally> = Table::new("inbox_tallies");
/// Who was forgotten, until nothing of their inbox is left.
const FORGETTING: Table<UserId, ()> = Table::new("forgetting");

/// How many of the oldest entries one new one may push out: more than come in,
/// so that an inbox shrinks to its bounds, yet no commit is long.
const DROPPED_MAX: usize = 8;

/// How many entries one transaction looks at when it goes through an inbox.
const STRETCH_ENTRIES: usize = 500;

/// What an inbox holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Its entries.
    pub(crate) held: u64,
    /// Those not marked read.
    pub(crate) unread: u64,
    /// The one told last, also when it is no longer held.
    pub(crate) newest: Option<NotificationId>,
    /// What the oldest entry is about happened then, if that is known: while it is
    /// kept, so are all, and a new entry needs no look at the old ones.
    #[serde(default)]
    pub(crate) oldest_at: Option<Time>,
    /// Whether they are erased.
    #[serde(default)]
    pub(crate) forgotten: bool,
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
) -> Result<(), StoreError> {
    let mut tally = tally(tx, user)?;
    if tally.forgotten {
        return Ok(());
    }
    let id = next_id(NotificationId::new(), tally.newest);
    let told = Notification { topic, read_at: None, created_at: at };
    tx.put(INBOX, &(user, id), &told)?;
    tally.held += 1;
    tally.unread += 1;
    tally.newest = Some(id);
    drop_oldest(tx, keep, user, &mut tally, at, DROPPED_MAX)?;
    tx.put(TALLIES, &user, &tally)
}

/// Drops what is no longer kept at `now`, a stretch of it, and says whether there
/// may be more.
pub(crate) fn trim(
    tx: &mut Tx<'_>,
    keep: &Retention,
    user: UserId,
    now: Time,
) -> Result<bool, StoreError> {
    let mut tally = tally(tx, user)?;
    let dropped = drop_oldest(tx, keep, user, &mut tally, now, STRETCH_ENTRIES)?;
    tx.put(TALLIES, &user, &tally)?;
    Ok(dropped == STRETCH_ENTRIES)
}

/// Whether an inbox holds what is too old to be kept. New entries push out old
/// ones; an inbox that nothing is put into is trimmed when it is read.
pub(crate) fn is_overdue(
    from: &impl Read,
    keep: &Retention,
    user: UserId,
    now: Time,
) -> Result<bool, StoreError> {
    let oldest = told_after(from, user, None, 1)?;
    Ok(oldest
        .first()
        .is_some_and(|(_, entry)| keep.drops(0, 0, entry.created_at, now)))
}

fn drop_oldest(
    tx: &mut Tx<'_>,
    keep: &Retention,
    user: UserId,
    tally: &mut Tally,
    now: Time,
    count_max: usize,
) -> Result<usize, StoreError> {
    let held = tally.held;
    let keeps = |oldest_at| !keep.drops(0, held, oldest_at, now);
    if tally.oldest_at.is_some_and(keeps) {
        return Ok(0);
    }
    let oldest = told_after(tx, user, None, count_max)?;
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

/// From now on nothing is told to `user`; what was told is dropped soon.
pub(crate) fn forget(tx: &mut Tx<'_>, user: UserId) -> Result<(), StoreError> {
    let tally = Tally { forgotten: true, ..tally(tx, user)? };
    tx.put(TALLIES, &user, &tally)?;
    tx.put(FORGETTING, &user, &())
}

/// Drops a stretch of what was told to somebody who is forgotten; `false` once
/// nothing is left of anybody.
pub(crate) fn forget_stretch(tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    let next = tx.scan(FORGETTING.all())?.next().transpose()?;
    let Some((user, ())) = next else {
        return Ok(false);
    };
    let stretch = told_after(tx, user, None, STRETCH_ENTRIES)?;
    for (id, _) in &stretch {
        tx.delete(INBOX, &(user, *id))?;
    }
    if stretch.len() < STRETCH_ENTRIES {
        let tally = Tally { forgotten: true, ..Tally::default() };
        tx.put(TALLIES, &user, &tally)?;
        tx.delete(FORGETTING, &user)?;
    }
    Ok(true)
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
        .take(STRETCH_ENTRIES)
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

    /// More than one stretch goes, whoever else is there keeps theirs, and what
    /// another log tells late reaches nobody.
    #[tokio::test]
    async fn who_is_forgotten_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Options::default()).unwrap();
        let (user, other) = (UserId::new(), UserId::new());
        let keep = Retention { entries_max: 10_000, ..KEEP };
        let filled = store.write(move |tx| {
            for _ in 0..STRETCH_ENTRIES + 1 {
                tell(tx, &keep, user, Topic::UserRegistered {}, Time(1))?;
            }
            tell(tx, &keep, other, Topic::UserRegistered {}, Time(1))?;
            forget(tx, user)
        });
        filled.await.unwrap();
        for left in [true, true, false] {
            assert_eq!(store.write(forget_stretch).await.unwrap(), left);
        }
        tell_at(&store, user, vec![2]).await;
        assert!(held(&store, user).is_empty());
        assert_eq!(tally(&store, user).unwrap().unread, 0);
        assert_eq!(held(&store, other), [1]);
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
