//! Undoing the last step of an order, for a member of staff who took it by mistake.
//!
//! Shipping, delivery and payments that staff recorded can be undone, one after the other from
//! the last one back. A provider's payment was received, so it stays, and so do refunds.
//!
//! **Invariant:** the steps of an order are those of its history without the undone ones, so a
//! step is undone once, whatever happened since.

use model::{Fact, ItemOrdered, Time, UndoneStep, UserId};

use super::{BuyerErasure, Order, OrderStatus, Parcel, StatusChange, Transition, TransitionError};

/// A step of an order that can be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PastStep {
    pub(crate) kind: UndoneStep,
    pub(crate) at: Time,
}

/// The last step of a history, which has its oldest entry first; `None` if it is none that can be
/// undone.
///
/// A provider's payment of an order that was shipped before is no step: to undo the shipping
/// leaves it paid.
pub(crate) fn last_step(history: &[StatusChange]) -> Option<PastStep> {
    let mut steps: Vec<Option<PastStep>> = Vec::new();
    for change in history {
        let by_staff = change.by.parse::<UserId>().is_ok();
        let is_within = change.from == Some(change.to);
        let kind = match change.to {
            _ if change.undone.is_some() => {
                steps.pop();
                continue;
            }
            _ if is_within && change.refunded.is_some() => None,
            _ if is_within && by_staff && change.payment.amount.is_some() => Some(UndoneStep::Paid),
            _ if is_within => continue,
            OrderStatus::Paid if by_staff => Some(UndoneStep::Paid),
            OrderStatus::Shipped => Some(UndoneStep::Shipped),
            OrderStatus::Delivered => Some(UndoneStep::Delivered),
            _ => None,
        };
        steps.push(kind.map(|kind| PastStep { kind, at: change.at }));
    }
    steps.pop().flatten()
}

impl Order {
    /// The transition that undoes a step.
    pub(super) fn undoing(&self, step: Option<PastStep>) -> Result<Transition, TransitionError> {
        match step.map(|step| step.kind) {
            Some(UndoneStep::Shipped) if self.erasure == BuyerErasure::Done => {
                Err(TransitionError::BuyerErased)
            }
            Some(UndoneStep::Delivered) => Ok(Transition::UndoDeliver),
            Some(UndoneStep::Shipped) if self.settlement.owed => Ok(Transition::UndoShipUnpaid),
            Some(UndoneStep::Shipped) => Ok(Transition::UndoShip),
            Some(UndoneStep::Paid) if self.status == OrderStatus::Paid => Ok(Transition::UndoPay),
            Some(UndoneStep::Paid) => Ok(Transition::UndoPayLate),
            Some(UndoneStep::Unknown) | None => {
                Err(TransitionError::NotUndoable { status: self.status })
            }
        }
    }

    /// Undoes a step. An order that waits for its payment again waits for as long as it would
    /// have: what passed since the step does not count.
    pub(super) fn undo(
        &mut self,
        step: Option<PastStep>,
        change: &mut StatusChange,
    ) -> Result<Fact, TransitionError> {
        let refusal = TransitionError::NotUndoable { status: self.status };
        let PastStep { kind, at: since } = step.ok_or(refusal)?;
        let is_unpaid_again = change.to == OrderStatus::Confirmed;
        change.undone = Some(kind);
        let settlement = &mut self.settlement;
        let mut items = Vec::new();
        match kind {
            UndoneStep::Shipped => {
                settlement.owed = false;
                self.parcel = Parcel::default();
                items.extend(self.lines.iter().map(|line| ItemOrdered {
                    product_id: line.product_id,
                    quantity: line.quantity,
                }));
            }
            UndoneStep::Paid => {
                settlement.owed = !is_unpaid_again;
                settlement.received = None;
                self.payment = None;
            }
            UndoneStep::Delivered | UndoneStep::Unknown => {}
        }
        if is_unpaid_again {
            let uncounted = settlement.uncounted;
            settlement.uncounted = uncounted.saturating_add(change.at.since(since));
        }
        let (order_id, user_id) = (self.id, self.buyer.user_id());
        Ok(Fact::OrderStepUndone { order_id, user_id, step: kind, items })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tests::order;
    use crate::domain::{Actor, OrderCause, OrderCommand, PaymentDetails};

    #[test]
    fn an_order_waits_for_its_payment_as_long_as_it_would_have() {
        let mut order = order(100);
        let cause = |at| OrderCause::new(Time(at), Actor::User(UserId::first_at(Time(1))));
        let confirm = OrderCommand::Confirm { reserved_until: Some(Time(100)) };
        order.apply(confirm, &cause(2)).unwrap();
        let (placed, mut history) = (order.at_stock_outcome(), order.first_changes());
        for (paid_at, undone_at, until) in [(50, 250, 300), (260, 270, 310)] {
            let details = PaymentDetails { reference: Some("R1".into()), ..Default::default() };
            let paid = order.apply(OrderCommand::Pay(details), &cause(paid_at));
            history.push(paid.unwrap().change);
            let step = last_step(&history);
            let undone = order.apply(OrderCommand::Undo { step }, &cause(undone_at));
            history.push(undone.unwrap().change);
            assert_eq!(order.status, OrderStatus::Confirmed);
            assert_eq!(order.unpaid_until(), Some(Time(until)));
            assert_eq!((order.payment.as_ref(), last_step(&history)), (None, None));
        }
        assert_eq!(
            order.at_stock_outcome(),
            placed,
            "the response to placing stays"
        );
        let nothing = order.apply(OrderCommand::Undo { step: None }, &cause(400));
        let refusal = nothing.unwrap_err().to_string();
        assert!(refusal.starts_with("the order is confirmed, and its last step cannot be undone"));
    }
}
