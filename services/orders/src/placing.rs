//! Placing an order: the transaction, and the wait for the stock outcome.
//!
//! One transaction writes the pending order, `order.placed` and the `Idempotency-Key`
//! as a reference to the order. products reserves or refuses the stock and publishes
//! that; [`follow`](crate::follow) records it and wakes the request, which responds with
//! 201 or 409. Without a stock outcome within [`STOCK_TIMEOUT`] it responds with 202.
//!
//! **Invariant:** an order has one placing response. It is made from the order as it was
//! at its stock outcome, so a repeat has the same bytes whatever has happened to the
//! order since, and no bytes are stored.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use chassis::idempotency::{BoundKey, IdempotencyGuard, KnownOutcome, Reply, StoredResponse};
use chassis::limits::CATCH_UP_TIMEOUT;
use chassis::{Caller, Problem, accept_language};
use model::{ApiKeyId, Fact, ItemOrdered, Money, OrderId, Time, UserId};
use serde_json::json;
use store::Tx;

use crate::carts::tables::{CartSince, OrderedCart};
use crate::config::TaxConfig;
use crate::domain::{
    Actor, Order, OrderAddress, OrderCause, OrderNumber, OrderStatus, Parcel, Settlement,
};
use crate::quoting::{self, Quote, QuoteError, QuoteRequest};
use crate::sales::Ledger;
use crate::tables::{self, StoredOrder};
use crate::terms::uses;
use crate::waiters::Waiter;
use crate::wire::{OrderContent, OrderResponse};
use crate::{Error, OrdersState};

/// How long a request waits for the stock outcome before it responds with 202.
const STOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// A request to place an order.
pub(crate) struct PlaceOrder {
    pub(crate) order_id: OrderId,
    pub(crate) user_id: UserId,
    /// The key that the user's program places it with.
    pub(crate) via: Option<ApiKeyId>,
    pub(crate) content: OrderContent,
    /// The cart that the content is of.
    pub(crate) cart: Option<OrderedCart>,
    /// The language of its messages, as a BCP 47 tag.
    pub(crate) language: Option<String>,
    pub(crate) request_id: String,
    pub(crate) key: Option<BoundKey>,
    pub(crate) at: Time,
}

/// The result of the placing transaction.
enum Placement {
    /// A new order, whose stock outcome follows.
    Placed,
    /// The key's order has no stock outcome yet.
    Pending(OrderId),
    /// The response is decided.
    Decided(Reply),
    /// An item is not for sale, but the projection of products may lag behind.
    NotForSale,
}

/// The state of the projection of products.
#[derive(Clone, Copy, PartialEq)]
enum Projection {
    MayLag,
    CaughtUp,
}

impl OrdersState {
    /// Places the order, or finds the one that its key refers to, and waits for its
    /// stock outcome.
    pub(crate) async fn place(&self, request: PlaceOrder) -> Result<Reply, Problem> {
        let (id, request) = (request.order_id, Arc::new(request));
        let waiter = self.stock_outcomes.register(id);
        let mut placement = self.write_order(&request, Projection::MayLag).await?;
        if matches!(placement, Placement::NotForSale) {
            let is_caught_up = self.products.catch_up(CATCH_UP_TIMEOUT).await;
            let projection = if is_caught_up {
                Projection::CaughtUp
            } else {
                Projection::MayLag
            };
            placement = self.write_order(&request, projection).await?;
        }
        let (answer, replayed) = match placement {
            Placement::Placed => (self.stock_outcome(id, waiter).await?, false),
            Placement::Pending(id) => (self.repeated_stock_outcome(id).await?, true),
            Placement::Decided(reply) => return Ok(reply),
            // Without products nothing is decided: 503 rather than 422.
            Placement::NotForSale => return Err(Problem::busy()),
        };
        Ok(Reply { answer, replayed })
    }

    async fn write_order(
        &self,
        request: &Arc<PlaceOrder>,
        projection: Projection,
    ) -> Result<Placement, Problem> {
        let (ledger, tax, request) = (self.ledger.clone(), self.tax.clone(), request.clone());
        let place = move |tx: &mut Tx<'_>| place(tx, &ledger, &tax, &request, projection);
        self.store.write(place).await
    }

    /// The response after the stock outcome, or 202 after the timeout.
    ///
    /// It may be sent before this store has synced the outcome: that is durable in
    /// products' log, and a restarted process applies it again with the same result.
    async fn stock_outcome(
        &self,
        id: OrderId,
        mut waiter: Waiter<Arc<StoredOrder>>,
    ) -> Result<StoredResponse, Problem> {
        let stored = waiter.wait(STOCK_TIMEOUT).await;
        match stored.and_then(|stored| response(&stored)) {
            Some(response) => Ok(response),
            None => self.accept(id).await,
        }
    }

    /// The response to a repeat of a request whose order is pending. A process before
    /// this one may have responded from an outcome that is in products' log and not in
    /// this store yet, so that log is caught up with first.
    async fn repeated_stock_outcome(&self, id: OrderId) -> Result<StoredResponse, Problem> {
        let waiter = self.stock_outcomes.register(id);
        if !self.products.catch_up(CATCH_UP_TIMEOUT).await {
            return Err(Problem::busy());
        }
        if response(&tables::find_as_placed(&self.store, id)?).is_none() {
            return self.stock_outcome(id, waiter).await;
        }
        self.accept(id).await
    }

    /// Decides for 202, unless another response was decided meanwhile; durable.
    async fn accept(&self, id: OrderId) -> Result<StoredResponse, Problem> {
        let accept = move |tx: &mut Tx<'_>| {
            let mut stored = tables::find_as_placed(tx, id)?;
            if response(&stored).is_none() {
                stored.accepted = true;
                tables::save(tx, &stored)?;
            }
            response(&stored).ok_or_else(|| Problem::internal("an accepted order has a response"))
        };
        self.store.write_when_free(accept).await
    }
}

/// The placing transaction.
fn place(
    tx: &mut Tx<'_>,
    ledger: &Ledger,
    tax: &TaxConfig,
    request: &PlaceOrder,
    projection: Projection,
) -> Result<Placement, Problem> {
    if let Some(placement) = repeated(tx, request)? {
        return Ok(placement);
    }
    if let Some(placement) = ordered_before(tx, request)? {
        return Ok(placement);
    }
    let PlaceOrder { order_id, user_id, via, content, cart, key, at, .. } = request;
    let mut listings = Vec::with_capacity(content.items.len());
    for item in &content.items {
        listings.push(tables::listing(tx, item.product_id)?);
    }
    let is_for_sale = |listing: &Option<_>| listing.as_ref().is_some_and(quoting::is_for_sale);
    if projection == Projection::MayLag && !listings.iter().all(is_for_sale) {
        return Ok(Placement::NotForSale);
    }
    let quote = match quoting::quote(tx, tax, &request.quote(), listings) {
        Ok(quote) => quote,
        Err(QuoteError::Store(error)) => return Err(error.into()),
        Err(QuoteError::Invalid(faults)) => {
            return refuse(tx, request, Error::Invalid(faults).into());
        }
    };
    if let Some(problem) = total_changed(content, &quote) {
        return refuse(tx, request, problem);
    }
    let number = ledger.numbers.take(tx, request.order_id)?;
    let order = pending(request, number, quote);
    let items = order
        .lines
        .iter()
        .map(|line| ItemOrdered { product_id: line.product_id, quantity: line.quantity });
    let items = items.collect();
    let fact = Fact::OrderPlaced { order_id: *order_id, user_id: *user_id, items };
    let cause = OrderCause { via: *via, ..OrderCause::new(*at, Actor::User(*user_id)) };
    tables::append_event(tx, &ledger.log, &order, fact, &cause)?;
    let placed = tables::insert(tx, order)?;
    ledger.runs.add(tx, &placed.order)?;
    uses::spend(tx, &placed.order)?;
    if let Some(cart) = cart {
        cart.complete(tx, *order_id)?;
    }
    if let Some(key) = key {
        key.refer(tx, order_id.to_string())?;
    }
    Ok(Placement::Placed)
}

/// The order that a request makes, before its stock outcome.
fn pending(request: &PlaceOrder, number: Option<OrderNumber>, quote: Quote) -> Order {
    let PlaceOrder { content, at, .. } = request;
    let Quote { lines, total, charges } = quote;
    Order {
        id: request.order_id,
        number,
        user_id: request.user_id,
        status: OrderStatus::Pending,
        lines,
        total,
        charges,
        refunded_total: Money::zero(total.currency),
        shipping_address: content.shipping_address.clone().map(OrderAddress::Typed),
        billing_address: content.billing_address.clone(),
        note: content.note.clone(),
        language: request.language.clone(),
        request_id: request.request_id.clone(),
        stock_outcome_at: None,
        shortages: Vec::new(),
        reserved_until: None,
        payment: None,
        settlement: Settlement::default(),
        parcel: Parcel::default(),
        created_at: *at,
        updated_at: *at,
    }
}

/// The outcome of an earlier request under the same key.
fn repeated(tx: &Tx<'_>, request: &PlaceOrder) -> Result<Option<Placement>, Problem> {
    let Some(key) = &request.key else {
        return Ok(None);
    };
    let answer = match key.look_up(tx)? {
        None => return Ok(None),
        Some(KnownOutcome::Response(answer)) => answer,
        Some(KnownOutcome::Reference(to)) => {
            let id = to.parse().map_err(Problem::internal)?;
            match response(&tables::find_as_placed(tx, id)?) {
                Some(answer) => answer,
                None => return Ok(Some(Placement::Pending(id))),
            }
        }
    };
    Ok(Some(Placement::Decided(Reply { answer, replayed: true })))
}

/// The order that the request's cart became already, as it is now.
fn ordered_before(tx: &Tx<'_>, request: &PlaceOrder) -> Result<Option<Placement>, Problem> {
    let Some(cart) = &request.cart else {
        return Ok(None);
    };
    let id = match cart.since(tx)? {
        CartSince::AsRead => return Ok(None),
        CartSince::Changed => return Err(Error::CartChanged.into()),
        CartSince::Became(id) => id,
    };
    let StoredOrder { order, .. } = tables::find(tx, id)?;
    if order.status == OrderStatus::Pending {
        return Ok(Some(Placement::Pending(id)));
    }
    let answer = StoredResponse::new(StatusCode::OK, &OrderResponse::new(&order));
    Ok(Some(Placement::Decided(Reply { answer, replayed: true })))
}

/// The placing response; `None` while it is not decided.
fn response(stored: &StoredOrder) -> Option<StoredResponse> {
    let StoredOrder { order, accepted, .. } = stored;
    let resource = |status, order: &Order| {
        let location = format!("/v1/orders/{}", order.id);
        StoredResponse::new(status, &OrderResponse::new(order)).at(location)
    };
    if *accepted {
        return Some(resource(StatusCode::ACCEPTED, order));
    }
    let problem = match order.at_stock_outcome() {
        Some(order) if order.status == OrderStatus::Rejected => out_of_stock(&order),
        Some(order) => return Some(resource(StatusCode::CREATED, &order)),
        None if order.status == OrderStatus::Cancelled => {
            let detail = "the order was cancelled before its stock was reserved";
            Problem::conflict("order-cancelled", detail).member("order_id", order.id)
        }
        None => return None,
    };
    Some(StoredResponse::refusal(&problem, &order.request_id))
}

fn out_of_stock(order: &Order) -> Problem {
    let short = order.lines.iter().filter_map(|line| {
        let mut shortages = order.shortages.iter();
        let shortage = shortages.find(|short| short.product_id == line.product_id)?;
        Some((line, shortage))
    });
    let titles: Vec<_> = short.clone().map(|(line, _)| line.title.as_str()).collect();
    let items = short.map(|(line, shortage)| {
        json!({
            "product_id": line.product_id,
            "sku": line.sku,
            "title": line.title,
            "requested": shortage.requested,
            "available": shortage.available,
        })
    });
    let detail = format!("not enough in stock: {}", titles.join(", "));
    Problem::conflict("out-of-stock", detail)
        .member("order_id", order.id)
        .member("items", items.collect::<Vec<_>>())
}

impl PlaceOrder {
    /// The caller's request of now. The id has the time of creation, so lists find a day's
    /// orders by their ids.
    pub(crate) fn new(
        caller: &Caller,
        headers: &HeaderMap,
        guard: &IdempotencyGuard,
        content: OrderContent,
        cart: Option<OrderedCart>,
    ) -> Self {
        let order_id = OrderId::new();
        Self {
            order_id,
            user_id: caller.user_id,
            via: caller.api_key,
            content,
            cart,
            language: accept_language::preferred(headers),
            request_id: guard.request_id.clone(),
            key: guard.key.clone(),
            at: order_id.made_at(),
        }
    }

    fn quote(&self) -> QuoteRequest<'_> {
        QuoteRequest {
            items: &self.content.items,
            ship_to: self.content.shipping_address.as_ref(),
            shipping_method_id: self.content.shipping_method_id,
            codes: &self.content.codes,
            buyer: Some(self.user_id),
            at: self.at,
        }
    }
}

/// Decides for a refusal, which a repeat under the same key gets again.
fn refuse(tx: &mut Tx<'_>, request: &PlaceOrder, problem: Problem) -> Result<Placement, Problem> {
    let answer = StoredResponse::refusal(&problem, &request.request_id);
    if let Some(key) = &request.key {
        key.keep(tx, &answer)?;
    }
    Ok(Placement::Decided(Reply { answer, replayed: false }))
}

/// The refusal of an order that costs something else than its buyer agreed to.
fn total_changed(content: &OrderContent, quote: &Quote) -> Option<Problem> {
    let expected = content.expected_total?;
    if expected.is(quote.total) {
        return None;
    }
    let refused = quote.charges.codes.iter();
    let refused = refused.filter_map(|code| Some((code, code.refusal.as_deref()?)));
    let refused: Vec<_> = refused
        .map(|(code, why)| format!("{}: {why}", code.code))
        .collect();
    let mut detail = format!("the total is {} now", quote.total);
    if !refused.is_empty() {
        detail = format!("{detail} ({})", refused.join("; "));
    }
    Some(Problem::conflict("total-changed", detail).member("total", quote.total))
}
