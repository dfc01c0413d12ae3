//! The handlers of payments: extract, use case, respond.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chassis::fields::CheckedBody;
use chassis::idempotency::IdempotentRequest;
use chassis::json::{self, PathId};
use chassis::page::{Page, Paging};
use chassis::{Json, Problem, Staff};
use model::{Time, kinds, now};
use store::Tx;

use super::tables::{self, UnmatchedPlace};
use super::webhook::{self, WebhookFault};
use super::wire::{
    MethodsResponse, PaymentBody, PaymentsResponse, UnmatchedResponse, WebhookResponse, read_signed,
};
use crate::OrdersState;
use crate::holder::OrderRequester;

/// `Retry-After` for the payment provider while no secret is configured.
const SETUP_RETRY_SECONDS: &str = "600";

/// How often a message that is not signed is logged: anybody can send one.
const REFUSALS_LOGGED_EVERY: Duration = Duration::from_secs(10);

pub(crate) async fn methods(State(state): State<OrdersState>) -> Json<MethodsResponse> {
    Json(MethodsResponse::new(state.methods.all()))
}

pub(crate) async fn open(
    State(state): State<OrdersState>,
    who: OrderRequester,
    PathId(id): PathId<kinds::Order>,
    request: IdempotentRequest,
    body: CheckedBody<PaymentBody>,
) -> Result<Response, Problem> {
    let guard = who.begin(request, id, &body)?;
    Ok(state.open_payment(who, id, &guard, body).await?.into())
}

pub(crate) async fn list(
    State(state): State<OrdersState>,
    who: OrderRequester,
    PathId(id): PathId<kinds::Order>,
) -> Result<Json<PaymentsResponse>, Problem> {
    Ok(Json(state.payments(&who, id).await?))
}

pub(crate) async fn unmatched(
    State(state): State<OrdersState>,
    Staff(_): Staff,
    paging: Paging,
) -> Result<Json<Page<UnmatchedResponse>>, Problem> {
    let after = paging.after::<UnmatchedPlace>()?;
    let rows = tables::unmatched(&state.store, after)?;
    let items = rows.map(|row| {
        let (place, row) = row?;
        Ok::<_, store::Error>((place.clone(), UnmatchedResponse::new(place, row)))
    });
    Ok(Json(paging.collect(items)?))
}

/// Receives a message of the payment provider. Every signed one is 200, whatever its outcome:
/// a repeat would not change it.
pub(crate) async fn webhook(
    State(state): State<OrdersState>,
    headers: HeaderMap,
    request: Request,
) -> Result<Json<WebhookResponse>, Problem> {
    if state.webhook_verifier.is_empty() {
        return Err(not_configured());
    }
    let body = json::read_body(request).await?;
    // The signature is over text.
    if std::str::from_utf8(&body).is_err() {
        return Err(Problem::bad_request("the body is not UTF-8"));
    }
    let verified = state.webhook_verifier.verify(&headers, &body);
    let id = verified.map_err(not_signed)?;
    let Some(signed) = read_signed(id, &body) else {
        return Ok(Json(WebhookResponse::IGNORED));
    };
    let ledger = state.ledger;
    let receive = move |tx: &mut Tx<'_>| webhook::receive(tx, &ledger, signed, now());
    let outcome = state.store.write(receive).await?;
    Ok(Json(WebhookResponse::new(outcome)))
}

fn not_signed(fault: WebhookFault) -> Problem {
    static LOGGED_AT: AtomicI64 = AtomicI64::new(0);
    let (at, before) = (now(), Time(LOGGED_AT.load(Ordering::Relaxed)));
    if at < before || at.since(before) >= REFUSALS_LOGGED_EVERY {
        LOGGED_AT.store(at.0, Ordering::Relaxed);
        tracing::warn!(fault = fault.name(), why = %fault, "a message to the payment webhook was refused");
    }
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "webhook-signature",
        "It is not signed by the payment provider",
        format!("{fault}; the headers are those of Standard Webhooks"),
    )
    .member("fault", fault.name())
}

fn not_configured() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "payments-not-configured",
        "No payment provider is set up here",
        "nothing was written; set payments.secrets or payments.secrets_files in konbini.toml, restart, and let the provider try again",
    )
    .header(RETRY_AFTER, SETUP_RETRY_SECONDS)
}
