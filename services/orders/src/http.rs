//! Routes and lists of orders, and what all handlers share.
//!
//! `place` places orders, `steps` moves them, `payments` hears of their money.

mod payments;
mod place;
mod steps;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{get, post};
use chassis::json::PathId;
use chassis::limits::CATCH_UP_TIMEOUT;
use chassis::page::{Page, Paging};
use chassis::{Caller, Json, Problem, etag};
use mesh::{Following, Log};
use model::{Id, Money, Time, kinds};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Read, Store};

use crate::domain::{Address, Line, Order, Status};
use crate::signature::Secrets;
use crate::store::OrderId;
use crate::waiters::Waiters;
use crate::{Error, lists, store as orders};

/// What the handlers work with.
#[derive(Clone)]
pub(crate) struct Orders {
    pub(crate) store: Store,
    pub(crate) log: Log,
    /// Who waits for products' word on an order.
    pub(crate) settling: Waiters<Arc<Order>>,
    /// Who waits for an order's stock to be free.
    pub(crate) releasing: Waiters<()>,
    pub(crate) products: Following,
    pub(crate) secrets: Arc<Secrets>,
}

/// The routes of this service.
pub(crate) fn router(orders: Orders) -> Router {
    Router::new()
        .route("/v1/orders", get(list).post(place::place))
        .route("/v1/orders/{id}", get(one))
        .route("/v1/orders/{id}/history", get(history))
        .route("/v1/orders/{id}/cancel", post(steps::cancel))
        .route("/v1/orders/{id}/pay", post(steps::pay))
        .route("/v1/orders/{id}/ship", post(steps::ship))
        .route("/v1/orders/{id}/deliver", post(steps::deliver))
        .route("/v1/orders/{id}/refund", post(steps::refund))
        .route("/v1/payments/webhook", post(payments::webhook))
        .with_state(orders)
}

/// An order as it is shown.
#[derive(Serialize)]
pub(crate) struct OrderView<'a> {
    id: OrderId,
    user_id: Id<kinds::User>,
    status: Status,
    items: &'a [Line],
    total: Money,
    refunded_total: Money,
    #[serde(skip_serializing_if = "Option::is_none")]
    shipping_address: Option<&'a Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reserved_until: Option<Time>,
    created_at: Time,
    updated_at: Time,
}

impl<'a> OrderView<'a> {
    pub(crate) fn new(order: &'a Order) -> Self {
        let unpaid = order.status == Status::Confirmed;
        Self {
            id: order.id,
            user_id: order.user_id,
            status: order.status,
            items: &order.lines,
            total: order.total,
            refunded_total: order.refunded_total,
            shipping_address: order.shipping_address.as_ref(),
            note: order.note.as_deref(),
            reserved_until: order.reserved_until.filter(|_| unpaid),
            created_at: order.created_at,
            updated_at: order.updated_at,
        }
    }
}

#[derive(Deserialize)]
struct Filter {
    status: Option<String>,
    user_id: Option<String>,
}

async fn list(
    State(orders): State<Orders>,
    caller: Caller,
    paging: Paging,
    Query(filter): Query<Filter>,
) -> Result<Json<Page<serde_json::Value>>, Problem> {
    let status = filter.status.map(|name| {
        let names = Status::ALL.map(Status::name).join(", ");
        let unknown = || Problem::bad_request(format!("status must be one of {names}"));
        Status::parse(&name).ok_or_else(unknown)
    });
    let user = match filter.user_id {
        _ if !caller.is_staff() => Some(caller.user_id),
        None => None,
        Some(text) => Some(
            text.parse()
                .map_err(|_| Problem::bad_request("user_id is not a user's id"))?,
        ),
    };
    let ids = lists::ids(&orders.store, user, status.transpose()?, paging.after()?)?;
    let rows = ids.map(|id| {
        let id = id?;
        let order = orders::find(&orders.store, id)?;
        let view = serde_json::to_value(OrderView::new(&order)).map_err(Problem::internal)?;
        Ok::<_, Problem>((id, view))
    });
    Ok(Json(paging.collect(rows)?))
}

async fn one(
    State(orders): State<Orders>,
    caller: Caller,
    PathId(id): PathId<kinds::Order>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let order = orders.own(&caller, id).await?;
    Ok(etag::respond(&headers, &OrderView::new(&order)))
}

async fn history(
    State(orders): State<Orders>,
    caller: Caller,
    PathId(id): PathId<kinds::Order>,
) -> Result<Json<serde_json::Value>, Problem> {
    let order = orders.own(&caller, id).await?;
    let items = orders::history(&orders.store, &order)?;
    Ok(Json(json!({ "items": items })))
}

impl Orders {
    /// The caller's order. A pending one may be settled by what products has in its
    /// log and this service does not yet have in its store, and somebody may have
    /// been told so by the process before this one: that is taken in first.
    async fn own(&self, caller: &Caller, id: OrderId) -> Result<Order, Error> {
        let order = own(&self.store, caller, id)?;
        if order.status != Status::Pending || self.products.state().is_caught_up() {
            return Ok(order);
        }
        self.products.catch_up(CATCH_UP_TIMEOUT).await;
        own(&self.store, caller, id)
    }
}

/// The order, if it is the caller's or the caller runs the shop.
fn own(from: &impl Read, caller: &Caller, id: OrderId) -> Result<Order, Error> {
    let order = orders::find(from, id)?;
    if order.user_id == caller.user_id || caller.is_staff() {
        Ok(order)
    } else {
        Err(Error::NotFound)
    }
}
