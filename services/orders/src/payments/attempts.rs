//! Attempts to pay an order: the choice of a method, and the list of what was tried and
//! refunded.
//!
//! An attempt by a method without a provider has no state of its own: it is pending for as long
//! as its order waits for a payment, and then it was the one that paid, or was not needed.
//!
//! **Invariant:** an order has at most one open attempt of a method; to ask for it again
//! returns it.

use axum::http::StatusCode;
use chassis::fields::CheckedBody;
use chassis::idempotency::{IdempotencyGuard, Reply, StoredResponse};
use chassis::{FieldError, Problem};
use model::{OrderId, now};
use store::Tx;

use super::methods::OfferedMethod;
use super::tables::{self, PaymentId};
use super::wire::{AttemptResponse, PaymentBody, PaymentsResponse};
use crate::domain::{Order, PaymentMethod, Transition, TransitionError};
use crate::holder::OrderRequester;
use crate::{Error, OrdersState, commands, tables as orders};

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttemptStatus {
    Pending,
    Succeeded,
    /// The order was paid otherwise, or is over.
    Cancelled,
}

impl AttemptStatus {
    /// The name in responses.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Cancelled => "cancelled",
        }
    }

    /// Of an attempt by a method without a provider.
    fn of(method: PaymentMethod, order: &Order) -> Self {
        match order.settlement.received {
            Some(received) if received == method => Self::Succeeded,
            _ if order.is_payable() => Self::Pending,
            _ => Self::Cancelled,
        }
    }
}

impl OrdersState {
    /// Opens an attempt to pay an order, or finds the open one of the method.
    pub(crate) async fn open_payment(
        &self,
        who: OrderRequester,
        id: OrderId,
        guard: &IdempotencyGuard,
        mut body: CheckedBody<PaymentBody>,
    ) -> Result<Reply, Problem> {
        let offered = body
            .value
            .as_ref()
            .map(|body| self.methods.named(&body.method));
        if let Some(Err(why)) = &offered {
            body.faults.push(FieldError::new("/method", why));
        }
        let offered = match (body.valid(), offered) {
            (Ok(_), Some(Ok(offered))) => offered.clone(),
            (Ok(_), _) => return Err(Problem::internal("a valid body names a method")),
            (Err(faults), _) => return guard.refuse(&self.store, Error::Invalid(faults)).await,
        };
        self.current_order(&who, id).await?;
        let work = move |tx: &mut Tx<'_>| open(tx, &who, id, &offered);
        guard.once(&self.store, work).await
    }

    /// What was tried to pay an order, and what went back.
    pub(crate) async fn payments(
        &self,
        who: &OrderRequester,
        id: OrderId,
    ) -> Result<PaymentsResponse, Error> {
        let order = self.current_order(who, id).await?.order;
        let attempts = tables::attempts(&self.store, id)?;
        let items = attempts.into_iter().map(|(id, method)| {
            let offered = self.methods.find(method);
            let instructions = offered.and_then(|offered| offered.instructions.clone());
            response(id, method, instructions, &order)
        });
        let history = orders::history(&self.store, &order)?;
        Ok(PaymentsResponse::new(items.collect(), &order, history))
    }
}

fn open(
    tx: &mut Tx<'_>,
    who: &OrderRequester,
    order_id: OrderId,
    offered: &OfferedMethod,
) -> Result<StoredResponse, Problem> {
    let mut stored = commands::find_for(tx, who, order_id)?;
    if !stored.order.is_payable() {
        let (status, transition) = (stored.order.status, Transition::Pay);
        let refusal = TransitionError::Forbidden { status, transition };
        return Err(Error::from(refusal).into());
    }
    let OfferedMethod { method, instructions, .. } = offered.clone();
    let location = format!("/v1/orders/{order_id}/payments");
    let known = tables::attempts(tx, order_id)?;
    let known = known.into_iter().find(|(_, tried)| *tried == method);
    let (status, id) = match known {
        Some((id, _)) => (StatusCode::OK, id),
        None => (StatusCode::CREATED, PaymentId::new()),
    };
    if known.is_none() {
        tables::insert_attempt(tx, order_id, id, method)?;
    }
    let chosen = stored.order.settlement.chosen;
    if chosen.is_none_or(|chosen| chosen.method != method) {
        // The span counts from the first choice of a method, so that to change it to and fro
        // holds stock no longer.
        let at = if known.is_some() { id.made_at() } else { now() };
        let before = stored.order.unpaid_until();
        stored.order.settlement.chosen = Some(offered.chosen(at));
        stored.order.updated_at = now();
        orders::save_expiring(tx, &stored, before)?;
    }
    let shown = response(id, method, instructions, &stored.order);
    Ok(StoredResponse::new(status, &shown).at(location))
}

fn response(
    id: PaymentId,
    method: PaymentMethod,
    instructions: Option<String>,
    order: &Order,
) -> AttemptResponse {
    let status = AttemptStatus::of(method, order);
    let is_paid = status == AttemptStatus::Succeeded;
    AttemptResponse {
        id,
        method: method.name(),
        status: status.name(),
        amount: order.total,
        instructions: instructions.filter(|_| status == AttemptStatus::Pending),
        reference: order.payment.clone().filter(|_| is_paid),
        created_at: id.made_at(),
    }
}

#[cfg(test)]
mod tests {
    use model::Time;
    use store::{Options, Read, Store};

    use super::*;
    use crate::domain::tests::order;
    use crate::domain::{ChosenPayment, OrderStatus};

    #[tokio::test]
    async fn the_chosen_method_decides_when_an_order_expires() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Options::default()).unwrap();
        let mut order = order(100);
        order.status = OrderStatus::Confirmed;
        order.reserved_until = Some(Time(9));
        let placed = store.write(move |tx| orders::insert(tx, order));
        let mut stored = placed.await.unwrap();
        for (method, until) in [
            (PaymentMethod::Transfer, Some(Time(20))),
            (PaymentMethod::OnDelivery, None),
            (PaymentMethod::Transfer, Some(Time(8))),
        ] {
            let before = stored.order.unpaid_until();
            stored.order.settlement.chosen = Some(ChosenPayment { method, until });
            let changed = stored.clone();
            let saved = store.write(move |tx| orders::save_expiring(tx, &changed, before));
            saved.await.unwrap();
            let due = store.scan(orders::UNPAID.all()).unwrap();
            let due: Vec<_> = due.map(|row| row.unwrap().0.0).collect();
            assert_eq!(due, Vec::from_iter(until));
        }
    }

    #[test]
    fn an_attempt_ends_with_what_its_order_waits_for() {
        use AttemptStatus::{Cancelled, Pending, Succeeded};
        use OrderStatus as S;
        let transfer = Some(PaymentMethod::Transfer);
        for (status, owed, received, expected) in [
            (S::Confirmed, false, None, Pending),
            (S::Shipped, true, None, Pending),
            (S::Delivered, true, None, Pending),
            (S::Delivered, false, transfer, Succeeded),
            (S::Paid, false, transfer, Succeeded),
            (S::Paid, false, None, Cancelled),
            (S::Paid, false, Some(PaymentMethod::OnDelivery), Cancelled),
            (S::Cancelled, false, None, Cancelled),
            (S::Refunded, false, transfer, Succeeded),
        ] {
            let mut order = order(100);
            order.status = status;
            order.settlement.owed = owed;
            order.settlement.received = received;
            let method = PaymentMethod::Transfer;
            order.settlement.chosen = Some(ChosenPayment { method, until: None });
            assert_eq!(
                AttemptStatus::of(method, &order),
                expected,
                "{status:?} {owed}"
            );
        }
    }
}
