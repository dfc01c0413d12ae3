//! Telling people: the entry in their inbox, the mail, and their open streams.
//!
//! **Invariant:** everything here happens in the caller's transaction, so who is
//! told of an event is told once.

use ::store::{Error as StoreError, Read, Table, Tx};
use mesh::Event;
use model::Time;

use crate::domain::{Retention, Topic, UserId};
use crate::live::Bells;
use crate::mail::{Letter, Outbox};
use crate::store;

/// user → nothing: they run the shop. A projection of users' events.
const STAFF: Table<UserId, ()> = Table::new("staff");

/// How many people who run the shop are told of one thing. A shop for which that
/// is too few needs something else than inboxes.
const STAFF_TOLD_MAX: usize = 200;

/// Tells people. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Teller {
    pub(crate) keep: Retention,
    pub(crate) bells: Bells,
    pub(crate) outbox: Outbox,
}

impl Teller {
    /// Tells `user` what an event means to them.
    pub(crate) fn tell(
        &self,
        tx: &mut Tx<'_>,
        event: &Event,
        user: UserId,
        topic: Topic,
    ) -> Result<(), StoreError> {
        if topic.is_mailed() {
            self.outbox
                .queue(tx, event, user, Letter::Notice(topic.clone()))?;
        }
        self.put(tx, user, topic, event.at)
    }

    /// Tells everybody who runs the shop.
    pub(crate) fn tell_staff(
        &self,
        tx: &mut Tx<'_>,
        topic: &Topic,
        at: Time,
    ) -> Result<(), StoreError> {
        let staff: Vec<_> = tx
            .scan(STAFF.all())?
            .take(STAFF_TOLD_MAX)
            .collect::<Result<_, _>>()?;
        for (user, ()) in staff {
            self.put(tx, user, topic.clone(), at)?;
        }
        Ok(())
    }

    fn put(&self, tx: &mut Tx<'_>, user: UserId, topic: Topic, at: Time) -> Result<(), StoreError> {
        store::tell(tx, &self.keep, user, topic, at)?;
        let bells = self.bells.clone();
        tx.on_durable(move || bells.ring(user));
        Ok(())
    }
}

/// Remembers whether `user` runs the shop.
pub(crate) fn set_staff(tx: &mut Tx<'_>, user: UserId, staff: bool) -> Result<(), StoreError> {
    match (staff, tx.contains(STAFF, &user)?) {
        (true, false) => tx.put(STAFF, &user, &()),
        (false, true) => tx.delete(STAFF, &user),
        _ => Ok(()),
    }
}
