//! Payments: the provider's messages, matching them to orders, and what an order was paid of.
//!
//! **Invariant:** a payment pays an order only if it, or it with the parts that came before it,
//! has the order's amount and currency, and the order is unpaid.

use model::{Mismatch, Money, OrderId};

use super::{Actor, Order, OrderStatus, PaymentMethod, Revival};

/// A message of the payment provider.
#[derive(Debug, Clone)]
pub(crate) struct PaymentMessage {
    pub(crate) result: PaymentResult,
    /// The order it names; `None` for a text that is no order's id.
    pub(crate) order_id: Option<OrderId>,
    pub(crate) amount: Money,
    /// The provider's id of the payment.
    pub(crate) reference: String,
    /// The method of its provider; `None` for one behind the signed webhook.
    pub(crate) method: Option<PaymentMethod>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PaymentResult {
    Succeeded,
    Failed,
    /// Money went back at the provider.
    Refunded,
    /// The payer had it fetched back, or asked for that.
    Disputed,
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

impl PaymentDetails {
    /// Those of a payment by the method of a provider.
    pub(crate) fn by(method: Option<PaymentMethod>) -> Self {
        let method = method.map(|method| method.name().to_owned());
        Self { method, ..Self::default() }
    }
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
            OrderStatus::Refunded if self.unreturned().amount == 0 => PaymentStatus::Refunded,
            OrderStatus::Cancelled if is_refunded && self.unreturned().amount == 0 => {
                PaymentStatus::Refunded
            }
            _ if !self.is_paid() => PaymentStatus::Unpaid,
            _ if is_refunded => PaymentStatus::PartiallyRefunded,
            _ => PaymentStatus::Paid,
        }
    }

    /// What would be left to pay if a payment were one of several, of a method that takes them;
    /// `None`: it is none.
    fn left_beside_parts(&self, message: &PaymentMessage) -> Option<i64> {
        let Money { amount, currency } = message.amount;
        let is_part = amount > 0 && currency == self.total.currency && message.method.is_none();
        let left = self.total.amount - self.settlement.partly_paid - amount;
        Some(left).filter(|left| is_part && *left >= 0)
    }

    /// Whether the parts that came add up to the total, and have not paid it yet.
    pub(crate) fn is_paid_in_parts(&self) -> bool {
        let paid = self.settlement.partly_paid;
        paid > 0 && paid == self.total.amount && self.payment.is_none()
    }

    /// Whether a payment that does not pay the order may do so with others.
    pub(crate) fn takes_part(&self, message: &PaymentMessage) -> bool {
        let is_open = self.status == OrderStatus::Pending || self.is_payable();
        is_open && self.left_beside_parts(message).is_some()
    }

    /// Takes in that the total was received, and completes what is known of that: a member of
    /// staff who names no method records a payment by the chosen one, unless a provider's, which
    /// says itself what it received.
    pub(super) fn receive(&mut self, details: PaymentDetails, by: Actor) -> PaymentDetails {
        let chosen = self.settlement.chosen.map(|chosen| chosen.method);
        let recorded = chosen.filter(|method| !method.has_provider());
        let method = match by {
            Actor::User(_) => details
                .method
                .or(recorded.map(|method| method.name().into())),
            _ => details.method,
        };
        let named = method.as_deref().and_then(PaymentMethod::parse);
        self.settlement.owed = false;
        self.settlement.received = match by {
            Actor::Payments => named.filter(|method| method.has_provider()),
            _ => recorded.filter(|recorded| named == Some(*recorded)),
        };
        if let Some(reference) = &details.reference {
            self.payment = Some(reference.clone());
        }
        PaymentDetails { method, ..details }
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
    /// The order had expired; it is paid once its stock is reserved again.
    Reviving,
    /// The payment failed.
    Failed,
    /// It is told to staff, and changes no order.
    Reported,
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
        let fits = self.amount == order.total;
        let pays = fits || (order.is_payable() && order.left_beside_parts(self) == Some(0));
        let mismatch = match (order.status, order.settlement.revival) {
            (OrderStatus::Cancelled, Revival::Possible) if fits => return PaymentOutcome::Reviving,
            (OrderStatus::Cancelled, Revival::Awaited) => Mismatch::AlreadyPaid,
            (OrderStatus::Rejected | OrderStatus::Cancelled | OrderStatus::Refunded, _) => {
                Mismatch::OrderOver
            }
            _ if order.is_paid() => Mismatch::AlreadyPaid,
            _ if !pays => Mismatch::WrongAmount,
            (OrderStatus::Pending, _) if order.payment.is_some() => Mismatch::AlreadyPaid,
            (OrderStatus::Pending, _) => return PaymentOutcome::Awaiting,
            _ => return PaymentOutcome::Paid,
        };
        PaymentOutcome::Unmatched(mismatch)
    }
}
