//! Attempts to pay an order: the choice of a method, and the list of what was tried and
//! refunded.
//!
//! An attempt by a method without a provider has no state of its own: it is pending for as long
//! as its order waits for a payment, and then it was the one that paid, or was not needed. One by
//! a provider is what the provider says; the request that opens it waits a while for the place
//! where the buyer pays.
//!
//! **Invariant:** an order has at most one pending attempt of a method; to ask for it again
//! returns it.

use std::time::Duration;

use axum::http::StatusCode;
use chassis::fields::CheckedBody;
use chassis::idempotency::{IdempotencyGuard, Reply, StoredResponse};
use chassis::log_limit::LogLimit;
use chassis::{FieldError, Problem};
use model::{OrderId, now};
use store::Tx;
use tokio::time::Instant;
use url::Url;

use super::methods::OfferedMethod;
use super::providers::calls::{CallQueue, Lane, ProviderRequest};
use super::refunds;
use super::tables::{self, Attempt, AttemptStatus, PaymentId, ProviderAttempt};
use super::wire::{AttemptResponse, PaymentBody, PaymentsResponse};
use crate::domain::{Order, PaymentMethod, Transition, TransitionError};
use crate::holder::OrderRequester;
use crate::{Error, OrdersState, commands, tables as orders};

/// How long the response to opening an attempt waits for the provider.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a list of attempts waits for the provider.
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a page that buyers are not sent to is logged: every buyer can name one.
const REFUSALS_LOGGED_EVERY: Duration = Duration::from_secs(10);
/// Attempts of an order: each is a call to a provider, which every holder of an order can cause.
const ATTEMPTS_MAX: usize = 50;

/// What is to be opened.
struct AttemptToOpen {
    offered: OfferedMethod,
    return_url: Option<String>,
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
        // Before a refusal is kept under the key: a stranger's request writes nothing.
        let current = self.current_order(&who, id).await?.order;
        let attempt = match &body.value {
            Some(asked) => self.attempt_to_open(asked, &current),
            None => Err(Vec::new()),
        };
        let attempt = match attempt {
            Ok(attempt) if body.faults.is_empty() => attempt,
            refused => {
                for fault in refused.err().into_iter().flatten() {
                    // What is unreadable is not absent.
                    let is_known = body.faults.iter().any(|it| it.pointer == fault.pointer);
                    body.faults.extend((!is_known).then_some(fault));
                }
                return guard.refuse(&self.store, Error::Invalid(body.faults)).await;
            }
        };
        let calls = self.ledger.calls.clone();
        let work = move |tx: &mut Tx<'_>| open(tx, &calls, &who, id, &attempt);
        let reply = guard.once(&self.store, work).await?;
        let opened = reply.answer.member("id").and_then(|id| id.parse().ok());
        let Some(payment_id) = opened.filter(|_| reply.answer.is_success()) else {
            return Ok(reply);
        };
        let shown = self.begun(id, payment_id).await?;
        let shown = shown.map(|shown| StoredResponse::new(reply.answer.status(), &shown));
        let answer = shown.map_or(reply.answer, |shown| shown.at(location(id)));
        Ok(Reply { answer, ..reply })
    }

    /// What a body asks for, or its faults.
    fn attempt_to_open(
        &self,
        body: &PaymentBody,
        order: &Order,
    ) -> Result<AttemptToOpen, Vec<FieldError>> {
        let mut faults = Vec::new();
        let return_url = body.return_url.clone();
        if let Some(why) = return_url
            .as_deref()
            .and_then(|url| self.refused_origin(url))
        {
            faults.push(FieldError::new("/return_url", why));
        }
        let offered = match self.methods.named(&body.method) {
            Ok(offered) => offered.clone(),
            Err(why) => {
                faults.push(FieldError::new("/method", why));
                return Err(faults);
            }
        };
        if let Some(provider) = self.providers.find(offered.method) {
            if return_url.is_none() {
                faults.push(FieldError::new("/return_url", "is needed by this method"));
            }
            let refused = provider.require_payable(order.total).err();
            faults.extend(refused.map(|why| FieldError::new("/method", why)));
        }
        match faults.is_empty() {
            true => Ok(AttemptToOpen { offered, return_url }),
            false => Err(faults),
        }
    }

    /// Why buyers are not sent to a URL; the operator reads in the log how to allow it.
    fn refused_origin(&self, url: &str) -> Option<&'static str> {
        static LOGGED: LogLimit = LogLimit::new(REFUSALS_LOGGED_EVERY);
        let origin = Url::parse(url).ok()?.origin().ascii_serialization();
        if self.return_origins.contains(&origin) {
            return None;
        }
        if LOGGED.admits() {
            tracing::warn!(
                origin,
                "a buyer was to be sent back to a page that is not of this shop; if it is, add its origin to payments.return_origins"
            );
        }
        Some("is not a page of this shop")
    }

    /// An attempt at a provider as it is once that has answered, or in a while; `None` for one
    /// without a provider.
    async fn begun(
        &self,
        id: OrderId,
        payment_id: PaymentId,
    ) -> Result<Option<AttemptResponse>, Problem> {
        let deadline = Instant::now() + BEGIN_TIMEOUT;
        loop {
            let mut fetched = self.fetches.register(id);
            let attempt = tables::attempt(&self.store, id, payment_id).map_err(Error::from)?;
            let attempt = attempt.filter(|attempt| attempt.at_provider.is_some());
            let is_waiting = attempt.as_ref().is_some_and(is_waiting);
            let left = deadline.saturating_duration_since(Instant::now());
            if !is_waiting || left.is_zero() || fetched.wait(left).await.is_none() {
                let order = orders::find(&self.store, id)?.order;
                return Ok(attempt.map(|attempt| response(attempt, None, &order)));
            }
        }
    }

    /// What was tried to pay an order, and what went back. A pending attempt is
    /// fetched, unless it was lately: the buyer may be back from the provider.
    pub(crate) async fn payments(
        &self,
        who: &OrderRequester,
        id: OrderId,
    ) -> Result<PaymentsResponse, Problem> {
        self.current_order(who, id).await?;
        let mut fetched = self.fetches.register(id);
        let attempts = tables::attempts(&self.store, id).map_err(Error::from)?;
        if self.fetch_pending(id, &attempts).await? {
            fetched.wait(FETCH_TIMEOUT).await;
        }
        let order = orders::find(&self.store, id)?.order;
        let attempts = tables::attempts(&self.store, id).map_err(Error::from)?;
        let items = attempts.into_iter().map(|attempt| {
            let offered = self.methods.find(attempt.method);
            let instructions = offered.and_then(|offered| offered.instructions.clone());
            response(attempt, instructions, &order)
        });
        let history = orders::history(&self.store, &order).map_err(Error::from)?;
        let asked = refunds::all(&self.store, id).map_err(Error::from)?;
        Ok(PaymentsResponse::new(
            items.collect(),
            &order,
            history,
            asked,
        ))
    }
}

/// Whether a provider has not answered yet where the buyer pays.
fn is_waiting(attempt: &Attempt) -> bool {
    attempt.at_provider.as_ref().is_some_and(|at_provider| {
        at_provider.status == AttemptStatus::Pending && at_provider.provider_id.is_none()
    })
}

fn location(order: OrderId) -> String {
    format!("/v1/orders/{order}/payments")
}

fn open(
    tx: &mut Tx<'_>,
    calls: &CallQueue,
    who: &OrderRequester,
    order_id: OrderId,
    AttemptToOpen { offered, return_url }: &AttemptToOpen,
) -> Result<StoredResponse, Problem> {
    let mut stored = commands::find_for(tx, who, order_id)?;
    if !stored.order.is_payable() {
        let (status, transition) = (stored.order.status, Transition::Pay);
        let refusal = TransitionError::Forbidden { status, transition };
        return Err(Error::from(refusal).into());
    }
    let OfferedMethod { method, instructions, .. } = offered.clone();
    let attempts = tables::attempts(tx, order_id)?;
    let made = attempts.len();
    let mut of_method = attempts.into_iter().filter(|tried| tried.method == method);
    // The span counts from the first choice of a method, so that to change it to and fro holds
    // stock no longer, nor does opening a failed attempt anew.
    let (first, last) = (of_method.next(), of_method.next_back());
    let first_at = first.as_ref().map(|attempt| attempt.id.made_at());
    let known = last.or(first);
    let known = known.filter(|tried| match &tried.at_provider {
        Some(at_provider) => at_provider.status == AttemptStatus::Pending,
        None => true,
    });
    let is_known = known.is_some();
    let attempt = match known {
        Some(attempt) => attempt,
        None if made >= ATTEMPTS_MAX => return Err(Error::TooManyPayments(made).into()),
        None => begin(tx, calls, order_id, method, return_url.clone())?,
    };
    let chosen = stored.order.settlement.chosen;
    if chosen.is_none_or(|chosen| chosen.method != method) {
        let at = first_at.unwrap_or_else(|| attempt.id.made_at());
        let before = stored.order.unpaid_until();
        stored.order.settlement.chosen = Some(offered.chosen(at));
        stored.order.updated_at = now();
        orders::save_expiring(tx, &stored, before)?;
    }
    let shown = response(attempt, instructions, &stored.order);
    let status = if is_known { StatusCode::OK } else { StatusCode::CREATED };
    Ok(StoredResponse::new(status, &shown).at(location(order_id)))
}

/// Writes a new attempt, and has its provider asked, if it has one.
fn begin(
    tx: &mut Tx<'_>,
    calls: &CallQueue,
    order_id: OrderId,
    method: PaymentMethod,
    return_url: Option<String>,
) -> Result<Attempt, store::Error> {
    let (id, has_provider) = (PaymentId::new(), method.has_provider());
    let return_url = return_url.filter(|_| has_provider);
    let attempt = Attempt {
        id,
        method,
        at_provider: return_url.map(ProviderAttempt::new),
    };
    tables::put_attempt(tx, order_id, &attempt)?;
    if attempt.at_provider.is_some() {
        let request = ProviderRequest::Begin { order_id, payment_id: id };
        calls.ask(tx, Lane::of(method), request, now())?;
    }
    Ok(attempt)
}

fn response(attempt: Attempt, instructions: Option<String>, order: &Order) -> AttemptResponse {
    let status = attempt.status(order);
    let is_pending = status == AttemptStatus::Pending;
    let Attempt { id, method, at_provider } = attempt;
    let paid_by = order
        .payment
        .clone()
        .filter(|_| status == AttemptStatus::Succeeded);
    let (redirect_url, reference) = match at_provider {
        Some(at_provider) => (
            // The buyer of an order that waits for no payment is not sent to pay.
            Some(
                at_provider
                    .redirect_url
                    .filter(|_| is_pending && order.is_payable()),
            ),
            at_provider.reference.or(at_provider.provider_id),
        ),
        None => (None, paid_by),
    };
    AttemptResponse {
        id,
        method: method.name(),
        status: status.name(),
        amount: order.total,
        instructions: instructions.filter(|_| is_pending),
        redirect_url,
        reference,
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
