//! Moving an order: cancel, pay, ship, deliver, refund.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chassis::idempotency::{Guard, IdempotentRequest, Reply, StoredResponse};
use chassis::json::PathId;
use chassis::{Caller, FieldError, Json, Problem, Staff};
use model::{Money, kinds, now};
use serde::{Deserialize, Serialize};

use super::{OrderView, Orders, own};
use crate::domain::{By, Cause, Order, Refused, Taken};
use crate::store::OrderId;
use crate::{Error, store as orders};

/// How long a cancellation waits for the stock to be free again.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);
/// Characters of a reason, and of a carrier's name and number.
const REASON_CHARS_MAX: usize = 500;
const CARRIER_CHARS_MAX: usize = 200;

/// The body of a step that needs none.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cancel {
    reason: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ship {
    carrier: Option<String>,
    tracking: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Refund {
    amount: Option<Amount>,
    reason: Option<String>,
}

/// Money of the order's currency: minor units, or those with the currency.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(untagged)]
enum Amount {
    Minor(i64),
    Money(Money),
}

/// Cancels an order. The answer waits for products to say that the stock is free:
/// whoever orders next can have it.
pub(super) async fn cancel(
    State(orders): State<Orders>,
    caller: Caller,
    PathId(id): PathId<kinds::Order>,
    request: IdempotentRequest,
    Json(body): Json<Cancel>,
) -> Result<Response, Problem> {
    let guard = request.begin(&caller, &body)?;
    let mut faults = Vec::new();
    let reason = required(body.reason, &mut faults);
    let reason = all_right(faults).map(|()| Some(reason));
    let mut released = orders.releasing.register(id);
    let reply = orders
        .step(&guard, &caller, id, reason, Order::cancel)
        .await?;
    if reply.answer.is_success() && !reply.replayed {
        released.word(RELEASE_TIMEOUT).await;
    }
    Ok(reply.into())
}

pub(super) async fn pay(
    State(orders): State<Orders>,
    Staff(caller): Staff,
    PathId(id): PathId<kinds::Order>,
    request: IdempotentRequest,
    body: Option<Json<Nothing>>,
) -> Result<Response, Problem> {
    let guard = request.begin(&caller, &body.map(|Json(body)| body).unwrap_or_default())?;
    let reply = orders
        .step(&guard, &caller, id, Ok(None), Order::pay)
        .await?;
    Ok(reply.into())
}

pub(super) async fn ship(
    State(orders): State<Orders>,
    Staff(caller): Staff,
    PathId(id): PathId<kinds::Order>,
    request: IdempotentRequest,
    body: Option<Json<Ship>>,
) -> Result<Response, Problem> {
    let body = body.map(|Json(body)| body).unwrap_or_default();
    let guard = request.begin(&caller, &body)?;
    let Ship { carrier, tracking } = body;
    let mut faults = Vec::new();
    for (pointer, text) in [("/carrier", &carrier), ("/tracking", &tracking)] {
        if text
            .as_ref()
            .is_some_and(|text| text.chars().count() > CARRIER_CHARS_MAX)
        {
            faults.push(FieldError::new(
                pointer,
                format!("at most {CARRIER_CHARS_MAX} characters"),
            ));
        }
    }
    let reason = all_right(faults).map(|()| None);
    let ship = |order: &mut Order, cause| order.ship(cause, carrier, tracking);
    Ok(orders.step(&guard, &caller, id, reason, ship).await?.into())
}

pub(super) async fn deliver(
    State(orders): State<Orders>,
    Staff(caller): Staff,
    PathId(id): PathId<kinds::Order>,
    request: IdempotentRequest,
    body: Option<Json<Nothing>>,
) -> Result<Response, Problem> {
    let guard = request.begin(&caller, &body.map(|Json(body)| body).unwrap_or_default())?;
    let reply = orders
        .step(&guard, &caller, id, Ok(None), Order::deliver)
        .await?;
    Ok(reply.into())
}

pub(super) async fn refund(
    State(orders): State<Orders>,
    Staff(caller): Staff,
    PathId(id): PathId<kinds::Order>,
    request: IdempotentRequest,
    Json(body): Json<Refund>,
) -> Result<Response, Problem> {
    let guard = request.begin(&caller, &body)?;
    let (amount, currency) = match body.amount {
        None => (None, None),
        Some(Amount::Minor(amount)) => (Some(amount), None),
        Some(Amount::Money(Money { amount, currency })) => (Some(amount), Some(currency)),
    };
    let mut faults = Vec::new();
    if amount.is_some_and(|amount| amount < 1) {
        faults.push(FieldError::new("/amount", "at least 1 minor unit"));
    }
    let reason = required(body.reason, &mut faults);
    if let Some(currency) = currency
        && orders.own(&caller, id).await?.total.currency != currency
    {
        faults.push(FieldError::new(
            "/amount/currency",
            "not the order's currency",
        ));
    }
    let reason = all_right(faults).map(|()| Some(reason));
    let refund = move |order: &mut Order, cause| order.refund(cause, amount);
    Ok(orders
        .step(&guard, &caller, id, reason, refund)
        .await?
        .into())
}

impl Orders {
    /// Takes a step with the caller's order, once, for the reason given if there is
    /// nothing wrong with the request.
    async fn step(
        &self,
        guard: &Guard,
        caller: &Caller,
        id: OrderId,
        reason: Result<Option<String>, Error>,
        step: impl FnOnce(&mut Order, Cause) -> Result<Taken, Refused> + Send + 'static,
    ) -> Result<Reply, Problem> {
        let reason = match reason {
            Ok(reason) => reason,
            Err(invalid) => return guard.refuse(&self.store, invalid).await,
        };
        // What products said of a pending order comes before what is said of it now.
        self.own(caller, id).await?;
        let (log, caller) = (self.log.clone(), caller.clone());
        let (at, by, trace) = (
            now(),
            By::User(caller.user_id),
            Some(guard.request_id.clone()),
        );
        let cause = Cause { at, by, reason, trace };
        let work = move |tx: &mut store::Tx<'_>| {
            let order = own(tx, &caller, id)?;
            let order = orders::change(tx, &log, order, cause, step)?;
            Ok(StoredResponse::new(StatusCode::OK, &OrderView::new(&order)))
        };
        guard.once(&self.store, work).await
    }
}

/// The reason, which must be there.
fn required(reason: Option<String>, faults: &mut Vec<FieldError>) -> String {
    let reason = reason.unwrap_or_default();
    if reason.trim().is_empty() || reason.chars().count() > REASON_CHARS_MAX {
        let detail = format!("is required, 1..{REASON_CHARS_MAX} characters");
        faults.push(FieldError::new("/reason", detail));
    }
    reason
}

fn all_right(faults: Vec<FieldError>) -> Result<(), Error> {
    if faults.is_empty() {
        return Ok(());
    }
    Err(Error::Invalid(faults))
}
