//! Whom an order belongs to.
//!
//! **Invariant:** every buyer has a customer id, which indexes and sums are kept by. That of an
//! account is the account's id under another prefix, so it is the same bytes.

use model::{CustomerId, UserId};

/// Whom an order belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Buyer {
    Account(UserId),
    Guest(Guest),
}

/// A person without an account, who is one customer for as long as the e-mail address is the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Guest {
    pub(crate) id: CustomerId,
    /// `None` once it is erased.
    pub(crate) contact: Option<BuyerContact>,
}

/// How a buyer is reached; a guest as was given for the order. Personal data: in no event and no
/// log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BuyerContact {
    pub(crate) email: String,
    pub(crate) name: String,
}

impl Buyer {
    pub(crate) fn customer_id(&self) -> CustomerId {
        match self {
            Self::Account(id) => CustomerId::from_uuid(id.uuid()),
            Self::Guest(guest) => guest.id,
        }
    }

    /// The account; `None` for a guest.
    pub(crate) fn user_id(&self) -> Option<UserId> {
        match self {
            Self::Account(id) => Some(*id),
            Self::Guest(_) => None,
        }
    }

    /// The contact of a guest that is not erased.
    pub(crate) fn guest_contact(&self) -> Option<&BuyerContact> {
        match self {
            Self::Account(_) => None,
            Self::Guest(guest) => guest.contact.as_ref(),
        }
    }
}
