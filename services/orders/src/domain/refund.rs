//! Refunds: what of a payment goes back, when that counts, and when it counts no more.
//!
//! **Invariant:** what was refunded is at most the payment, and what a provider failed to send
//! back can be refunded again, also of an order that is over.

use model::{Fact, Money, RefundFault};

use super::{Order, OrderStatus, StatusChange, Transition, TransitionError};

impl StatusChange {
    /// What this entry adds to the refunds of its order; below zero for one that failed.
    pub(crate) fn refund(&self) -> Option<Money> {
        let failed = self
            .refund_failed
            .map(|amount| Money { amount: -amount.amount, ..amount });
        self.refunded.or(failed)
    }
}

impl Order {
    /// Counts a refund of so much in minor units, or of all that is left.
    pub(super) fn refund(
        &mut self,
        amount: Option<i64>,
        transition: Transition,
        change: &mut StatusChange,
    ) -> Result<Fact, TransitionError> {
        let left = self.refundable();
        let amount = Money { amount: amount.unwrap_or(left.amount), ..left };
        self.require_refundable(amount)?;
        self.refunded_total.amount += amount.amount;
        change.refunded = Some(amount);
        let in_full = transition == Transition::RefundRest;
        self.settlement.kept &= !in_full;
        let (order_id, user_id) = (self.id, self.buyer.user_id());
        Ok(Fact::OrderRefunded { order_id, user_id, amount, in_full })
    }

    /// Counts a refund no more, since its money came back. An order that is over stays so, and its
    /// money can be refunded again.
    pub(super) fn fail_refund(
        &mut self,
        amount: i64,
        payment: String,
        change: &mut StatusChange,
    ) -> Result<Fact, TransitionError> {
        let amount = Money { amount, ..self.total };
        if amount.amount > self.refunded_total.amount {
            let (status, transition) = (self.status, Transition::FailRefund);
            return Err(TransitionError::Forbidden { status, transition });
        }
        self.refunded_total.amount -= amount.amount;
        change.refund_failed = Some(amount);
        self.settlement.kept |= self.status.is_over();
        let (order_id, reference) = (self.id, payment);
        let reason = Some(RefundFault::Returned);
        Ok(Fact::RefundRefused { order_id, amount, reference, reason })
    }

    /// Gives back the payment of an order that is cancelled: what is refunded by that, and what
    /// its provider is asked for, which counts once it is done.
    pub(super) fn give_back(&mut self, returned: Option<Money>) -> (Option<Money>, Option<Money>) {
        self.settlement.kept = self.paid_by_provider().is_some() && returned.is_some();
        if self.settlement.kept {
            return (None, returned);
        }
        self.refunded_total.amount += returned.map_or(0, |refund| refund.amount);
        (returned, None)
    }
}

impl OrderStatus {
    /// Whether nothing follows but refunds of what the shop still has.
    pub(super) fn is_over(self) -> bool {
        matches!(self, Self::Cancelled | Self::Refunded)
    }
}
