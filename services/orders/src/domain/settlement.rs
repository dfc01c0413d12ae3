//! How an order is settled, beside its status: the payment method that its buyer chose, and
//! what that allows.
//!
//! **Invariants:** an order that is shipped before it is paid is `owed` until it is paid, and
//! nothing of it can be refunded before. What an order waits for its payment is decided by the
//! method that was chosen last. Refunds, done and pending, are together at most the payment.

use std::time::Duration;

use model::{Money, Time};

use super::{Order, OrderCommand, OrderStatus, Transition, TransitionError};

/// A way to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PaymentMethod {
    /// The buyer sends the money to the shop's account; staff record it.
    Transfer,
    /// The buyer pays the carrier, who pays the shop; staff record it.
    OnDelivery,
    /// The buyer pays at Stripe.
    Stripe,
    /// The buyer pays at Mollie.
    Mollie,
}

impl PaymentMethod {
    pub(crate) const ALL: [Self; 4] =
        [Self::Transfer, Self::OnDelivery, Self::Stripe, Self::Mollie];

    /// The name in bodies, settings and stored rows.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Transfer => "transfer",
            Self::OnDelivery => "on_delivery",
            Self::Stripe => "stripe",
            Self::Mollie => "mollie",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// Whether orders may be shipped before they are paid by it.
    fn ships_unpaid(self) -> bool {
        match self {
            Self::Transfer | Self::OnDelivery => true,
            Self::Stripe | Self::Mollie => false,
        }
    }

    /// Whether a payment provider collects the money, and is asked to send it back.
    pub(crate) fn has_provider(self) -> bool {
        match self {
            Self::Transfer | Self::OnDelivery => false,
            Self::Stripe | Self::Mollie => true,
        }
    }
}

/// The method by which a buyer wants to pay, and how long the order waits for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChosenPayment {
    pub(crate) method: PaymentMethod,
    /// When the order is cancelled unless it is paid; `None`: never.
    pub(crate) until: Option<Time>,
}

/// Whether a payment can bring back an order that was cancelled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Revival {
    #[default]
    No,
    /// It was cancelled because it was not paid in time.
    Possible,
    /// It was paid after that, and products was asked to reserve its stock again.
    Awaited,
}

/// What is known of an order's payment beside its status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Settlement {
    pub(crate) chosen: Option<ChosenPayment>,
    /// The method by which it was paid, where it was one that its buyer chose, or a provider's.
    pub(crate) received: Option<PaymentMethod>,
    /// It was shipped and is not paid yet.
    pub(crate) owed: bool,
    /// It was paid by its stock outcome, since there was nothing to pay.
    pub(crate) at_once: bool,
    pub(crate) revival: Revival,
    /// When its buyer asked staff to cancel it, since it is paid.
    pub(crate) cancel_requested_at: Option<Time>,
    /// How long it was paid or shipped by mistake, which does not count as waiting for its
    /// payment.
    pub(crate) uncounted: Duration,
    /// The sum of the refunds that its provider has not made yet, in minor units.
    pub(crate) refund_pending: i64,
    /// The sum of the payments that came for it and that do not add up to its total yet, in minor
    /// units.
    pub(crate) partly_paid: i64,
    /// It is over, and money that came by a provider is still to be returned.
    pub(crate) kept: bool,
}

/// What a buyer's cancellation of a paid order does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PaidCancellation {
    /// It asks staff to cancel the order.
    IsRequested,
    /// It cancels the order, and staff or a provider are asked to send the money back.
    IsDone,
}

impl PaidCancellation {
    /// Whether a buyer's cancellation of this order is a request.
    pub(crate) fn is_request(self, order: &Order) -> bool {
        let holds_money = order.status == OrderStatus::Paid && order.total.amount > 0;
        self == Self::IsRequested && holds_money
    }
}

impl Settlement {
    /// Whether an order of that status, which may allow a transition, allows it with this.
    pub(super) fn allows(self, status: OrderStatus, transition: Transition) -> bool {
        match transition {
            Transition::Revive => self.revival == Revival::Awaited,
            Transition::RefundPart | Transition::RefundRest if status.is_over() => self.kept,
            _ => true,
        }
    }

    /// As it was at the order's stock outcome.
    pub(super) fn at_stock_outcome(self) -> Self {
        Self { at_once: self.at_once, ..Self::default() }
    }
}

impl Order {
    /// Whether the total was received, whatever was returned of it since.
    pub(crate) fn is_paid(&self) -> bool {
        match self.status {
            OrderStatus::Paid | OrderStatus::Refunded => true,
            OrderStatus::Shipped | OrderStatus::Delivered => !self.settlement.owed,
            // Its payment was returned, or is about to be.
            OrderStatus::Cancelled => self.settlement.kept || self.refunded_total.amount > 0,
            OrderStatus::Pending | OrderStatus::Confirmed | OrderStatus::Rejected => false,
        }
    }

    /// Whether a payment is waited for.
    pub(crate) fn is_payable(&self) -> bool {
        match self.status {
            OrderStatus::Confirmed => true,
            OrderStatus::Shipped | OrderStatus::Delivered => self.settlement.owed,
            _ => false,
        }
    }

    /// When the order is cancelled unless it is paid; counts while it is confirmed.
    pub(crate) fn unpaid_until(&self) -> Option<Time> {
        let until = match self.settlement.chosen {
            Some(chosen) => chosen.until,
            None => self.reserved_until,
        };
        until.map(|until| until.after(self.settlement.uncounted))
    }

    /// The part of the payment that is not refunded.
    pub(super) fn unreturned(&self) -> Money {
        let paid = if self.is_paid() { self.total.amount } else { 0 };
        Money { amount: paid - self.refunded_total.amount, ..self.total }
    }

    /// The part that can still be refunded: without pending refunds.
    pub(crate) fn refundable(&self) -> Money {
        let Money { amount, currency } = self.unreturned();
        Money { amount: amount - self.settlement.refund_pending, currency }
    }

    /// Refuses a refund of more than can still be refunded.
    pub(super) fn require_refundable(&self, amount: Money) -> Result<(), TransitionError> {
        let left = self.refundable();
        let is_all_pending = left.amount == 0 && self.settlement.refund_pending > 0;
        match amount.amount > left.amount || is_all_pending || !self.is_paid() {
            true => Err(TransitionError::RefundTooLarge { left }),
            false => Ok(()),
        }
    }

    /// The refund of so much in minor units, or of all that can be, that its provider may be
    /// asked for.
    ///
    /// # Errors
    /// As the refund would be refused.
    pub(crate) fn require_refund(&self, amount: Option<i64>) -> Result<Money, TransitionError> {
        let status = self.status;
        let transition = self.transition(&OrderCommand::Refund { amount })?;
        let allowed = status.after(transition);
        if allowed.is_none() || !self.settlement.allows(status, transition) {
            return Err(TransitionError::Forbidden { status, transition });
        }
        let left = self.refundable();
        let amount = Money { amount: amount.unwrap_or(left.amount), ..left };
        self.require_refundable(amount)?;
        Ok(amount)
    }

    /// The provider's method by which it was paid, which refunds go back by.
    pub(crate) fn paid_by_provider(&self) -> Option<PaymentMethod> {
        let received = self
            .settlement
            .received
            .filter(|method| method.has_provider());
        received.filter(|_| self.is_paid() && self.payment.is_some())
    }

    /// Whether shipping it now is shipping it before it is paid.
    pub(super) fn is_shipped_unpaid(&self) -> bool {
        let chosen = self.settlement.chosen;
        self.status == OrderStatus::Confirmed
            && chosen.is_some_and(|chosen| chosen.method.ships_unpaid())
    }
}
