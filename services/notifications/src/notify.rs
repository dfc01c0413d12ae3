//! Notifying people: the inbox entry, the mail, and the wake-up of open streams.
//!
//! **Invariant:** all writes are part of the caller's transaction, so an event notifies a
//! person exactly once.

use ::store::{Error as StoreError, Read, Table, Tx};
use mesh::Event;
use model::{Time, UserId};

use crate::domain::{Retention, Topic};
use crate::live::WakeUps;
use crate::mail::{MailContent, Outbox};
use crate::tables;

/// user → nothing: they have a staff role. A projection of users' events.
const STAFF: Table<UserId, ()> = Table::new("staff");

/// Most staff notified of one topic. A larger team needs another channel than inboxes.
const STAFF_NOTIFIED_MAX: usize = 200;

/// Notifies people. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Notifier {
    pub(crate) keep: Retention,
    pub(crate) wake_ups: WakeUps,
    pub(crate) outbox: Outbox,
}

impl Notifier {
    /// Notifies a user of what an event means to them.
    pub(crate) fn notify(
        &self,
        tx: &mut Tx<'_>,
        event: &Event,
        user: UserId,
        topic: Topic,
    ) -> Result<(), StoreError> {
        if topic.is_mailed() {
            self.outbox
                .queue(tx, event, user, MailContent::Notice(topic.clone()))?;
        }
        self.put(tx, user, topic, event.at)
    }

    /// Notifies all staff.
    pub(crate) fn notify_staff(
        &self,
        tx: &mut Tx<'_>,
        topic: &Topic,
        at: Time,
    ) -> Result<(), StoreError> {
        let staff: Vec<_> = tx
            .scan(STAFF.all())?
            .take(STAFF_NOTIFIED_MAX)
            .collect::<Result<_, _>>()?;
        for (user, ()) in staff {
            self.put(tx, user, topic.clone(), at)?;
        }
        Ok(())
    }

    fn put(&self, tx: &mut Tx<'_>, user: UserId, topic: Topic, at: Time) -> Result<(), StoreError> {
        tables::add_entry(tx, &self.keep, user, topic, at)?;
        let wake_ups = self.wake_ups.clone();
        tx.on_durable(move || wake_ups.wake(user));
        Ok(())
    }
}

/// Whether the shop has staff to notify.
pub(crate) fn has_staff(from: &impl Read) -> Result<bool, StoreError> {
    Ok(from.scan(STAFF.all())?.next().transpose()?.is_some())
}

/// Records that `user` has a staff role.
pub(crate) fn add_staff(tx: &mut Tx<'_>, user: UserId) -> Result<(), StoreError> {
    if !tx.contains(STAFF, &user)? {
        tx.put(STAFF, &user, &())?;
    }
    Ok(())
}

/// Records that `user` has no staff role.
pub(crate) fn remove_staff(tx: &mut Tx<'_>, user: UserId) -> Result<(), StoreError> {
    if tx.contains(STAFF, &user)? {
        tx.delete(STAFF, &user)?;
    }
    Ok(())
}
