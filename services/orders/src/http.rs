//! The routes of orders and their handlers: extract, use case, respond.

mod control;
mod lists;
mod reports;
mod terms;

use api::routes;
use axum::extract::{FromRequestParts, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chassis::fields::{CheckedBody, ParsedBody, ReadFields};
use chassis::idempotency::IdempotentRequest;
use chassis::json::PathId;
use chassis::{Admin, Caller, Json, Problem, Routes, ServiceRoutes, Staff, etag};
use model::kinds;
use serde::Serialize;

pub(crate) use self::control::control;
use crate::buyers::KnownBuyers;
use crate::carts;
use crate::domain::StatusChange;
use crate::holder::OrderRequester;
use crate::placing::PlaceOrder;
use crate::tables;
use crate::terms::{
    PromotionContent as Promotion, ShippingMethodContent as Method, TaxRateContent as TaxRate,
};
use crate::wire::{
    CancelBody, CommandRequest, CorrectionBody, DeliverBody, HistoryResponse, NoteBody,
    OrderContent, OrderResponse, OrderWithBuyer, PayBody, RefundBody, ShipBody, UndoStepBody,
};
use crate::{Error, OrdersState, customers, payments};

/// The handlers of this service.
pub(crate) fn endpoints(state: OrdersState) -> ServiceRoutes {
    carts::http::bind(with_terms(Routes::new()))
        .on(&routes::LIST_ORDERS, lists::list)
        .on(&routes::EXPORT_ORDERS, lists::export)
        .on(&routes::PLACE_ORDER, place)
        .on(&routes::GET_ORDER, order)
        .on(&routes::PATCH_ORDER, correct)
        .on(&routes::ADD_ORDER_NOTE, note)
        .on(&routes::GET_ORDER_HISTORY, history)
        .on(&routes::CANCEL_ORDER, command::<OrderRequester, CancelBody>)
        .on(&routes::CLAIM_ORDER, customers::claim::claim)
        .on(&routes::PAY_ORDER, command::<Staff, PayBody>)
        .on(&routes::SHIP_ORDER, command::<Staff, ShipBody>)
        .on(&routes::DELIVER_ORDER, command::<Staff, DeliverBody>)
        .on(&routes::REFUND_ORDER, command::<Staff, RefundBody>)
        .on(&routes::UNDO_ORDER_STEP, command::<Staff, UndoStepBody>)
        .on(&routes::LIST_PAYMENT_METHODS, payments::http::methods)
        .on(&routes::OPEN_PAYMENT, payments::http::open)
        .on(&routes::LIST_PAYMENTS, payments::http::list)
        .on(&routes::LIST_UNMATCHED_PAYMENTS, payments::http::unmatched)
        .on(&routes::PAYMENT_WEBHOOK, payments::http::webhook)
        .on(&routes::STRIPE_WEBHOOK, payments::http::stripe_webhook)
        .on(&routes::MOLLIE_WEBHOOK, payments::http::mollie_webhook)
        .on(&routes::SALES_REPORT, reports::sales)
        .on(&routes::LIST_CUSTOMERS, customers::http::list)
        .on(&routes::GET_CUSTOMER, customers::http::one)
        .on(&routes::ERASE_CUSTOMER, customers::http::erase)
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
    who: OrderRequester,
    PathId(id): PathId<kinds::Order>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let stored = state.current_order(&who, id).await?;
    let order = OrderResponse::new(&stored.order);
    let buyers = match who.staff() {
        Some(staff) => state.buyers.seen_by(staff).of([&stored.order]).await,
        None if stored.order.buyer.user_id().is_some() => {
            return Ok(etag::respond(&headers, &order));
        }
        // A guest reads what they gave.
        None => KnownBuyers::default(),
    };
    let shown = OrderWithBuyer::new(&stored.order, &buyers);
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
    who: OrderRequester,
    PathId(id): PathId<kinds::Order>,
) -> Result<Json<HistoryResponse>, Problem> {
    let stored = state.current_order(&who, id).await?;
    let changes = tables::history(&state.store, &stored.order)?.into_iter();
    let is_shown = |change: &StatusChange| change.note.is_none() || who.is_staff();
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
    let request = PlaceOrder::new((&caller).into(), &headers, &guard, content, None);
    Ok(state.place(request).await?.into())
}

/// Applies the command of a route to an order of who holds it.
async fn command<C, B>(
    State(state): State<OrdersState>,
    who: C,
    PathId(id): PathId<kinds::Order>,
    headers: HeaderMap,
    request: IdempotentRequest,
    body: CheckedBody<B>,
) -> Result<Response, Problem>
where
    C: FromRequestParts<OrdersState> + Into<OrderRequester>,
    B: ReadFields + Serialize + Into<CommandRequest>,
{
    let who: OrderRequester = who.into();
    let guard = who.begin(request, id, &body)?;
    let body = body.map(B::into);
    let reply = state.command(who, id, headers, &guard, body).await?;
    Ok(reply.into())
}
