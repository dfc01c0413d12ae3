//! The status of an order, and the transitions between statuses.

/// The status of an order. The numbers are part of stored keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum OrderStatus {
    /// Placed; products has not decided about its stock yet.
    Pending = 0,
    /// Its stock is reserved.
    Confirmed = 1,
    /// Its stock could not be reserved.
    Rejected = 2,
    /// Paid in full, before it was shipped; its stock is still reserved.
    Paid = 3,
    /// Handed to the carrier, paid or not; its stock has left the warehouse.
    Shipped = 4,
    /// Received by the customer.
    Delivered = 5,
    /// Cancelled; its stock is released and its payment refunded.
    Cancelled = 6,
    /// Refunded in full.
    Refunded = 7,
}

/// A transition of the status machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transition {
    Confirm,
    /// There is nothing to pay.
    ConfirmFree,
    Reject,
    Pay,
    /// It was shipped before it was paid.
    PayLate,
    Ship,
    /// Its payment method lets it be shipped before it is paid.
    ShipUnpaid,
    Deliver,
    Cancel,
    RefundPart,
    RefundRest,
    /// The provider has the money again.
    FailRefund,
    /// It had expired; its payment came after that, and its stock is reserved again.
    Revive,
    /// The payment before it was shipped.
    UndoPay,
    /// The payment after it was shipped.
    UndoPayLate,
    UndoShip,
    /// It is not paid.
    UndoShipUnpaid,
    UndoDeliver,
}

impl OrderStatus {
    pub(crate) const ALL: [Self; 8] = [
        Self::Pending,
        Self::Confirmed,
        Self::Rejected,
        Self::Paid,
        Self::Shipped,
        Self::Delivered,
        Self::Cancelled,
        Self::Refunded,
    ];

    /// The status after a transition, if this status allows it.
    pub(crate) fn after(self, transition: Transition) -> Option<Self> {
        use Transition as T;
        match (self, transition) {
            (Self::Pending, T::Confirm) | (Self::Cancelled, T::Revive) => Some(Self::Confirmed),
            (Self::Pending, T::ConfirmFree) | (Self::Confirmed, T::Pay) => Some(Self::Paid),
            (Self::Pending, T::Reject) => Some(Self::Rejected),
            (Self::Pending | Self::Confirmed | Self::Paid, T::Cancel) => Some(Self::Cancelled),
            (Self::Paid, T::Ship) | (Self::Confirmed, T::ShipUnpaid) => Some(Self::Shipped),
            (Self::Shipped, T::Deliver) => Some(Self::Delivered),
            (Self::Shipped | Self::Delivered, T::PayLate) => Some(self),
            (Self::Paid | Self::Shipped | Self::Delivered, T::RefundPart)
            | (Self::Cancelled | Self::Refunded, T::RefundPart | T::RefundRest) => Some(self),
            (Self::Paid | Self::Shipped | Self::Delivered, T::FailRefund)
            | (Self::Cancelled | Self::Refunded, T::FailRefund) => Some(self),
            (Self::Paid | Self::Shipped | Self::Delivered, T::RefundRest) => Some(Self::Refunded),
            (Self::Delivered, T::UndoDeliver) => Some(Self::Shipped),
            (Self::Shipped, T::UndoShip) => Some(Self::Paid),
            (Self::Shipped, T::UndoShipUnpaid) | (Self::Paid, T::UndoPay) => Some(Self::Confirmed),
            (Self::Shipped | Self::Delivered, T::UndoPayLate) => Some(self),
            _ => None,
        }
    }

    /// Whether products holds stock for an order of this status; for a pending one it is about
    /// to.
    pub(crate) fn holds_stock(self) -> bool {
        matches!(self, Self::Confirmed | Self::Paid)
    }

    /// Whether it may still be sent, so that its address is needed.
    pub(crate) fn awaits_shipping(self) -> bool {
        matches!(self, Self::Pending | Self::Confirmed | Self::Paid)
    }

    /// The name in responses and in stored rows.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
            Self::Paid => "paid",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
            Self::Refunded => "refunded",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

impl Transition {
    /// For the text of a refusal.
    pub(super) fn participle(self) -> &'static str {
        match self {
            Self::Confirm | Self::ConfirmFree => "confirmed",
            Self::Reject => "rejected",
            Self::Pay | Self::PayLate => "paid",
            Self::Ship | Self::ShipUnpaid => "shipped",
            Self::Deliver => "delivered",
            Self::Cancel => "cancelled",
            Self::RefundPart | Self::RefundRest => "refunded",
            Self::Revive => "revived",
            Self::FailRefund
            | Self::UndoPay
            | Self::UndoPayLate
            | Self::UndoShip
            | Self::UndoShipUnpaid
            | Self::UndoDeliver => "set back",
        }
    }
}
