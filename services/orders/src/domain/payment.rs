//! Payments: the provider's messages, matching them to orders, and what an order was paid of.
//!
//! **Invariant:** a payment pays an order only if it has the order's amount and currency
//! and the order is unpaid.

use model::{Mismatch, Money, OrderId};

use super::{Order, OrderStatus};

/// A message of the payment provider.
#[derive(Debug, Clone)]
pub(crate) struct PaymentMessage {
    pub(crate) result: PaymentResult,
    /// The order it names; `None` for a text that is no order's id.
    pub(crate) order_id: Option<OrderId>,
    pub(crate) amount: Money,
    /// The provider's id of the payment.
    pub(crate) reference: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PaymentResult {
    Succeeded,
    Failed,
}

/// What staff know of a payment that they record, for the books.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PaymentDetails {
    /// The bank's or the provider's name of the payment.
    pub(crate) reference: Option<String>,
    /// How it was paid, such as `transfer` or `cash`.
    pub(crate) method: Option<String>,
    /// What was received.
    pub(crate) amount: Option<Money>,
}

/// How much of an order is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PaymentStatus {
    Unpaid,
    Paid,
    PartiallyRefunded,
    Refunded,
}

impl PaymentStatus {
    /// The name in responses.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unpaid => "unpaid",
            Self::Paid => "paid",
            Self::PartiallyRefunded => "partially_refunded",
            Self::Refunded => "refunded",
        }
    }
}

impl Order {
    /// How much of the order is paid.
    pub(crate) fn payment_status(&self) -> PaymentStatus {
        let is_refunded = self.refunded_total.amount > 0;
        match self.status {
            OrderStatus::Pending | OrderStatus::Confirmed | OrderStatus::Rejected => {
                PaymentStatus::Unpaid
            }
            OrderStatus::Cancelled if !is_refunded => PaymentStatus::Unpaid,
            OrderStatus::Cancelled | OrderStatus::Refunded => PaymentStatus::Refunded,
            _ if is_refunded => PaymentStatus::PartiallyRefunded,
            OrderStatus::Paid | OrderStatus::Shipped | OrderStatus::Delivered => {
                PaymentStatus::Paid
            }
        }
    }
}

/// The effect of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PaymentOutcome {
    /// The order is paid.
    Paid,
    /// The order is pending; it is paid as soon as it is confirmed.
    Awaiting,
    /// The same payment has paid for the order before.
    Repeated,
    /// The payment failed.
    Failed,
    /// The payment pays no order.
    Unmatched(Mismatch),
}

impl PaymentMessage {
    /// The outcome of a payment that succeeded, for the order it names.
    pub(crate) fn outcome_for(&self, order: Option<&Order>) -> PaymentOutcome {
        let Some(order) = order else {
            return PaymentOutcome::Unmatched(Mismatch::UnknownOrder);
        };
        if order.payment.as_ref() == Some(&self.reference) {
            return PaymentOutcome::Repeated;
        }
        let mismatch = match order.status {
            OrderStatus::Rejected | OrderStatus::Cancelled | OrderStatus::Refunded => {
                Mismatch::OrderOver
            }
            OrderStatus::Paid | OrderStatus::Shipped | OrderStatus::Delivered => {
                Mismatch::AlreadyPaid
            }
            _ if self.amount != order.total => Mismatch::WrongAmount,
            OrderStatus::Pending if order.payment.is_some() => Mismatch::AlreadyPaid,
            OrderStatus::Pending => return PaymentOutcome::Awaiting,
            OrderStatus::Confirmed => return PaymentOutcome::Paid,
        };
        PaymentOutcome::Unmatched(mismatch)
    }
}
