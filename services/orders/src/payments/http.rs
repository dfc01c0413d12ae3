//! The handlers of payments: extract, use case, respond.

use std::fmt::Display;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chassis::fields::CheckedBody;
use chassis::idempotency::IdempotentRequest;
use chassis::json::{self, PathId};
use chassis::log_limit::LogLimit;
use chassis::page::{Page, Paging};
use chassis::{Json, Problem, Staff};
use model::{kinds, now};
use store::Tx;

use super::providers::hints::HintRefusal;
use super::tables::{self, UnmatchedPlace};
use super::webhook::{self, WebhookFault};
use super::wire::{
    HintResponse, MethodsResponse, PaymentBody, PaymentsResponse, UnmatchedResponse,
    WebhookResponse, read_signed,
};
use crate::OrdersState;
use crate::domain::PaymentMethod;
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
        return Err(not_configured(
            "payments.secrets or payments.secrets_files in konbini.toml",
        ));
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

pub(crate) async fn stripe_webhook(
    State(state): State<OrdersState>,
    headers: HeaderMap,
    request: Request,
) -> Result<Json<HintResponse>, Problem> {
    hint(&state, PaymentMethod::Stripe, &headers, request).await
}

pub(crate) async fn mollie_webhook(
    State(state): State<OrdersState>,
    headers: HeaderMap,
    request: Request,
) -> Result<Json<HintResponse>, Problem> {
    hint(&state, PaymentMethod::Mollie, &headers, request).await
}

async fn hint(
    state: &OrdersState,
    method: PaymentMethod,
    headers: &HeaderMap,
    request: Request,
) -> Result<Json<HintResponse>, Problem> {
    let body = json::read_body(request).await?;
    match state.hint(method, headers, &body).await {
        Ok(outcome) => Ok(Json(HintResponse::new(outcome))),
        Err(HintRefusal::NotConfigured) => Err(not_configured(&format!(
            "payments.{} in konbini.toml, with its webhook's secret if it signs",
            method.name()
        ))),
        Err(HintRefusal::NotProven(fault)) => Err(refused(fault.name(), &fault)),
        Err(HintRefusal::Other(problem)) => Err(problem),
    }
}

fn not_signed(fault: WebhookFault) -> Problem {
    let why = format!("{fault}; the headers are those of Standard Webhooks");
    refused(fault.name(), &why)
}

/// The refusal of a request that is not signed as it should be.
fn refused(fault: &'static str, why: &dyn Display) -> Problem {
    static LOGGED: LogLimit = LogLimit::new(REFUSALS_LOGGED_EVERY);
    if LOGGED.admits() {
        tracing::warn!(fault, %why, "a message to a payment webhook was refused");
    }
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "webhook-signature",
        "It is not signed by the payment provider",
        why.to_string(),
    )
    .member("fault", fault)
}

fn not_configured(setting: &str) -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "payments-not-configured",
        "No payment provider is set up here",
        format!("nothing was written; set {setting}, restart, and let the provider try again"),
    )
    .header(RETRY_AFTER, SETUP_RETRY_SECONDS)
}
