//! Notifying people, by the channels they chose: the inbox entry, the mail, and the wake-up of
//! open streams; and webhooks of notices to staff.
//!
//! **Invariant:** all writes are part of the caller's transaction, so an event notifies a
//! person, and each webhook, exactly once.

use std::sync::Arc;

use ::store::{Error as StoreError, Read, Table, Tx};
use mesh::Event;
use model::{Time, UserId};
use tokio::sync::Notify;

use crate::domain::{MailRule, Retention, Topic};
use crate::inbox_digest::{self, EntryChange};
use crate::live::WakeUps;
use crate::mail::{MailContent, Outbox};
use crate::preferences::{self, Channel};
use crate::{tables, webhooks};

/// user → nothing: they have a staff role. A projection of users' events.
const STAFF: Table<UserId, ()> = Table::new("staff");

/// Most staff notified of one topic. A larger team needs another channel than inboxes and mail.
const STAFF_NOTIFIED_MAX: usize = 200;

/// Notifies people. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Notifier {
    pub(crate) keep: Retention,
    pub(crate) wake_ups: WakeUps,
    pub(crate) outbox: Outbox,
    /// Wakes the webhook worker.
    pub(crate) webhooks: Arc<Notify>,
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
        let channels = preferences::channels(tx, user, topic.rule())?;
        if channels.contains(&Channel::Mail) {
            self.outbox
                .queue(tx, event, Some(user), MailContent::Notice(topic.clone()))?;
        }
        if channels.contains(&Channel::Inbox) {
            tables::add_entry(tx, &self.keep, user, topic, event.at)?;
            self.wake(tx, user);
        }
        Ok(())
    }

    /// Notifies the guest whose order it is about, who has no inbox and no preferences.
    pub(crate) fn notify_guest(
        &self,
        tx: &mut Tx<'_>,
        event: &Event,
        topic: Topic,
    ) -> Result<(), StoreError> {
        match topic.rule().mail {
            MailRule::Always | MailRule::Usually => {
                self.outbox
                    .queue(tx, event, None, MailContent::Notice(topic))
            }
            MailRule::OnRequest | MailRule::Never => Ok(()),
        }
    }

    /// Notifies all staff of what happened at `at`, and webhooks if no event says it.
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
            let channels = preferences::channels(tx, user, topic.rule())?;
            if channels.contains(&Channel::Mail) {
                self.outbox.queue_for_staff(tx, user, topic, at)?;
            }
            if channels.contains(&Channel::Inbox) {
                let change = inbox_digest::add_staff_entry(tx, &self.keep, user, topic, at)?;
                if change == EntryChange::New {
                    self.wake(tx, user);
                }
            }
        }
        match webhooks::kinds::is_notice(topic.kind()) {
            true => self.notify_webhooks(tx, topic, at),
            false => Ok(()),
        }
    }

    /// Queues a notice to staff for webhooks alone.
    pub(crate) fn notify_webhooks(
        &self,
        tx: &mut Tx<'_>,
        topic: &Topic,
        at: Time,
    ) -> Result<(), StoreError> {
        if webhooks::tables::queue_topic(tx, topic, at, model::now())? {
            self.wake_webhooks(tx);
        }
        Ok(())
    }

    /// Wakes the webhook worker once the transaction is durable.
    pub(crate) fn wake_webhooks(&self, tx: &mut Tx<'_>) {
        let webhooks = self.webhooks.clone();
        tx.on_durable(move || webhooks.notify_one());
    }

    /// Wakes the streams of a user that has a new entry, at once if there are any.
    fn wake(&self, tx: &mut Tx<'_>, user: UserId) {
        let wake_ups = self.wake_ups.clone();
        if wake_ups.are_awaited(user) {
            tx.sync_now();
        }
        tx.on_durable(move || wake_ups.wake(user));
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
