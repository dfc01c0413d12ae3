//! Orders by age: an id tells when its order was made, so ranges and directions of ids are
//! those of time.

use model::{OrderId, Time};

/// Ids of orders in order of age.
pub(crate) type Ids<'a> = Box<dyn Iterator<Item = Result<OrderId, store::Error>> + 'a>;

/// The order of ids in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AgeOrder {
    NewestFirst,
    OldestFirst,
}

impl AgeOrder {
    /// Whether one id comes before the other.
    pub(super) fn is_before(self, one: OrderId, other: OrderId) -> bool {
        match self {
            Self::NewestFirst => one > other,
            Self::OldestFirst => one < other,
        }
    }
}

/// The ids from `low` on, and before `high`.
#[derive(Debug, Clone, Copy)]
pub(super) struct IdRange {
    pub(super) low: OrderId,
    pub(super) high: Option<OrderId>,
}

impl IdRange {
    /// Every id.
    pub(super) fn all() -> Self {
        Self { low: OrderId::first_at(Time(0)), high: None }
    }

    /// The ids from this one on, in that order.
    pub(super) fn from(self, id: OrderId, age: AgeOrder) -> Self {
        match age {
            AgeOrder::NewestFirst => self.below(id.following()),
            AgeOrder::OldestFirst => Self { low: self.low.max(id), ..self },
        }
    }

    /// The ids after this one, in that order.
    pub(super) fn after(self, id: OrderId, age: AgeOrder) -> Self {
        match age {
            AgeOrder::NewestFirst => self.below(id),
            AgeOrder::OldestFirst => Self { low: self.low.max(id.following()), ..self },
        }
    }

    fn below(self, high: OrderId) -> Self {
        Self {
            high: Some(self.high.map_or(high, |known| known.min(high))),
            ..self
        }
    }

    pub(super) fn contains(self, id: OrderId) -> bool {
        id >= self.low && self.high.is_none_or(|high| id < high)
    }
}
