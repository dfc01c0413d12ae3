//! What events of other services mean, and to whom.
//!
//! **Invariant:** the notification, the mail and the messages to webhooks are
//! written in the transaction that moves the cursor over their event, so each is
//! written once, however often the event arrives.

use std::sync::Arc;

use ::store::Tx;
use mesh::{Event, Refusal};
use model::{Fact, RevocationReason, UserField};
use tokio::sync::Notify;

use crate::contacts::Contacts;
use crate::domain::{Topic, UserId};
use crate::mail::Letter;
use crate::tell::{Teller, set_staff};
use crate::{store, webhooks};

/// Whose events.
pub(crate) const SOURCES: [&str; 3] = ["orders", "products", "users"];

/// What an event leads to. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Handler {
    pub(crate) teller: Teller,
    pub(crate) contacts: Contacts,
    pub(crate) messages: Arc<Notify>,
    pub(crate) sweeps: Arc<Notify>,
}

/// Who is told.
enum Audience {
    Owner(UserId),
    Staff,
}

impl Handler {
    /// Takes in one event.
    pub(crate) fn handle(&self, tx: &mut Tx<'_>, event: &Event) -> Result<(), Refusal> {
        let Some(fact) = &event.fact else {
            return Ok(());
        };
        self.take_note(tx, event, fact)?;
        match meaning(fact) {
            Some((Audience::Owner(user), topic)) => self.teller.tell(tx, event, user, topic)?,
            Some((Audience::Staff, topic)) => self.teller.tell_staff(tx, &topic, event.at)?,
            None => {}
        }
        if webhooks::store::send(tx, event, model::now())? {
            let messages = self.messages.clone();
            tx.on_durable(move || messages.notify_one());
        }
        Ok(())
    }

    /// What has to be known of people to tell them anything, and to stop.
    fn take_note(&self, tx: &mut Tx<'_>, event: &Event, fact: &Fact) -> Result<(), Refusal> {
        match *fact {
            Fact::UserRegistered { user_id, staff } => set_staff(tx, user_id, staff)?,
            Fact::UserUpdated { user_id, staff, .. } => {
                set_staff(tx, user_id, staff)?;
                self.drop_contact(tx, user_id);
            }
            Fact::UserDisabled { user_id } => {
                set_staff(tx, user_id, false)?;
                self.drop_contact(tx, user_id);
            }
            Fact::UserErased { user_id } => {
                set_staff(tx, user_id, false)?;
                store::forget(tx, user_id)?;
                self.drop_contact(tx, user_id);
                let sweeps = self.sweeps.clone();
                tx.on_durable(move || sweeps.notify_one());
            }
            Fact::SessionRevoked { user_id, session_id, .. } => {
                let bells = self.teller.bells.clone();
                tx.on_durable(move || bells.end(user_id, session_id));
            }
            Fact::UserCodeRequested { user_id, purpose, until } => {
                let letter = Letter::Code { purpose, until };
                self.teller.outbox.queue(tx, event, user_id, letter)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn drop_contact(&self, tx: &mut Tx<'_>, user: UserId) {
        let contacts = self.contacts.clone();
        tx.on_durable(move || contacts.drop(user));
    }
}

/// Whom an event is told to, and as what.
fn meaning(fact: &Fact) -> Option<(Audience, Topic)> {
    let (user, topic) = match *fact {
        Fact::UserRegistered { user_id, .. } => (user_id, Topic::UserRegistered {}),
        Fact::UserUpdated { user_id, ref changed, .. }
            if changed.contains(&UserField::Password) =>
        {
            (user_id, Topic::PasswordChanged {})
        }
        Fact::UserUpdated { user_id, ref changed, .. } if changed.contains(&UserField::Email) => {
            (user_id, Topic::EmailChanged {})
        }
        Fact::SessionRevoked {
            user_id,
            session_id,
            reason: Some(RevocationReason::Reused),
            ..
        } => (user_id, Topic::SessionReused { session_id }),
        Fact::OrderConfirmed { order_id, user_id } => (user_id, Topic::OrderConfirmed { order_id }),
        Fact::OrderRejected { order_id, user_id } => (user_id, Topic::OrderRejected { order_id }),
        Fact::OrderPaid { order_id, user_id } => (user_id, Topic::OrderPaid { order_id }),
        Fact::OrderShipped { order_id, user_id } => (user_id, Topic::OrderShipped { order_id }),
        Fact::OrderDelivered { order_id, user_id } => (user_id, Topic::OrderDelivered { order_id }),
        Fact::OrderCancelled { order_id, user_id, refunded } => {
            (user_id, Topic::OrderCancelled { order_id, refunded })
        }
        Fact::OrderRefunded { order_id, user_id, amount, in_full } => {
            (user_id, Topic::OrderRefunded { order_id, amount, in_full })
        }
        Fact::StockLow { product_id, available } => {
            return Some((Audience::Staff, Topic::StockLow { product_id, available }));
        }
        Fact::PaymentUnmatched { order_id, amount, reason } => {
            let topic = Topic::PaymentUnmatched { order_id, amount, reason };
            return Some((Audience::Staff, topic));
        }
        _ => return None,
    };
    Some((Audience::Owner(user), topic))
}
