//! What a notification is, how an inbox is ordered, and what is kept of it.
//!
//! **Invariant:** ids of one inbox grow in the order in which it was told, even
//! when the clock steps back between two of them, so that "after this id" means
//! "told later" to a stream that resumes.

use std::time::Duration;

use mesh::{Id, Time, kinds};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A place in somebody's inbox.
pub(crate) type NotificationId = Id<kinds::Notification>;
/// Whose inbox.
pub(crate) type UserId = Id<kinds::User>;

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

/// What a notification is about: the kind of event it tells, and its data. In
/// answers and records alike `{"kind": …, "data": {…}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data")]
pub(crate) enum Topic {
    /// The owner made their account.
    #[serde(rename = "user.registered")]
    UserRegistered {},
    /// The stock of the owner's order is held.
    #[serde(rename = "order.confirmed")]
    OrderConfirmed {
        /// Which order.
        order_id: Id<kinds::Order>,
    },
    /// The owner's order could not be held and is over.
    #[serde(rename = "order.rejected")]
    OrderRejected {
        /// Which order.
        order_id: Id<kinds::Order>,
    },
}

impl Topic {
    /// The kind's name, the same as that of the event it tells.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::UserRegistered {} => "user.registered",
            Self::OrderConfirmed { .. } => "order.confirmed",
            Self::OrderRejected { .. } => "order.rejected",
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
    /// 10,000 entries, 400 days: a year and what was forgotten of it.
    pub(crate) const DEFAULT: Self = Self {
        entries_max: 10_000,
        age_max: Duration::from_secs(400 * 24 * 60 * 60),
    };

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
        let topics = [
            (Topic::UserRegistered {}, "{}"),
            (
                Topic::OrderConfirmed { order_id: order_id() },
                "{\"order_id\":\"order_01h455vb4pex5vsknk084sn02q\"}",
            ),
            (
                Topic::OrderRejected { order_id: order_id() },
                "{\"order_id\":\"order_01h455vb4pex5vsknk084sn02q\"}",
            ),
        ];
        for (topic, data) in topics {
            let text = serde_json::to_string(&topic).unwrap();
            assert_eq!(
                text,
                format!("{{\"kind\":\"{}\",\"data\":{data}}}", topic.kind())
            );
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
