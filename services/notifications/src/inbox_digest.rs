//! Digests in inboxes: when many orders come at once, most of them share an entry that counts
//! them. The list of orders has each.
//!
//! **Invariant:** an entry counts what its window adds to it, in the transaction of the event.

use ::store::{Error as StoreError, Read, Table, Tx};
use model::{Time, UserId};

use crate::domain::{Counted, NotificationId, Retention, Topic};
use crate::tables::{self, INBOX};
use crate::windows::{NoticeWindow, Windows};

/// Entries of a kind that stand by themselves in a window: as many as a page of the list has.
const SINGLE_MAX: u32 = 20;

/// (user, kind) → the latest window of their inbox.
pub(crate) const INBOX_WINDOWS: Windows<NotificationId> = Table::new("inbox_windows");

/// Whether an entry is new, or one that was there counts one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryChange {
    New,
    Counted,
}

/// Inserts an entry for a member of staff about what happened at `at`, or has one count it.
pub(crate) fn add_staff_entry(
    tx: &mut Tx<'_>,
    keep: &Retention,
    user: UserId,
    topic: &Topic,
    at: Time,
) -> Result<EntryChange, StoreError> {
    if !topic.is_routine() {
        tables::add_entry(tx, keep, user, topic.clone(), at)?;
        return Ok(EntryChange::New);
    }
    let key = (user, topic.kind().to_owned());
    let mut window = NoticeWindow::open(tx, INBOX_WINDOWS, &key, at)?;
    if let Some(id) = window.digest
        && count_one(tx, user, id, topic)?
    {
        return Ok(EntryChange::Counted);
    }
    let is_single = window.takes_single(SINGLE_MAX);
    let id = tables::add_entry(tx, keep, user, topic.clone(), at)?;
    if !is_single {
        window.digest = id;
    }
    tx.put(INBOX_WINDOWS, &key, &window)?;
    Ok(EntryChange::New)
}

/// Has an entry count one more, which is unread; false if the entry is not there any more.
fn count_one(
    tx: &mut Tx<'_>,
    user: UserId,
    id: NotificationId,
    topic: &Topic,
) -> Result<bool, StoreError> {
    let Some(mut entry) = tx.get(INBOX, &(user, id))? else {
        return Ok(false);
    };
    let since = entry.created_at;
    let counted = entry.counted.get_or_insert(Counted { count: 1, since });
    counted.count += 1;
    entry.topic = topic.clone();
    if entry.read_at.take().is_some() {
        tables::note_unread(tx, user)?;
    }
    tx.put(INBOX, &(user, id), &entry)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ::store::{Options, Store};
    use model::Id;

    use super::*;

    const KEEP: Retention = Retention { entries_max: 100, age_max: Duration::from_secs(1_000_000) };

    fn add(store: &Store, user: UserId, topic: &Topic, at: Time, times: u32) {
        for _ in 0..times {
            let topic = topic.clone();
            let added = store.write(move |tx| add_staff_entry(tx, &KEEP, user, &topic, at));
            futures::executor::block_on(added).unwrap();
        }
    }

    /// The newest entries, each with the notifications that it counts.
    fn newest(store: &Store, user: UserId, count: usize) -> Vec<(NotificationId, u64)> {
        let rows = tables::newest_first(store, user, None).unwrap().take(count);
        let rows = rows.map(|row| row.unwrap());
        rows.map(|(id, entry)| (id, entry.counted.map_or(1, |counted| counted.count)))
            .collect()
    }

    /// Twenty stand by themselves, the rest share an entry that becomes unread again; what is
    /// no routine stands by itself, and the next window begins anew.
    #[test]
    fn many_orders_share_an_entry() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Options::default()).unwrap();
        let user: UserId = Id::new();
        let placed = Topic::OrderPlaced { order_id: Id::new() };
        add(&store, user, &placed, Time(0), 30);
        let [(shared, counted), (_, before)] = newest(&store, user, 2)[..] else {
            panic!("two entries");
        };
        assert_eq!((counted, before), (10, 1));
        assert_eq!(tables::tally(&store, user).unwrap().held, 21);

        let read = store.write(move |tx| tables::mark_read(tx, user, shared, Time(1)));
        futures::executor::block_on(read).unwrap();
        assert_eq!(tables::tally(&store, user).unwrap().unread, 20);
        let last = Topic::OrderPlaced { order_id: Id::new() };
        add(&store, user, &last, Time(2), 1);
        assert_eq!(tables::tally(&store, user).unwrap().unread, 21);
        let entry = store.get(INBOX, &(user, shared)).unwrap().unwrap();
        let counted = Counted { count: 11, since: Time(0) };
        assert_eq!((entry.topic, entry.counted), (last, Some(counted)));

        add(&store, user, &Topic::BackupFailed {}, Time(3), 30);
        assert_eq!(tables::tally(&store, user).unwrap().held, 51);
        add(&store, user, &placed, Time(600_000), 1);
        assert_eq!(newest(&store, user, 1)[0].1, 1);
        assert_eq!(tables::tally(&store, user).unwrap().held, 52);
    }
}
