//! How an order is settled, beside its status: the payment method that its buyer chose, and
//! what that allows.
//!
//! **Invariants:** an order that is shipped before it is paid is `owed` until it is paid, and
//! nothing of it can be refunded before. What an order waits for its payment is decided by the
//! method that was chosen last.

use std::time::Duration;

use model::{Money, Time};

use super::{Order, OrderStatus};

/// A way to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PaymentMethod {
    /// The buyer sends the money to the shop's account; staff record it.
    Transfer,
    /// The buyer pays the carrier, who pays the shop; staff record it.
    OnDelivery,
}

impl PaymentMethod {
    pub(crate) const ALL: [Self; 2] = [Self::Transfer, Self::OnDelivery];

    /// The name in bodies, settings and stored rows.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Transfer => "transfer",
            Self::OnDelivery => "on_delivery",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// Whether orders may be shipped before they are paid by it.
    fn ships_unpaid(self) -> bool {
        match self {
            Self::Transfer | Self::OnDelivery => true,
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
    /// The method by which it was paid, where it was one that its buyer chose.
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
            // Its payment was returned.
            OrderStatus::Cancelled => self.refunded_total.amount > 0,
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

    /// What can still be refunded of what was paid.
    pub(super) fn refundable(&self) -> Money {
        let paid = if self.is_paid() { self.total.amount } else { 0 };
        Money { amount: paid - self.refunded_total.amount, ..self.total }
    }

    /// Whether shipping it now is shipping it before it is paid.
    pub(super) fn is_shipped_unpaid(&self) -> bool {
        let chosen = self.settlement.chosen;
        self.status == OrderStatus::Confirmed
            && chosen.is_some_and(|chosen| chosen.method.ships_unpaid())
    }
}
