//! What a notification is, how an inbox is ordered, and what is kept of it.
//!
//! **Invariant:** ids of one inbox grow in the order in which it was told, even
//! when the clock steps back between two of them, so that "after this id" means
//! "told later" to a stream that resumes.

use std::time::Duration;

use model::{Id, Mismatch, Money, Time, kinds};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A place in somebody's inbox.
pub(crate) type NotificationId = Id<kinds::Notification>;
/// Whose inbox.
pub(crate) type UserId = Id<kinds::User>;

/// Which of their logins.
pub(crate) type SessionId = Id<kinds::Session>;

/// One entry of an inbox. Its words are not kept: they are `text`'s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Notification {
    /// What it is about.
    pub(crate) topic: Topic,
    /// When the owner marked it read.
    pub(crate) read_at: Option<Time>,
    /// When what it tells of happened.
    pub(crate) created_at: Time,
}

impl ::store::Record for Notification {}

/// One line a kind: its name and its variant, as the published language has it.
macro_rules! topics {
    ($($(#[$doc:meta])* $kind:literal => $variant:ident $fields:tt)*) => {
        /// What a notification is about: a kind, and its data. In answers and
        /// records alike `{"kind": …, "data": {…}}`. Ids and figures only.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "kind", content = "data")]
        pub(crate) enum Topic {
            $($(#[$doc])* #[serde(rename = $kind)] $variant $fields,)*
        }

        impl Topic {
            /// Every kind's name.
            #[cfg(test)]
            pub(crate) const KINDS: &[&str] = &[$($kind),*];

            /// The kind's name: that of the event it tells, where it tells one.
            pub(crate) fn kind(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $kind,)* }
            }
        }
    };
}

topics! {
    /// The owner made their account.
    "user.registered" => UserRegistered {}
    /// The owner's password is another one.
    "user.password_changed" => PasswordChanged {}
    /// The owner's address is another one.
    "user.email_changed" => EmailChanged {}
    /// A spent refresh token of the owner's was used again, so its login ended.
    "session.reused" => SessionReused {
        /// Which login.
        session_id: SessionId
    }
    /// The stock of the owner's order is held.
    "order.confirmed" => OrderConfirmed {
        /// Which order.
        order_id: Id<kinds::Order>
    }
    /// The owner's order could not be held and is over.
    "order.rejected" => OrderRejected {
        /// Which order.
        order_id: Id<kinds::Order>
    }
    /// The owner's order was paid for in full.
    "order.paid" => OrderPaid {
        /// Which order.
        order_id: Id<kinds::Order>
    }
    /// The owner's order is on its way.
    "order.shipped" => OrderShipped {
        /// Which order.
        order_id: Id<kinds::Order>
    }
    /// The owner's order arrived.
    "order.delivered" => OrderDelivered {
        /// Which order.
        order_id: Id<kinds::Order>
    }
    /// The owner's order is off.
    "order.cancelled" => OrderCancelled {
        /// Which order.
        order_id: Id<kinds::Order>,
        /// What was paid and goes back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refunded: Option<Money>
    }
    /// Money for the owner's order went back.
    "order.refunded" => OrderRefunded {
        /// Which order.
        order_id: Id<kinds::Order>,
        /// How much this time.
        amount: Money,
        /// Whether that was the rest of it.
        in_full: bool
    }
    /// To staff: few pieces of a product are left to sell.
    "stock.low" => StockLow {
        /// Of what.
        product_id: Id<kinds::Product>,
        /// Pieces that can still be sold.
        available: i64
    }
    /// To staff: money came that belongs to no order in need of it.
    "payment.unmatched" => PaymentUnmatched {
        /// For which order it was meant, if there is such an order.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order_id: Option<Id<kinds::Order>>,
        /// How much.
        amount: Money,
        /// Why it fits nothing.
        reason: Mismatch
    }
    /// To staff: a mail could not be delivered and is given up.
    "mail.failed" => MailFailed {
        /// Whom it was for.
        user_id: Id<kinds::User>,
        /// The kind of what it was about.
        about: String,
        /// The last SMTP reply code, where the server gave one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<u16>
    }
    /// To staff: a webhook failed for so long that it is tried no more.
    "webhook.disabled" => WebhookDisabled {
        /// Which.
        webhook_id: Id<kinds::Webhook>
    }
    /// To staff: events could not be handled here and wait for an operator.
    "event.parked" => EventParked {
        /// The service whose events they are.
        source: String,
        /// The first of them in its log.
        seq: u64,
        /// How many came to lie there since the last such notice.
        count: u64
    }
}

impl Topic {
    /// Whether it is also sent by mail: what its owner waits for, and what they
    /// must not miss.
    pub(crate) fn is_mailed(&self) -> bool {
        match self {
            Self::PasswordChanged {}
            | Self::EmailChanged {}
            | Self::SessionReused { .. }
            | Self::OrderConfirmed { .. }
            | Self::OrderRejected { .. }
            | Self::OrderPaid { .. }
            | Self::OrderShipped { .. }
            | Self::OrderDelivered { .. }
            | Self::OrderCancelled { .. }
            | Self::OrderRefunded { .. } => true,
            Self::UserRegistered {}
            | Self::StockLow { .. }
            | Self::PaymentUnmatched { .. }
            | Self::MailFailed { .. }
            | Self::WebhookDisabled { .. }
            | Self::EventParked { .. } => false,
        }
    }
}

/// How much of an inbox is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    /// How many entries.
    pub(crate) entries_max: u64,
    /// For how long after what they tell of.
    pub(crate) age_max: Duration,
}

impl Retention {
    /// As the settings say.
    pub(crate) fn new(settings: &chassis::config::Notifications) -> Self {
        let days = u64::from(settings.days_max);
        Self {
            entries_max: settings.entries_max,
            age_max: Duration::from_secs(days * 24 * 60 * 60),
        }
    }

    /// Whether an entry that is the `place`-th oldest (from 0) of `held` goes.
    pub(crate) fn drops(&self, place: u64, held: u64, created_at: Time, now: Time) -> bool {
        place + self.entries_max < held || now.since(created_at) > self.age_max
    }
}

/// The id of the next entry of an inbox whose newest is `newest`: `fresh`, unless
/// the clock has stepped back behind it.
pub(crate) fn next_id(fresh: NotificationId, newest: Option<NotificationId>) -> NotificationId {
    match newest {
        Some(newest) if fresh <= newest => {
            Id::from_uuid(Uuid::from_u128(newest.uuid().as_u128().saturating_add(1)))
        }
        _ => fresh,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order_id() -> Id<kinds::Order> {
        "order_01h455vb4pex5vsknk084sn02q".parse().unwrap()
    }

    #[test]
    fn kinds_are_named_as_they_are_written() {
        let order_id = order_id();
        let euros = Money { amount: 1999, currency: "EUR".parse().unwrap() };
        let topics = [
            (Topic::UserRegistered {}, "{}"),
            (
                Topic::OrderConfirmed { order_id },
                "{\"order_id\":\"order_01h455vb4pex5vsknk084sn02q\"}",
            ),
            (
                Topic::OrderRefunded { order_id, amount: euros, in_full: false },
                "{\"order_id\":\"order_01h455vb4pex5vsknk084sn02q\",\"amount\":{\"amount\":1999,\"currency\":\"EUR\"},\"in_full\":false}",
            ),
        ];
        for (topic, data) in topics {
            let text = serde_json::to_string(&topic).unwrap();
            let kind = topic.kind();
            assert_eq!(text, format!("{{\"kind\":\"{kind}\",\"data\":{data}}}"));
            assert!(Topic::KINDS.contains(&kind));
        }
    }

    /// The bytes that other versions will read.
    #[test]
    fn golden_bytes() {
        let told = Notification {
            topic: Topic::OrderConfirmed { order_id: order_id() },
            read_at: None,
            created_at: Time(7),
        };
        let bytes = ::store::encode(&told).unwrap();
        let mut golden = b"\x01\x83\xa5topic\x82\xa4kind\xaforder.confirmed\xa4data".to_vec();
        golden.extend_from_slice(b"\x81\xa8order_id\xc4\x10");
        golden.extend_from_slice(order_id().uuid().as_bytes());
        golden.extend_from_slice(b"\xa7read_at\xc0\xaacreated_at\x07");
        assert_eq!(bytes, golden);
        assert_eq!(::store::decode::<Notification>(&bytes).unwrap(), told);
    }

    #[test]
    fn ids_grow_whatever_the_clock_does() {
        let (early, late) = (Id::new(), Id::new());
        assert_eq!(next_id(late, None), late);
        assert_eq!(next_id(late, Some(early)), late);
        let next = next_id(early, Some(late));
        assert!(next > late);
        assert!(next_id(early, Some(next)) > next);
    }

    #[test]
    fn what_is_dropped() {
        let keep = Retention { entries_max: 2, age_max: Duration::from_millis(10) };
        for (place, held, created_at, dropped) in [
            (0, 2, 100, false),
            (0, 3, 100, true),
            (1, 3, 100, false),
            (1, 4, 100, true),
            (0, 1, 90, false),
            (0, 1, 89, true),
            (0, 1, 200, false),
        ] {
            let drops = keep.drops(place, held, Time(created_at), Time(100));
            assert_eq!(drops, dropped, "{place} of {held}, at {created_at}");
        }
    }
}
