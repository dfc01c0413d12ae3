//! Event handler: what the events of other services lead to, and for whom.
//!
//! **Invariant:** the notification, the mail and the webhook messages of an event are written
//! in the transaction that moves the cursor over it, so each is written once, however often
//! the event arrives.

use std::sync::Arc;

use ::store::Tx;
use mesh::{Event, Refusal};
use model::{CustomerId, Fact, OrderField, RevocationReason, UserField, UserId};
use tokio::sync::Notify;

use crate::domain::Topic;
use crate::mail::MailContent;
use crate::notify::{Notifier, add_staff, remove_staff};
use crate::queries::Queries;
use crate::{expiry, webhooks};

/// The services whose events are followed.
pub(crate) const SOURCES: [&str; 3] = ["orders", "products", "users"];

/// Handles events. Cheap to clone.
#[derive(Clone)]
pub(crate) struct NotificationHandler {
    pub(crate) notifier: Notifier,
    pub(crate) queries: Queries,
    /// Wakes the expiry.
    pub(crate) expiry: Arc<Notify>,
}

/// Keeps what the present state of another service says, without a notification.
pub(crate) fn take_state(tx: &mut Tx<'_>, event: &Event) -> Result<(), Refusal> {
    match event.fact {
        Some(Fact::UserUpdated { user_id, staff: true, .. }) => add_staff(tx, user_id)?,
        Some(Fact::UserErased { user_id }) => expiry::forget(tx, user_id)?,
        _ => {}
    }
    Ok(())
}

impl NotificationHandler {
    /// Handles one event.
    pub(crate) fn handle(&self, tx: &mut Tx<'_>, event: &Event) -> Result<(), Refusal> {
        let Some(fact) = &event.fact else {
            return Ok(());
        };
        self.update(tx, event, fact)?;
        match for_owner(fact) {
            Some((Some(user), topic)) => self.notifier.notify(tx, event, user, topic)?,
            Some((None, topic)) => self.notifier.notify_guest(tx, event, topic)?,
            None => {}
        }
        if let Some(topic) = for_staff(event, fact) {
            self.notifier.notify_staff(tx, &topic, event.at)?;
        }
        if webhooks::tables::queue_event(tx, event, model::now())? {
            self.notifier.wake_webhooks(tx);
        }
        Ok(())
    }

    /// Updates projections and caches, ends streams, and queues mail with codes and links.
    fn update(&self, tx: &mut Tx<'_>, event: &Event, fact: &Fact) -> Result<(), Refusal> {
        match *fact {
            Fact::UserRegistered { user_id, staff: true } => add_staff(tx, user_id)?,
            Fact::UserUpdated { user_id, staff, .. } => {
                match staff {
                    true => add_staff(tx, user_id)?,
                    false => remove_staff(tx, user_id)?,
                }
                self.invalidate_contact(tx, user_id);
            }
            Fact::UserDisabled { user_id } => {
                remove_staff(tx, user_id)?;
                self.invalidate_contact(tx, user_id);
            }
            Fact::UserErased { user_id } => {
                remove_staff(tx, user_id)?;
                expiry::forget(tx, user_id)?;
                self.invalidate_contact(tx, user_id);
                let expiry = self.expiry.clone();
                tx.on_durable(move || expiry.notify_one());
            }
            Fact::SessionRevoked { user_id, session_id, .. } => {
                let wake_ups = self.notifier.wake_ups.clone();
                if wake_ups.are_awaited(user_id) {
                    tx.sync_now();
                }
                tx.on_durable(move || wake_ups.end(user_id, session_id));
            }
            Fact::UserCodeRequested { user_id, purpose, until } => {
                let content = MailContent::Code { purpose, until };
                self.notifier
                    .outbox
                    .queue(tx, event, Some(user_id), content)?;
            }
            Fact::UserEmailChangeRequested { user_id, change_id, until } => {
                let content = MailContent::EmailUndo { change_id, until };
                self.notifier
                    .outbox
                    .queue(tx, event, Some(user_id), content)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn invalidate_contact(&self, tx: &mut Tx<'_>, user: UserId) {
        let queries = self.queries.clone();
        tx.on_durable(move || queries.invalidate_contact(user));
    }
}

/// What an event means to the person it is about: an account, or the guest who placed the order.
fn for_owner(fact: &Fact) -> Option<(Option<UserId>, Topic)> {
    Some(match *fact {
        Fact::UserRegistered { user_id, .. } => (Some(user_id), Topic::UserRegistered {}),
        Fact::UserUpdated { user_id, ref changed, .. }
            if changed.contains(&UserField::Password) =>
        {
            (Some(user_id), Topic::PasswordChanged {})
        }
        Fact::UserUpdated { user_id, ref changed, .. } if changed.contains(&UserField::Email) => {
            (Some(user_id), Topic::EmailChanged {})
        }
        Fact::UserSecondFactorChanged { user_id, enrolled } => {
            (Some(user_id), Topic::SecondFactorChanged { enrolled })
        }
        Fact::SessionRevoked {
            user_id,
            session_id,
            reason: Some(RevocationReason::Reused),
            ..
        } => (Some(user_id), Topic::SessionReused { session_id }),
        Fact::OrderConfirmed { order_id, user_id } => (user_id, Topic::OrderConfirmed { order_id }),
        Fact::OrderRejected { order_id, user_id } => (user_id, Topic::OrderRejected { order_id }),
        Fact::OrderPaid { order_id, user_id } => (user_id, Topic::OrderPaid { order_id }),
        Fact::OrderShipped { order_id, user_id } => (user_id, Topic::OrderShipped { order_id }),
        Fact::OrderDelivered { order_id, user_id } => (user_id, Topic::OrderDelivered { order_id }),
        // The buyer learns of a parcel when it is shipped, so an earlier correction is no news.
        Fact::OrderCorrected { order_id, user_id, ref corrected, shipped: true }
            if corrected.contains(&OrderField::Carrier)
                || corrected.contains(&OrderField::Tracking) =>
        {
            (user_id, Topic::OrderCorrected { order_id })
        }
        Fact::OrderStepUndone { order_id, user_id, step, .. } => {
            (user_id, Topic::OrderStepUndone { order_id, step })
        }
        Fact::OrderCancelled { order_id, user_id, refunded, refund_pending } => {
            let refunded = refunded.or(refund_pending);
            (user_id, Topic::OrderCancelled { order_id, refunded })
        }
        Fact::OrderRefunded { order_id, user_id, amount, in_full } => {
            (user_id, Topic::OrderRefunded { order_id, amount, in_full })
        }
        Fact::PaymentUnmatched {
            order_id: Some(order_id),
            user_id,
            amount,
            reason,
            ref reference,
        } => {
            let reference = reference.clone();
            (
                user_id,
                Topic::OrderPaymentKept { order_id, amount, reason, reference },
            )
        }
        _ => return None,
    })
}

/// What an event means to those who run the shop.
fn for_staff(event: &Event, fact: &Fact) -> Option<Topic> {
    Some(match *fact {
        Fact::OrderConfirmed { order_id, .. } => Topic::OrderPlaced { order_id },
        Fact::OrderPaid { order_id, .. } => Topic::OrderPaymentReceived { order_id },
        Fact::OrderCancelled { order_id, user_id, refunded, .. } => {
            let by = event.by.as_deref().unwrap_or_default();
            let by_buyer = match user_id {
                Some(buyer) => by == buyer.to_string(),
                None => by.parse::<CustomerId>().is_ok(),
            };
            match refunded.filter(|refund| refund.amount > 0) {
                Some(amount) => {
                    let (reference, reason) = (None, None);
                    Topic::RefundDue { order_id, amount, by_buyer, reference, reason }
                }
                None if by_buyer => Topic::OrderCancelledByBuyer { order_id },
                None => return None,
            }
        }
        Fact::RefundRefused { order_id, amount, ref reference, reason } => {
            let (by_buyer, reference) = (false, Some(reference.clone()));
            Topic::RefundDue { order_id, amount, by_buyer, reference, reason }
        }
        Fact::OrderCancelRequested { order_id, .. } => Topic::OrderCancelRequested { order_id },
        Fact::OrderBuyerErased { order_id } => Topic::OrderBuyerErased { order_id },
        Fact::StockLow { product_id, available } => Topic::StockLow { product_id, available },
        Fact::PaymentUnmatched { order_id, amount, reason, ref reference, .. } => {
            let reference = reference.clone();
            Topic::PaymentUnmatched { order_id, amount, reason, reference }
        }
        Fact::PaymentUnreadable { ref message_id, ref message_type } => {
            let (message_id, message_type) = (message_id.clone(), message_type.clone());
            Topic::PaymentUnreadable { message_id, message_type }
        }
        Fact::PaymentRefunded { order_id, amount, ref reference } => {
            Topic::PaymentRefunded { order_id, amount, reference: reference.clone() }
        }
        Fact::PaymentDisputed { order_id, amount, ref reference } => {
            Topic::PaymentDisputed { order_id, amount, reference: reference.clone() }
        }
        Fact::EventParked { ref service, ref source, seq, count } => {
            let (service, source) = (service.clone(), source.clone());
            Topic::EventParked { service, source, seq, count }
        }
        _ => return None,
    })
}
