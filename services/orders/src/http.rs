//! The routes of orders and their handlers: extract, use case, respond.

mod control;
mod lists;
mod reports;
mod terms;

use api::routes;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chassis::fields::{CheckedBody, ParsedBody, ReadFields};
use chassis::idempotency::IdempotentRequest;
use chassis::json::{self, PathId};
use chassis::limits::HEADER_ID_BYTES_MAX;
use chassis::{Admin, Caller, Json, Problem, Routes, ServiceRoutes, Staff, accept_language, etag};
use model::{OrderId, kinds, now};
use serde::Serialize;
use standardwebhooks::HEADER_WEBHOOK_ID;
use store::Tx;

pub(crate) use self::control::control;
use crate::domain::StatusChange;
use crate::placing::PlaceOrder;
use crate::tables;
use crate::terms::{
    PromotionContent as Promotion, ShippingMethodContent as Method, TaxRateContent as TaxRate,
};
use crate::wire::{
    CancelBody, CommandRequest, CorrectionBody, DeliverBody, HistoryResponse, NoteBody,
    OrderContent, OrderResponse, PayBody, RefundBody, ShipBody, StaffOrderResponse, WebhookBody,
    WebhookResponse,
};
use crate::{Error, OrdersState, payments};

/// `Retry-After` for the payment provider while no secret is configured.
const SETUP_RETRY_SECONDS: &str = "600";

/// The handlers of this service.
pub(crate) fn endpoints(state: OrdersState) -> ServiceRoutes {
    with_terms(Routes::new())
        .on(&routes::LIST_ORDERS, lists::list)
        .on(&routes::EXPORT_ORDERS, lists::export)
        .on(&routes::PLACE_ORDER, place)
        .on(&routes::GET_ORDER, order)
        .on(&routes::PATCH_ORDER, correct)
        .on(&routes::ADD_ORDER_NOTE, note)
        .on(&routes::GET_ORDER_HISTORY, history)
        .on(&routes::CANCEL_ORDER, command::<Caller, CancelBody>)
        .on(&routes::PAY_ORDER, command::<Staff, PayBody>)
        .on(&routes::SHIP_ORDER, command::<Staff, ShipBody>)
        .on(&routes::DELIVER_ORDER, command::<Staff, DeliverBody>)
        .on(&routes::REFUND_ORDER, command::<Staff, RefundBody>)
        .on(&routes::PAYMENT_WEBHOOK, payment_webhook)
        .on(&routes::SALES_REPORT, reports::sales)
        .on(&routes::LIST_CUSTOMERS, reports::customers)
        .on(&routes::GET_CUSTOMER, reports::customer)
        .with_state(state)
}

/// The handlers of the shop's terms of sale.
fn with_terms(endpoints: Routes<OrdersState>) -> Routes<OrdersState> {
    endpoints
        .on(
            &routes::LIST_SHIPPING_METHODS,
            terms::list::<Method, Option<Caller>>,
        )
        .on(&routes::CREATE_SHIPPING_METHOD, terms::create::<Method>)
        .on(
            &routes::GET_SHIPPING_METHOD,
            terms::one::<Method, Option<Caller>>,
        )
        .on(&routes::PUT_SHIPPING_METHOD, terms::replace::<Method>)
        .on(&routes::DELETE_SHIPPING_METHOD, terms::delete::<Method>)
        .on(
            &routes::LIST_TAX_RATES,
            terms::list::<TaxRate, Option<Caller>>,
        )
        .on(&routes::CREATE_TAX_RATE, terms::create::<TaxRate>)
        .on(&routes::GET_TAX_RATE, terms::one::<TaxRate, Option<Caller>>)
        .on(&routes::PUT_TAX_RATE, terms::replace::<TaxRate>)
        .on(&routes::DELETE_TAX_RATE, terms::delete::<TaxRate>)
        .on(&routes::LIST_PROMOTIONS, terms::list::<Promotion, Admin>)
        .on(&routes::CREATE_PROMOTION, terms::create::<Promotion>)
        .on(&routes::GET_PROMOTION, terms::one::<Promotion, Admin>)
        .on(&routes::PUT_PROMOTION, terms::replace::<Promotion>)
        .on(&routes::DELETE_PROMOTION, terms::delete::<Promotion>)
}

async fn order(
    State(state): State<OrdersState>,
    caller: Caller,
    PathId(id): PathId<kinds::Order>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let stored = state.current_order(&caller, id).await?;
    let order = OrderResponse::new(&stored.order);
    if !caller.is_staff() {
        return Ok(etag::respond(&headers, &order));
    }
    let buyers = state.buyers.seen_by(&caller).of([&stored.order]).await;
    let shown = StaffOrderResponse::new(&stored.order, buyers.get(&stored.order.user_id));
    Ok(etag::respond_with(&headers, &order, &shown))
}

async fn correct(
    State(state): State<OrdersState>,
    Staff(caller): Staff,
    PathId(id): PathId<kinds::Order>,
    headers: HeaderMap,
    ParsedBody(CorrectionBody(correction)): ParsedBody<CorrectionBody>,
) -> Result<Response, Problem> {
    let order = state.correct(caller, id, headers, correction).await?;
    Ok(etag::written(StatusCode::OK, &OrderResponse::new(&order)))
}

async fn note(
    State(state): State<OrdersState>,
    Staff(caller): Staff,
    PathId(id): PathId<kinds::Order>,
    request: IdempotentRequest,
    body: CheckedBody<NoteBody>,
) -> Result<Response, Problem> {
    let guard = request.begin(&caller, &body)?;
    let reply = match body.valid() {
        Ok(NoteBody { text }) => state.note(caller, id, &guard, text).await?,
        Err(faults) => guard.refuse(&state.store, Error::Invalid(faults)).await?,
    };
    Ok(reply.into())
}

async fn history(
    State(state): State<OrdersState>,
    caller: Caller,
    PathId(id): PathId<kinds::Order>,
) -> Result<Json<HistoryResponse>, Problem> {
    let stored = state.current_order(&caller, id).await?;
    let changes = tables::history(&state.store, &stored.order)?.into_iter();
    let is_shown = |change: &StatusChange| change.note.is_none() || caller.is_staff();
    Ok(Json(HistoryResponse::new(changes.filter(is_shown))))
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
    // The id has the time of creation, so lists find a day's orders by their ids.
    let order_id = OrderId::new();
    let request = PlaceOrder {
        order_id,
        user_id: caller.user_id,
        via: caller.api_key,
        content,
        language: accept_language::preferred(&headers),
        request_id: guard.request_id.clone(),
        key: guard.key.clone(),
        at: order_id.made_at(),
    };
    Ok(state.place(request).await?.into())
}

/// Applies the command of a route to the caller's order.
async fn command<C, B>(
    State(state): State<OrdersState>,
    caller: C,
    PathId(id): PathId<kinds::Order>,
    headers: HeaderMap,
    request: IdempotentRequest,
    body: CheckedBody<B>,
) -> Result<Response, Problem>
where
    C: FromRequestParts<OrdersState> + Into<Caller>,
    B: ReadFields + Serialize + Into<CommandRequest>,
{
    let caller = caller.into();
    let guard = request.begin(&caller, &body)?;
    let body = body.map(B::into);
    let reply = state.command(caller, id, headers, &guard, body).await?;
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
    let (ledger, id) = (state.ledger, id.to_owned());
    let receive = move |tx: &mut Tx<'_>| payments::receive(tx, &ledger, &id, message, now());
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
