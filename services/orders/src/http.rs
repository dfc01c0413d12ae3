//! Routes, wire types and handlers of orders.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, Query, State};
use axum::http::header::{CONTENT_TYPE, ETAG, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chassis::http::RequestId;
use chassis::json::{IdempotencyKey, PathId};
use chassis::limits::CATCH_UP_PATIENCE;
use chassis::page::{Page, Paging};
use chassis::{Caller, Json, Problem, etag};
use mesh::{Following, Id, Log, Money, PublicationStatus, Time, kinds, now};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::Store;

use crate::answer::{Answer, Kind};
use crate::domain::{self, Address, ItemWanted, Line, Order, Placing, Status};
use crate::idempotency::{self, Fingerprint, Known};
use crate::waiters::{Wait, Waiters};
use crate::{Error, store as orders};

/// How long a request waits for its order to be settled before it answers 202.
const SETTLE_PATIENCE: Duration = Duration::from_secs(2);

/// What the handlers work with.
#[derive(Clone)]
pub(crate) struct Orders {
    pub(crate) store: Store,
    pub(crate) log: Log,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) products: Following,
}

/// The routes of this service.
pub(crate) fn router(orders: Orders) -> Router {
    Router::new()
        .route("/v1/orders", get(list).post(place))
        .route("/v1/orders/{id}", get(one))
        .route("/v1/orders/{id}/history", get(history))
        .with_state(orders)
}

/// An order as it is shown.
#[derive(Serialize)]
pub(crate) struct OrderView<'a> {
    id: Id<kinds::Order>,
    user_id: Id<kinds::User>,
    status: Status,
    items: &'a [Line],
    total: Money,
    refunded_total: Money,
    #[serde(skip_serializing_if = "Option::is_none")]
    shipping_address: Option<&'a Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    created_at: Time,
    updated_at: Time,
}

impl<'a> OrderView<'a> {
    pub(crate) fn new(order: &'a Order, items: &'a [Line]) -> Self {
        Self {
            id: order.id,
            user_id: order.user_id,
            status: order.status,
            items,
            total: order.total,
            refunded_total: order.refunded_total,
            shipping_address: order.shipping_address.as_ref(),
            note: order.note.as_deref(),
            created_at: order.created_at,
            updated_at: order.updated_at,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlaceOrder {
    items: Option<Vec<ItemWanted>>,
    shipping_address: Option<Address>,
    note: Option<String>,
}

async fn place(
    State(orders): State<Orders>,
    caller: Caller,
    Extension(RequestId(request_id)): Extension<RequestId>,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<PlaceOrder>,
) -> Result<Response, Problem> {
    let fingerprint = idempotency::fingerprint(&body);
    let placing =
        Placing::parse(body.items, body.shipping_address, body.note).map_err(Error::Invalid)?;
    orders.learn_of(&placing).await?;
    let request = PlaceRequest { caller, request_id, key, fingerprint, placing };
    let answer = orders.place(request).await?;
    Ok(respond(answer))
}

/// A parsed request to place an order.
struct PlaceRequest {
    caller: Caller,
    request_id: String,
    key: Option<String>,
    fingerprint: Fingerprint,
    placing: Placing,
}

/// What a request found or did in its transaction.
enum Begun {
    /// A new order, to be waited for.
    Placed,
    /// The key's order, which is not settled and was not answered.
    Open(Id<kinds::Order>),
    /// The answer under the key.
    Answered(Answer),
    /// Nothing can be ordered this way.
    Refused(Problem),
}

struct Reply {
    answer: Answer,
    replayed: bool,
}

impl Orders {
    /// Products that are not for sale here may have become so just now. While
    /// products cannot be asked, nothing is decided: 503 rather than 422.
    async fn learn_of(&self, placing: &Placing) -> Result<(), Problem> {
        if self.all_for_sale(placing)?
            || self.products.catch_up(CATCH_UP_PATIENCE).await
            || self.all_for_sale(placing)?
        {
            return Ok(());
        }
        Err(Problem::busy())
    }

    fn all_for_sale(&self, placing: &Placing) -> Result<bool, Error> {
        for item in &placing.items {
            let listing = orders::listing(&self.store, item.product_id)?;
            if listing.is_none_or(|listing| listing.status != PublicationStatus::Published) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Places the order, or finds what its key already led to, and waits for the
    /// outcome.
    async fn place(&self, request: PlaceRequest) -> Result<Reply, Problem> {
        let id = Id::new();
        let mut wait = self.waiters.register(id).ok_or(Error::InFlight)?;
        let log = self.log.clone();
        let begun = self
            .store
            .write(move |tx| begin(tx, &log, id, request))
            .await?;
        match begun {
            Begun::Refused(problem) => Err(problem),
            Begun::Placed => {
                let answer = self.outcome(id, &mut wait).await?;
                Ok(Reply { answer, replayed: false })
            }
            Begun::Answered(answer) => Ok(Reply { answer, replayed: true }),
            Begun::Open(id) => {
                // Its first request is waiting: a twin. Nobody is: that request
                // died with a process, and this one takes its place.
                let mut wait = self.waiters.register(id).ok_or(Error::InFlight)?;
                let answer = self.outcome(id, &mut wait).await?;
                Ok(Reply { answer, replayed: true })
            }
        }
    }

    /// The answer once the order is settled, or 202 when that takes too long.
    async fn outcome(&self, id: Id<kinds::Order>, wait: &mut Wait) -> Result<Answer, Error> {
        if orders::find(&self.store, id)?.0.status == Status::Pending {
            wait.settled(SETTLE_PATIENCE).await;
        }
        // Decided in a transaction, so that a settlement at this very moment and
        // this answer agree, and so that what it says is durable.
        self.store
            .write_when_free(move |tx| {
                let (order, lines) = orders::find(tx, id)?;
                if order.status == Status::Pending
                    && let Some(scope) = orders::scope(&order)
                {
                    idempotency::accept(tx, &scope)?;
                }
                Ok(Answer::placed(&order, &lines))
            })
            .await
    }
}

fn begin(
    tx: &mut store::Tx<'_>,
    log: &Log,
    id: Id<kinds::Order>,
    request: PlaceRequest,
) -> Result<Begun, Error> {
    let PlaceRequest { caller, request_id, key, fingerprint, placing } = request;
    let user_id = caller.user_id;
    let scope = key
        .clone()
        .map(|key| (user_id, orders::PLACE_PATH.to_owned(), key));
    if let Some(scope) = &scope {
        match idempotency::look_up(tx, scope, &fingerprint)? {
            None => {}
            Some(Known::Open(id)) => return Ok(Begun::Open(id)),
            Some(Known::Answered(answer)) => return Ok(Begun::Answered(answer)),
            Some(Known::Accepted(id)) => {
                let (order, lines) = orders::find(tx, id)?;
                return Ok(Begun::Answered(Answer::accepted(&order, &lines)));
            }
        }
    }
    let now = now();
    let mut listings = Vec::with_capacity(placing.items.len());
    for item in &placing.items {
        listings.push(orders::listing(tx, item.product_id)?);
    }
    let listing = |item: &domain::Item| {
        listings
            .iter()
            .flatten()
            .find(|listing| listing.product_id == item.product_id)
            .cloned()
    };
    let (lines, total) = match domain::price(&placing.items, listing) {
        Ok(priced) => priced,
        Err(faults) => {
            let problem = Problem::from(Error::Invalid(faults));
            if let Some(scope) = &scope {
                let answer = Answer::problem(&problem, &request_id);
                idempotency::refuse(tx, scope, fingerprint, &answer, now)?;
            }
            return Ok(Begun::Refused(problem));
        }
    };
    let order = Order {
        id,
        user_id,
        status: Status::Pending,
        total,
        refunded_total: Money::zero(total.currency),
        shipping_address: placing.shipping_address,
        note: placing.note,
        shortages: Vec::new(),
        request_id,
        idempotency_key: key,
        created_at: now,
        updated_at: now,
    };
    orders::place(tx, log, &order, &lines)?;
    if let Some(scope) = &scope {
        idempotency::open(tx, scope, fingerprint, id, now)?;
    }
    Ok(Begun::Placed)
}

fn respond(Reply { answer, replayed }: Reply) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match answer.kind {
        Kind::Problem => (
            status,
            [(CONTENT_TYPE, "application/problem+json")],
            answer.body,
        )
            .into_response(),
        Kind::Resource => {
            let location = location(&answer.body);
            let headers = [
                (CONTENT_TYPE, "application/json".to_owned()),
                (ETAG, etag::of(&answer.body)),
                (LOCATION, location),
            ];
            (status, headers, answer.body).into_response()
        }
    };
    if replayed {
        let value = axum::http::HeaderValue::from_static("true");
        response.headers_mut().insert("idempotency-replayed", value);
    }
    response
}

/// The order's own address, from its representation.
fn location(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Named {
        id: String,
    }
    serde_json::from_slice::<Named>(body)
        .map(|order| format!("/v1/orders/{}", order.id))
        .unwrap_or_default()
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
    let status = match filter.status {
        None => None,
        Some(name) => Some(Status::parse(&name).ok_or_else(|| {
            Problem::bad_request("status must be pending, confirmed or rejected")
        })?),
    };
    let user = match filter.user_id {
        _ if !caller.is_staff() => Some(caller.user_id),
        None => None,
        Some(text) => Some(
            text.parse()
                .map_err(|_| Problem::bad_request("user_id is not a user's id"))?,
        ),
    };
    let ids = orders::ids(&orders.store, user, status, paging.after()?)?;
    let rows = ids.map(|id| {
        let id = id?;
        let (order, lines) = orders::find(&orders.store, id)?;
        let view =
            serde_json::to_value(OrderView::new(&order, &lines)).map_err(Problem::internal)?;
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
    let (order, lines) = own(&orders, &caller, id)?;
    Ok(etag::respond(&headers, &OrderView::new(&order, &lines)))
}

async fn history(
    State(orders): State<Orders>,
    caller: Caller,
    PathId(id): PathId<kinds::Order>,
) -> Result<Json<serde_json::Value>, Problem> {
    own(&orders, &caller, id)?;
    let items = orders::history(&orders.store, id)?;
    Ok(Json(json!({ "items": items })))
}

/// The order, if it is the caller's or the caller runs the shop.
fn own(
    orders: &Orders,
    caller: &Caller,
    id: Id<kinds::Order>,
) -> Result<(Order, Vec<Line>), Error> {
    let found = orders::find(&orders.store, id)?;
    if found.0.user_id == caller.user_id || caller.is_staff() {
        Ok(found)
    } else {
        Err(Error::NotFound)
    }
}
