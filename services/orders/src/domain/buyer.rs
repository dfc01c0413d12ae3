//! Whom an order belongs to, and what of them it has.
//!
//! **Invariant:** every buyer has a customer id, which indexes and sums are kept by. That of an
//! account is the account's id under another prefix, so it is the same bytes.

use model::{CustomerId, UserId};

use super::{Order, Revival};

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

/// How far the erasure of a buyer has come in their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum BuyerErasure {
    #[default]
    No,
    /// What shipping needs of them goes once the order is shipped or over.
    Due,
    /// Nothing of them is left, so the order is not sent any more.
    Done,
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

impl Order {
    /// Erases what it has of its buyer. While it may still be sent, the address it goes to and
    /// the note stay, and the rest of the erasure is due. After that no payment revives it.
    pub(crate) fn erase_contact(&mut self) {
        if let Buyer::Guest(guest) = &mut self.buyer {
            guest.contact = None;
        }
        self.billing_address = None;
        self.language = None;
        if self.may_be_sent() {
            self.erasure = BuyerErasure::Due;
            return;
        }
        self.erasure = BuyerErasure::Done;
        self.shipping_address = None;
        self.note = None;
        self.settlement.revival = Revival::No;
    }

    /// Whether the erasure of its buyer waited for it to be shipped or over, and it is.
    pub(crate) fn is_erasure_overdue(&self) -> bool {
        self.erasure == BuyerErasure::Due && !self.may_be_sent()
    }

    fn may_be_sent(&self) -> bool {
        self.status.awaits_shipping() || self.settlement.revival == Revival::Awaited
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::OrderStatus;
    use crate::domain::tests::order;

    #[test]
    fn an_order_of_an_erased_buyer_keeps_its_note_while_it_may_be_sent() {
        use {BuyerErasure as E, OrderStatus as S};
        for (status, revival, expected) in [
            (S::Pending, Revival::No, (E::Due, Revival::No)),
            (S::Paid, Revival::No, (E::Due, Revival::No)),
            (S::Shipped, Revival::No, (E::Done, Revival::No)),
            (S::Cancelled, Revival::No, (E::Done, Revival::No)),
            // A payment that comes now is listed, and staff return it.
            (S::Cancelled, Revival::Possible, (E::Done, Revival::No)),
            (S::Cancelled, Revival::Awaited, (E::Due, Revival::Awaited)),
        ] {
            let mut order = order(100);
            order.note = Some("ring".into());
            order.status = status;
            order.settlement.revival = revival;
            order.erase_contact();
            let after = (order.erasure, order.settlement.revival);
            assert_eq!(after, expected, "{status:?} {revival:?}");
            assert_eq!(order.note.is_some(), order.erasure == E::Due);
            assert!(!order.is_erasure_overdue());
            order.status = S::Cancelled;
            order.settlement.revival = Revival::No;
            assert_eq!(order.is_erasure_overdue(), order.erasure == E::Due);
        }
    }
}
