//! The tables of orders and what is done to them.
//!
//! | table | key → value |
//! | --- | --- |
//! | `orders` | order → everything but what follows |
//! | `order_lines` | order, part → the lines that do not fit there |
//! | `order_history` | order, place → a change, after those the order itself tells |
//! | `orders_by_status_and_user` | status, user, order: every order |
//! | `orders_by_status` | status, order: every order that is not pending |
//! | `orders_unpaid` | until when, order: what is cancelled if nobody pays |
//! | `listings` | product → what it is sold as: a projection of products' events |
//!
//! Rows are what an order costs, so a usual one is written as four (the order, its
//! place among its owner's, `order.placed`, the key it was sent under) and settled
//! with five. A pending order has one index row, since it is pending for
//! milliseconds: all of them together are few.
//!
//! **Invariant:** an order, its indexes, its history and its event change in one
//! transaction, in [`place`] and [`settle`] and [`change`] only. No list is a scan
//! over strangers' orders.

use std::time::Duration;

use mesh::{Draft, Log};
use model::{Fact, Id, Listing, Mismatch, Shortage, Time, kinds};
use serde::{Deserialize, Serialize};
use store::{Read, Record, Table, Tx};

use crate::Error;
use crate::domain::{By, Cause, Change, Line, Order, Refused, Status, Taken};

pub(crate) type OrderId = Id<kinds::Order>;
pub(crate) type UserId = Id<kinds::User>;

pub(crate) const ORDERS: Table<OrderId, Order> = Table::new("orders");
const LINES: Table<(OrderId, u16), Lines> = Table::new("order_lines");
const HISTORY: Table<(OrderId, u16), Change> = Table::new("order_history");
pub(crate) const BY_STATUS_AND_USER: Table<(Status, UserId, OrderId), ()> =
    Table::new("orders_by_status_and_user");
pub(crate) const BY_STATUS: Table<(Status, OrderId), ()> = Table::new("orders_by_status");
pub(crate) const UNPAID: Table<(Time, OrderId), ()> = Table::new("orders_unpaid");
const LISTINGS: Table<Id<kinds::Product>, ListingRow> = Table::new("listings");

/// Lines kept with the order, in bytes: some eight usual ones, and with the largest
/// address, note and shortages still a stored value.
const LINES_WITH_ORDER_BYTES_MAX: usize = 2 * 1024;
/// Lines of one part, in bytes.
const LINES_PART_BYTES_MAX: usize = 16 * 1024;
/// A line without its texts, in bytes.
const LINE_FIXED_BYTES: usize = 200;

impl store::Key for Status {
    fn write_to(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }

    fn read_from(bytes: &mut &[u8]) -> Option<Self> {
        let [number] = <[u8; 1]>::read_from(bytes)?;
        Self::ALL.into_iter().find(|status| *status as u8 == number)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Lines {
    lines: Vec<Line>,
}

impl Record for Order {}
impl Record for Lines {}
impl Record for Change {}

/// [`Listing`] as it is kept here.
#[derive(Debug, Serialize, Deserialize)]
struct ListingRow {
    listing: Listing,
}

impl Record for ListingRow {}

/// What products sells under this id.
pub(crate) fn listing(
    from: &impl Read,
    id: Id<kinds::Product>,
) -> Result<Option<Listing>, store::Error> {
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

/// An order with all its lines.
///
/// # Errors
/// [`Error::NotFound`].
pub(crate) fn find(from: &impl Read, id: OrderId) -> Result<Order, Error> {
    let mut order = from.get(ORDERS, &id)?.ok_or(Error::NotFound)?;
    if order.line_parts > 0 {
        for row in from.scan(LINES.prefix(&id))? {
            order.lines.extend(row?.1.lines);
        }
    }
    Ok(order)
}

/// How an order came to be as it is, oldest first.
pub(crate) fn history(from: &impl Read, order: &Order) -> Result<Vec<Change>, Error> {
    let mut changes = order.first_changes();
    for row in from.scan(HISTORY.prefix(&order.id))? {
        changes.push(row?.1);
    }
    Ok(changes)
}

/// Writes a new order and its event.
pub(crate) fn place(tx: &mut Tx<'_>, log: &Log, mut order: Order) -> Result<(), store::Error> {
    let mut apart = &order.lines[with_order(&order.lines)..];
    while !apart.is_empty() {
        let (lines, later) = apart.split_at(fitting(apart, LINES_PART_BYTES_MAX).max(1));
        let part = Lines { lines: lines.to_vec() };
        tx.put(LINES, &(order.id, order.line_parts), &part)?;
        order.line_parts += 1;
        apart = later;
    }
    put(tx, &order)?;
    index(tx, &order)?;
    let items = order
        .lines
        .iter()
        .map(|line| model::ItemOrdered { product_id: line.product_id, quantity: line.quantity });
    let fact = Fact::OrderPlaced {
        order_id: order.id,
        user_id: order.user_id,
        items: items.collect(),
    };
    let cause = Cause::new(order.created_at, By::User(order.user_id));
    tell(tx, log, &order, fact, &cause)
}

/// What products decided about an order.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Settlement<'a> {
    Reserved,
    Refused(&'a [Shortage]),
}

/// Takes in what products answered; an order that nobody pays is held for
/// `unpaid_expire`. One that went on meanwhile stays as it is: `None`.
///
/// # Errors
/// [`Error::NotFound`] for an order that was never placed here.
pub(crate) fn settle(
    tx: &mut Tx<'_>,
    log: &Log,
    id: OrderId,
    settlement: Settlement<'_>,
    unpaid_expire: Option<Duration>,
    at: Time,
) -> Result<Option<Order>, Error> {
    let mut order = find(tx, id)?;
    let before = order.status;
    let taken = match settlement {
        Settlement::Reserved => order.reserve(at, unpaid_expire.map(|span| at.after(span))),
        Settlement::Refused(shortages) => order.refuse(at, shortages.to_vec()),
    };
    let Ok(Taken { fact, .. }) = taken else {
        return Ok(None);
    };
    if let Some(until) = order.reserved_until {
        tx.put(UNPAID, &(until, id), &())?;
    }
    put(tx, &order)?;
    reindex(tx, before, &order)?;
    tell(tx, log, &order, fact, &Cause::new(at, By::Products))?;
    pay_early(tx, log, order, at).map(Some)
}

/// Takes a step with an order and writes down all that follows from it.
///
/// # Errors
/// Why the step is not taken.
pub(crate) fn change(
    tx: &mut Tx<'_>,
    log: &Log,
    mut order: Order,
    cause: Cause,
    step: impl FnOnce(&mut Order, Cause) -> Result<Taken, Refused>,
) -> Result<Order, Error> {
    let before = order.status;
    let Taken { change, fact } = step(&mut order, cause.clone())?;
    if let (Status::Confirmed, Some(until)) = (before, order.reserved_until) {
        tx.delete(UNPAID, &(until, order.id))?;
    }
    note(tx, &mut order, Some(&change))?;
    reindex(tx, before, &order)?;
    tell(tx, log, &order, fact, &cause)?;
    if before == Status::Pending {
        return pay_early(tx, log, order, cause.at);
    }
    Ok(order)
}

/// Gives money that came while an order was pending its meaning, now that it is
/// not any more.
fn pay_early(tx: &mut Tx<'_>, log: &Log, order: Order, at: Time) -> Result<Order, Error> {
    let Some(reference) = &order.payment else {
        return Ok(order);
    };
    let cause = Cause::new(at, By::Payments).because(reference);
    if order.status == Status::Confirmed {
        return change(tx, log, order, cause, Order::pay);
    }
    let fact = Fact::PaymentUnmatched {
        order_id: Some(order.id),
        amount: order.total,
        reason: Mismatch::OrderOver,
    };
    tell(tx, log, &order, fact, &cause)?;
    Ok(order)
}

/// Writes an order in which something was noted that changes no state, with a line
/// of history if there is one to it.
pub(crate) fn note(
    tx: &mut Tx<'_>,
    order: &mut Order,
    change: Option<&Change>,
) -> Result<(), store::Error> {
    if let Some(change) = change {
        tx.put(HISTORY, &(order.id, order.changes), change)?;
        order.changes = order.changes.saturating_add(1);
    }
    put(tx, order)
}

fn put(tx: &mut Tx<'_>, order: &Order) -> Result<(), store::Error> {
    let count = with_order(&order.lines);
    if count == order.lines.len() {
        return tx.put(ORDERS, &order.id, order);
    }
    let lines = order.lines[..count].to_vec();
    tx.put(ORDERS, &order.id, &Order { lines, ..order.clone() })
}

fn with_order(lines: &[Line]) -> usize {
    fitting(lines, LINES_WITH_ORDER_BYTES_MAX)
}

/// How many of these lines take at most so many bytes.
fn fitting(lines: &[Line], bytes_max: usize) -> usize {
    let mut bytes = 0;
    let fits = |line: &&Line| {
        bytes += LINE_FIXED_BYTES + line.sku.len() + line.title.len();
        bytes <= bytes_max
    };
    lines.iter().take_while(fits).count()
}

fn index(tx: &mut Tx<'_>, order: &Order) -> Result<(), store::Error> {
    let Order { status, user_id, id, .. } = *order;
    tx.put(BY_STATUS_AND_USER, &(status, user_id, id), &())?;
    if status != Status::Pending {
        tx.put(BY_STATUS, &(status, id), &())?;
    }
    Ok(())
}

fn reindex(tx: &mut Tx<'_>, before: Status, order: &Order) -> Result<(), store::Error> {
    if before == order.status {
        return Ok(());
    }
    tx.delete(BY_STATUS_AND_USER, &(before, order.user_id, order.id))?;
    if before != Status::Pending {
        tx.delete(BY_STATUS, &(before, order.id))?;
    }
    index(tx, order)
}

/// Tells the others what happened to an order.
pub(crate) fn tell(
    tx: &mut Tx<'_>,
    log: &Log,
    order: &Order,
    fact: Fact,
    cause: &Cause,
) -> Result<(), store::Error> {
    let draft = Draft {
        key: order.id.to_string(),
        fact,
        at: cause.at,
        by: cause.by.user().map(|id| id.to_string()),
        trace: Some(cause.trace.as_ref().unwrap_or(&order.request_id).clone()),
    };
    log.append(tx, draft).map(|_| ())
}
