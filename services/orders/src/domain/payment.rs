//! Payments: the provider's messages and matching them to orders.
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
