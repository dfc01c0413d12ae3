//! The tables of orders and what is done to them.
//!
//! Listing by user, by status, and by both are indexes written in the same
//! transaction as the order, so no list is ever a scan over strangers' orders.

use mesh::{Draft, Fact, Id, Listing, Log, Shortage, Time, kinds};
use serde::{Deserialize, Serialize};
use store::{Key, Read, Record, Span, Table, Tx};

use crate::Error;
use crate::answer::Answer;
use crate::domain::{Line, Order, Status, Step};
use crate::idempotency::{self, Scope};

type OrderId = Id<kinds::Order>;
type UserId = Id<kinds::User>;

/// order → everything but its lines.
const ORDERS: Table<OrderId, Order> = Table::new("orders");
/// (order, place) → a line.
const LINES: Table<(OrderId, u16), Line> = Table::new("order_lines");
/// (order, place) → a change of status.
const HISTORY: Table<(OrderId, u16), Change> = Table::new("order_history");
/// (user, order)
const BY_USER: Table<(UserId, OrderId), ()> = Table::new("orders_by_user");
/// (status, order)
const BY_STATUS: Table<(String, OrderId), ()> = Table::new("orders_by_status");
/// (user, status, order)
const BY_USER_AND_STATUS: Table<(UserId, String, OrderId), ()> =
    Table::new("orders_by_user_and_status");
/// product → what it is sold as: a projection of products' events.
const LISTINGS: Table<Id<kinds::Product>, ListingRow> = Table::new("listings");

impl store::Record for Order {}
impl store::Record for Line {}

/// A line of an order's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) at: Time,
    pub(crate) from: Option<Status>,
    pub(crate) to: Status,
    pub(crate) by: String,
    pub(crate) reason: Option<String>,
}

impl store::Record for Change {}

/// [`Listing`] as it is kept here.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ListingRow {
    listing: Listing,
}

impl store::Record for ListingRow {}

/// The path that keys of placed orders are scoped to.
pub(crate) const PLACE_PATH: &str = "/v1/orders";

/// What products sells under this id.
pub(crate) fn listing(from: &impl Read, id: Id<kinds::Product>) -> Result<Option<Listing>, Error> {
    Ok(from.get(LISTINGS, &id)?.map(|row| row.listing))
}

/// Takes over what products says of a product.
pub(crate) fn list(tx: &mut Tx<'_>, listing: &Listing) -> Result<(), store::Error> {
    let row = ListingRow { listing: listing.clone() };
    tx.put(LISTINGS, &listing.product_id, &row)
}

/// The product is gone.
pub(crate) fn unlist(tx: &mut Tx<'_>, id: Id<kinds::Product>) -> Result<(), store::Error> {
    tx.delete(LISTINGS, &id)
}

/// An order and its lines.
///
/// # Errors
/// [`Error::NotFound`].
pub(crate) fn find(from: &impl Read, id: OrderId) -> Result<(Order, Vec<Line>), Error> {
    let order = from.get(ORDERS, &id)?.ok_or(Error::NotFound)?;
    let lines = from
        .scan(LINES.prefix(&id))?
        .map(|row| row.map(|(_, line)| line));
    Ok((order, lines.collect::<Result<_, _>>()?))
}

/// How an order came to be as it is, oldest first.
pub(crate) fn history(from: &impl Read, id: OrderId) -> Result<Vec<Change>, Error> {
    let changes = from
        .scan(HISTORY.prefix(&id))?
        .map(|row| row.map(|(_, change)| change));
    Ok(changes.collect::<Result<_, _>>()?)
}

/// Ids of orders as a scan finds them.
type Ids<'a> = Box<dyn Iterator<Item = Result<OrderId, store::Error>> + 'a>;

/// The ids of orders older than `before`, newest first, of a user, in a status, or
/// of everyone.
pub(crate) fn ids(
    from: &impl Read,
    user: Option<UserId>,
    status: Option<Status>,
    before: Option<OrderId>,
) -> Result<Ids<'_>, Error> {
    let status = status.map(|status| status.name().to_owned());
    match (user, status) {
        (None, None) => newest(from, ORDERS.all(), before, |id| id),
        (Some(user), None) => {
            let before = before.map(|before| (user, before));
            newest(from, BY_USER.prefix(&user), before, |(_, id)| id)
        }
        (None, Some(status)) => {
            let span = BY_STATUS.prefix(&status);
            let before = before.map(|before| (status, before));
            newest(from, span, before, |(_, id)| id)
        }
        (Some(user), Some(status)) => {
            let span = BY_USER_AND_STATUS.prefix(&(user, status.clone()));
            let before = before.map(|before| (user, status, before));
            newest(from, span, before, |(_, _, id)| id)
        }
    }
}

fn newest<'a, K: Key + 'static, V: Record + 'static>(
    from: &'a impl Read,
    span: Span<K, V>,
    before: Option<K>,
    id: fn(K) -> OrderId,
) -> Result<Ids<'a>, Error> {
    let span = match before {
        Some(before) => span.before(&before),
        None => span,
    };
    let rows = from.scan(span.newest_first())?;
    Ok(Box::new(rows.map(move |row| row.map(|(key, _)| id(key)))))
}

/// Writes a new order with its lines, its first line of history and its event.
pub(crate) fn place(
    tx: &mut Tx<'_>,
    log: &Log,
    order: &Order,
    lines: &[Line],
) -> Result<(), store::Error> {
    tx.put(ORDERS, &order.id, order)?;
    for (place, line) in (0u16..).zip(lines) {
        tx.put(LINES, &(order.id, place), line)?;
    }
    tx.put(BY_USER, &(order.user_id, order.id), &())?;
    index(tx, order)?;
    let by = order.user_id.to_string();
    let change = Change {
        at: order.created_at,
        from: None,
        to: order.status,
        by: by.clone(),
        reason: None,
    };
    tx.put(HISTORY, &(order.id, 0), &change)?;
    let items = lines
        .iter()
        .map(|line| mesh::ItemOrdered { product_id: line.product_id, quantity: line.quantity })
        .collect();
    let fact = Fact::OrderPlaced { order_id: order.id, user_id: order.user_id, items };
    log.append(tx, draft(order, fact, order.created_at, Some(by)))?;
    Ok(())
}

/// Takes in what products answered. An order that is settled already stays as it
/// is: `None`.
///
/// # Errors
/// [`Error::NotFound`] for an order that was never placed here.
pub(crate) fn settle(
    tx: &mut Tx<'_>,
    log: &Log,
    id: OrderId,
    step: Step,
    shortages: &[Shortage],
    now: Time,
) -> Result<Option<Order>, Error> {
    let (before, lines) = find(tx, id)?;
    let Some(status) = before.status.after(step) else {
        return Ok(None);
    };
    let mut order = Order { status, updated_at: now, ..before.clone() };
    order.shortages = shortages.to_vec();
    unindex(tx, &before)?;
    index(tx, &order)?;
    tx.put(ORDERS, &id, &order)?;
    let reason = (step == Step::StockRefused).then(|| "out of stock".to_owned());
    let change = Change {
        at: now,
        from: Some(before.status),
        to: status,
        by: "products".into(),
        reason,
    };
    let place = u16::try_from(history(tx, id)?.len()).unwrap_or(u16::MAX);
    tx.put(HISTORY, &(id, place), &change)?;
    let user_id = order.user_id;
    let fact = match step {
        Step::StockReserved => Fact::OrderConfirmed { order_id: id, user_id },
        Step::StockRefused => Fact::OrderRejected { order_id: id, user_id },
    };
    log.append(tx, draft(&order, fact, now, None))?;
    if let Some(scope) = scope(&order) {
        idempotency::settle(tx, &scope, &Answer::placed(&order, &lines))?;
    }
    Ok(Some(order))
}

/// The scope of the key an order was placed under.
pub(crate) fn scope(order: &Order) -> Option<Scope> {
    let key = order.idempotency_key.clone()?;
    Some((order.user_id, PLACE_PATH.to_owned(), key))
}

fn index(tx: &mut Tx<'_>, order: &Order) -> Result<(), store::Error> {
    let status = order.status.name().to_owned();
    tx.put(BY_STATUS, &(status.clone(), order.id), &())?;
    tx.put(BY_USER_AND_STATUS, &(order.user_id, status, order.id), &())
}

fn unindex(tx: &mut Tx<'_>, order: &Order) -> Result<(), store::Error> {
    let status = order.status.name().to_owned();
    tx.delete(BY_STATUS, &(status.clone(), order.id))?;
    tx.delete(BY_USER_AND_STATUS, &(order.user_id, status, order.id))
}

fn draft(order: &Order, fact: Fact, at: Time, by: Option<String>) -> Draft {
    let trace = Some(order.request_id.clone());
    Draft { key: order.id.to_string(), fact, at, by, trace }
}
