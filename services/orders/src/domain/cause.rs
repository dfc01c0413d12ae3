//! Who or what is behind a change of an order.

use model::{ApiKeyId, CustomerId, Time, UserId};

use super::{Buyer, CLAIMED, StatusChange};

/// The actor behind a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Actor {
    User(UserId),
    /// Who bought without an account.
    Guest(CustomerId),
    /// The service that owns the stock.
    Products,
    /// The expiry of unpaid orders.
    Expiry,
    /// The payment provider.
    Payments,
}

impl Actor {
    /// The buyer of an order.
    pub(crate) fn of(buyer: &Buyer) -> Self {
        match buyer {
            Buyer::Account(id) => Self::User(*id),
            Buyer::Guest(guest) => Self::Guest(guest.id),
        }
    }

    /// The id of the person, if it is one.
    pub(crate) fn person(self) -> Option<String> {
        match self {
            Self::User(_) | Self::Guest(_) => Some(self.name()),
            Self::Products | Self::Expiry | Self::Payments => None,
        }
    }

    pub(super) fn name(self) -> String {
        match self {
            Self::User(id) => id.to_string(),
            Self::Guest(id) => id.to_string(),
            Self::Products => "products".into(),
            Self::Expiry => "expiry".into(),
            Self::Payments => "payments".into(),
        }
    }
}

impl StatusChange {
    /// Whether its reason is what the buyer of the order wrote, maybe as a guest before the order
    /// was an account's.
    pub(crate) fn is_reasoned_by(&self, buyer: &Buyer) -> bool {
        let is_theirs = self.by == Actor::of(buyer).name() || self.by.parse::<CustomerId>().is_ok();
        is_theirs && self.reason.as_ref().is_some_and(|reason| reason != CLAIMED)
    }
}

/// The time, actor, API key, reason and request of a command.
#[derive(Debug, Clone)]
pub(crate) struct OrderCause {
    pub(crate) at: Time,
    pub(crate) by: Actor,
    /// The key that the user's program asked with.
    pub(crate) via: Option<ApiKeyId>,
    pub(crate) reason: Option<String>,
    pub(crate) trace: Option<String>,
}

impl OrderCause {
    pub(crate) fn new(at: Time, by: Actor) -> Self {
        Self { at, by, via: None, reason: None, trace: None }
    }

    pub(crate) fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }
}
