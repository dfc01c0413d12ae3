//! Placing an order: pricing, the transaction, and the wait for the stock outcome.
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

use axum::http::StatusCode;
use chassis::idempotency::{BoundKey, KnownOutcome, Reply, StoredResponse};
use chassis::limits::CATCH_UP_TIMEOUT;
use chassis::{FieldError, Problem};
use model::{
    ApiKeyId, Fact, ItemOrdered, Listing, Money, OrderId, PublicationStatus, Time, UserId,
};
use serde_json::json;
use store::Tx;

use crate::domain::{Actor, Order, OrderAddress, OrderCause, OrderLine, OrderStatus, Parcel};
use crate::sales::Ledger;
use crate::tables::{self, StoredOrder};
use crate::waiters::Waiter;
use crate::wire::{OrderContent, OrderResponse, RequestedItem, unknown_product};
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
        let (ledger, request) = (self.ledger.clone(), request.clone());
        let place = move |tx: &mut Tx<'_>| place(tx, &ledger, &request, projection);
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
    request: &PlaceOrder,
    projection: Projection,
) -> Result<Placement, Problem> {
    if let Some(placement) = repeated(tx, request)? {
        return Ok(placement);
    }
    let PlaceOrder {
        order_id,
        user_id,
        via,
        content,
        language,
        request_id,
        key,
        at,
    } = request;
    let mut listings = Vec::with_capacity(content.items.len());
    for item in &content.items {
        listings.push(tables::listing(tx, item.product_id)?);
    }
    let is_for_sale = |listing: &Option<_>| listing.as_ref().is_some_and(is_for_sale);
    if projection == Projection::MayLag && !listings.iter().all(is_for_sale) {
        return Ok(Placement::NotForSale);
    }
    let (lines, total) = match price(&content.items, listings) {
        Ok(priced) => priced,
        Err(faults) => {
            let answer = StoredResponse::refusal(&Error::Invalid(faults).into(), request_id);
            if let Some(key) = key {
                key.keep(tx, &answer)?;
            }
            return Ok(Placement::Decided(Reply { answer, replayed: false }));
        }
    };
    let order = Order {
        id: *order_id,
        number: ledger.numbers.take(tx, *order_id)?,
        user_id: *user_id,
        status: OrderStatus::Pending,
        lines,
        total,
        refunded_total: Money::zero(total.currency),
        shipping_address: content.shipping_address.clone().map(OrderAddress::Typed),
        note: content.note.clone(),
        language: language.clone(),
        request_id: request_id.clone(),
        stock_outcome_at: None,
        shortages: Vec::new(),
        reserved_until: None,
        payment: None,
        parcel: Parcel::default(),
        created_at: *at,
        updated_at: *at,
    };
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
    if let Some(key) = key {
        key.refer(tx, order_id.to_string())?;
    }
    Ok(Placement::Placed)
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

/// Prices the items by their listings: the lines, with the titles and prices of now, and
/// the total. Fails with every item that is not for sale, on mixed currencies, and on a
/// total that an amount cannot hold.
fn price(
    items: &[RequestedItem],
    listings: impl IntoIterator<Item = Option<Listing>>,
) -> Result<(Vec<OrderLine>, Money), Vec<FieldError>> {
    const TOO_LARGE: &str = "the total is too large";
    let mut faults = Vec::new();
    let mut lines: Vec<OrderLine> = Vec::with_capacity(items.len());
    for (item, listing) in items.iter().zip(listings) {
        let RequestedItem { position, product_id, quantity } = *item;
        let Some(listing) = listing.filter(is_for_sale) else {
            faults.push(unknown_product(position));
            continue;
        };
        let Listing { sku, title, price: unit_price, .. } = listing;
        match unit_price.checked_mul(quantity) {
            Some(line_total) => {
                lines.push(OrderLine { product_id, sku, title, quantity, unit_price, line_total });
            }
            None => {
                let pointer = format!("/items/{position}/quantity");
                faults.push(FieldError::new(pointer, TOO_LARGE));
            }
        }
    }
    let currency = lines.first().map(|line| line.unit_price.currency);
    let is_foreign = |line: &OrderLine| Some(line.unit_price.currency) != currency;
    if lines.iter().any(is_foreign) {
        let detail = "all items of an order must have one currency";
        faults.push(FieldError::new("/items", detail));
    }
    let total = currency.and_then(|currency| {
        let mut line_totals = lines.iter().map(|line| line.line_total);
        line_totals.try_fold(Money::zero(currency), Money::checked_add)
    });
    match total {
        Some(total) if faults.is_empty() => Ok((lines, total)),
        None if faults.is_empty() => Err(vec![FieldError::new("/items", TOO_LARGE)]),
        _ => Err(faults),
    }
}

fn is_for_sale(listing: &Listing) -> bool {
    listing.status == PublicationStatus::Published
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Id;

    fn listing(amount: i64, currency: &str) -> Listing {
        Listing {
            product_id: Id::new(),
            sku: "S".into(),
            title: "T".into(),
            price: Money { amount, currency: currency.parse().unwrap() },
            status: PublicationStatus::Published,
            category: None,
            other_categories: Vec::new(),
            weight_g: None,
            tax_class: model::TaxClass::default(),
            requires_shipping: true,
        }
    }

    #[test]
    fn currencies_do_not_mix_and_totals_do_not_wrap() {
        let items =
            [1, 2].map(|quantity| RequestedItem { position: 0, product_id: Id::new(), quantity });
        let euros = price(
            &items,
            [250, 250].map(|amount| Some(listing(amount, "EUR"))),
        )
        .unwrap();
        assert_eq!(euros.1.amount, 750);
        let mixed = price(
            &items,
            ["EUR", "USD"].map(|currency| Some(listing(1, currency))),
        );
        assert_eq!(mixed.unwrap_err()[0].pointer, "/items");
        let huge = price(&items, [(); 2].map(|()| Some(listing(i64::MAX / 2, "EUR"))));
        assert_eq!(huge.unwrap_err()[0].detail, "the total is too large");
        let draft = price(
            &items,
            [(); 2]
                .map(|()| Some(Listing { status: PublicationStatus::Draft, ..listing(1, "EUR") })),
        );
        assert_eq!(draft.unwrap_err().len(), 2);
    }
}
