//! The routes of orders and their handlers: extract, use case, respond.

mod control;

use api::routes;
use axum::extract::{FromRequestParts, Query, Request, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chassis::fields::{CheckedBody, ReadFields};
use chassis::idempotency::IdempotentRequest;
use chassis::json::{self, PathId};
use chassis::limits::HEADER_ID_BYTES_MAX;
use chassis::page::{Page, Paging};
use chassis::{Caller, Json, Problem, Routes, ServiceRoutes, Staff, accept_language, etag};
use model::{Id, kinds, now};
use serde::{Deserialize, Serialize};
use standardwebhooks::HEADER_WEBHOOK_ID;
use store::Tx;

pub(crate) use self::control::control;
use crate::domain::OrderStatus;
use crate::placing::PlaceOrder;
use crate::tables;
use crate::wire::{
    CancelBody, CommandRequest, DeliverBody, HistoryResponse, OrderContent, OrderResponse, PayBody,
    RefundBody, ShipBody, WebhookBody, WebhookResponse,
};
use crate::{Error, OrdersState, lists, payments};

/// `Retry-After` for the payment provider while no secret is configured.
const SETUP_RETRY_SECONDS: &str = "600";

/// The handlers of this service.
pub(crate) fn endpoints(state: OrdersState) -> ServiceRoutes {
    Routes::new()
        .on(&routes::LIST_ORDERS, list)
        .on(&routes::PLACE_ORDER, place)
        .on(&routes::GET_ORDER, order)
        .on(&routes::GET_ORDER_HISTORY, history)
        .on(&routes::CANCEL_ORDER, command::<Caller, CancelBody>)
        .on(&routes::PAY_ORDER, command::<Staff, PayBody>)
        .on(&routes::SHIP_ORDER, command::<Staff, ShipBody>)
        .on(&routes::DELIVER_ORDER, command::<Staff, DeliverBody>)
        .on(&routes::REFUND_ORDER, command::<Staff, RefundBody>)
        .on(&routes::PAYMENT_WEBHOOK, payment_webhook)
        .with_state(state)
}

#[derive(Deserialize)]
struct Filter {
    status: Option<String>,
    user_id: Option<String>,
}

async fn list(
    State(state): State<OrdersState>,
    caller: Caller,
    paging: Paging,
    Query(filter): Query<Filter>,
) -> Result<Json<Page<serde_json::Value>>, Problem> {
    let status = filter.status.map(|name| {
        let names = OrderStatus::ALL.map(OrderStatus::name).join(", ");
        let unknown = || Problem::bad_request(format!("status must be one of {names}"));
        OrderStatus::parse(&name).ok_or_else(unknown)
    });
    let user = match filter.user_id.map(|text| text.parse()) {
        _ if !caller.is_staff() => Some(caller.user_id),
        None => None,
        Some(id) => Some(id.map_err(|_| Problem::bad_request("user_id is not a user's id"))?),
    };
    let ids = lists::ids(&state.store, user, status.transpose()?, paging.after()?)?;
    let rows = ids.map(|id| {
        let id = id?;
        let stored = tables::find(&state.store, id)?;
        let order = serde_json::to_value(OrderResponse::new(&stored.order));
        Ok::<_, Problem>((id, order.map_err(Problem::internal)?))
    });
    Ok(Json(paging.collect(rows)?))
}

async fn order(
    State(state): State<OrdersState>,
    caller: Caller,
    PathId(id): PathId<kinds::Order>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let stored = state.current_order(&caller, id).await?;
    Ok(etag::respond(&headers, &OrderResponse::new(&stored.order)))
}

async fn history(
    State(state): State<OrdersState>,
    caller: Caller,
    PathId(id): PathId<kinds::Order>,
) -> Result<Json<HistoryResponse>, Problem> {
    let stored = state.current_order(&caller, id).await?;
    let changes = tables::history(&state.store, &stored.order)?;
    Ok(Json(HistoryResponse::new(changes)))
}

async fn place(
    State(state): State<OrdersState>,
    caller: Caller,
    headers: HeaderMap,
    request: IdempotentRequest,
    body: CheckedBody<OrderContent>,
) -> Result<Response, Problem> {
    let guard = request.begin(&caller, &body)?;
    let content = match body.valid() {
        Ok(content) => content,
        Err(faults) => {
            let refused = guard.refuse(&state.store, Error::Invalid(faults)).await;
            return Ok(refused?.into());
        }
    };
    let request = PlaceOrder {
        order_id: Id::new(),
        user_id: caller.user_id,
        content,
        language: accept_language::preferred(&headers),
        request_id: guard.request_id.clone(),
        key: guard.key.clone(),
        at: now(),
    };
    Ok(state.place(request).await?.into())
}

/// Applies the command of a route to the caller's order.
async fn command<C, B>(
    State(state): State<OrdersState>,
    caller: C,
    PathId(id): PathId<kinds::Order>,
    request: IdempotentRequest,
    body: CheckedBody<B>,
) -> Result<Response, Problem>
where
    C: FromRequestParts<OrdersState> + Into<Caller>,
    B: ReadFields + Serialize + Into<CommandRequest>,
{
    let caller = caller.into();
    let guard = request.begin(&caller, &body)?;
    let reply = state.command(caller, id, &guard, body.map(B::into)).await?;
    Ok(reply.into())
}

/// Receives a message of the payment provider. Every signed and readable one is 200,
/// whatever its outcome: a repeat would not change it.
async fn payment_webhook(
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
    let id = headers.get(HEADER_WEBHOOK_ID);
    let id = id.and_then(|id| id.to_str().ok()).unwrap_or_default();
    let has_id = (1..=HEADER_ID_BYTES_MAX).contains(&id.len());
    if !has_id || !state.webhook_verifier.verify(&headers, &body) {
        return Err(not_signed());
    }
    let body: WebhookBody = json::parse(&body)?;
    let Some(message) = body.read().map_err(Error::Invalid)? else {
        return Ok(Json(WebhookResponse::IGNORED));
    };
    let (log, id) = (state.log, id.to_owned());
    let receive = move |tx: &mut Tx<'_>| payments::receive(tx, &log, &id, message, now());
    let outcome = state.store.write(receive).await?;
    Ok(Json(WebhookResponse::new(outcome)))
}

fn not_signed() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "webhook-signature",
        "It is not signed by the payment provider",
        "webhook-id, webhook-timestamp and webhook-signature must be those of Standard Webhooks, made with one of the shop's secrets within five minutes",
    )
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
