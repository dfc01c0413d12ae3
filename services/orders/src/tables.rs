//! The tables of orders: their rows, and reading and writing them.
//!
//! | table | key → value |
//! | --- | --- |
//! | `orders` | order → the order, without the lines and history below |
//! | `order_lines` | order, part → the lines and taxes that do not fit into the order's row |
//! | `order_history` | order, number → a status change, correction or note, after those derived from the order |
//! | `order_placed_addresses` | order → its address from before the first correction |
//! | `orders_by_status_and_user` | status, customer id of the buyer, order: every order |
//! | `orders_by_status` | status, order: every order that is not pending |
//! | `orders_unpaid` | unpaid until, order: the confirmed orders that can expire |
//! | `listings` | product → its listing: a projection of products' events |
//! | `payments` | message id → the provider's message and its outcome; never deleted |
//! | `payment_parts` | order, reference → a payment that pays the order with others |
//! | `payments_unmatched` | received at, message id → money that pays no order, and why |
//! | `order_payments` | order, payment → an attempt to pay it |
//! | `erasures` | customer → the progress of the erasure of their orders |
//!
//! The number of rows is what an order costs, so an order of usual size is placed with
//! four (the order, its index by buyer, `order.placed`, the idempotency key) and confirmed with six
//! and one for each product (the order, its indexes, `order.confirmed`, the sums of the day and
//! of each product in it). Its indexes by total and product are [runs](crate::lists). The first two history entries are derived from the order. A pending order
//! has one index row: it is pending for milliseconds, so all of them are few.
//!
//! **Invariant:** an order's indexes change with its row, in [`insert`] and [`update`]
//! only. No list scans the orders of other buyers.

mod rows;
mod settlement;

use mesh::{Cause, Draft, Log};
use model::{CustomerId, Fact, Listing, Mismatch, OrderId, ProductId, Time};
use store::{Read, Table, Tx};

pub(crate) use self::rows::{ErasureRow, OrderRow, PaymentRow, StoredOrder};
use self::rows::{
    LineRow, LinesRow, ListingRow, PART_LINES_BYTES_MAX, PlacedAddressRow, ROW_LINES_BYTES_MAX,
    StatusChangeRow, TAX_LINES_OF_PART, TAX_LINES_OF_ROW, TaxLineRow, fitting,
};
use crate::domain::{
    Order, OrderAddress, OrderCause, OrderLine, OrderStatus, Parcel, PaymentMessage,
    PaymentOutcome, StatusChange,
};
use crate::{Error, counters};

pub(crate) const ORDERS: Table<OrderId, OrderRow> = Table::new("orders");
const LINES: Table<(OrderId, u16), LinesRow> = Table::new("order_lines");
const HISTORY: Table<(OrderId, u16), StatusChangeRow> = Table::new("order_history");
const PLACED_ADDRESSES: Table<OrderId, PlacedAddressRow> = Table::new("order_placed_addresses");
pub(crate) const BY_STATUS_AND_BUYER: Table<(OrderStatus, CustomerId, OrderId), ()> =
    Table::new("orders_by_status_and_user");
pub(crate) const BY_STATUS: Table<(OrderStatus, OrderId), ()> = Table::new("orders_by_status");
pub(crate) const UNPAID: Table<(Time, OrderId), ()> = Table::new("orders_unpaid");
const LISTINGS: Table<ProductId, ListingRow> = Table::new("listings");
pub(crate) const PAYMENTS: Table<String, PaymentRow> = Table::new("payments");
pub(crate) const ERASURES: Table<CustomerId, ErasureRow> = Table::new("erasures");

/// The listing of a product; `None` for one that is deleted or not known yet.
pub(crate) fn listing(from: &impl Read, id: ProductId) -> Result<Option<Listing>, store::Error> {
    Ok(from.get(LISTINGS, &id)?.map(|row| row.listing))
}

pub(crate) fn put_listing(tx: &mut Tx<'_>, listing: &Listing) -> Result<(), store::Error> {
    let row = ListingRow { listing: listing.clone() };
    tx.put(LISTINGS, &listing.product_id, &row)
}

pub(crate) fn delete_listing(tx: &mut Tx<'_>, id: ProductId) -> Result<(), store::Error> {
    tx.delete(LISTINGS, &id)
}

/// An order with all its lines.
pub(crate) fn find(from: &impl Read, id: OrderId) -> Result<StoredOrder, Error> {
    let row = from.get(ORDERS, &id)?.ok_or(Error::NotFound)?;
    Ok(with_lines(from, row)?)
}

/// The order of a row with all its lines.
pub(crate) fn with_lines(from: &impl Read, row: OrderRow) -> Result<StoredOrder, store::Error> {
    let mut stored = StoredOrder::from(row);
    if stored.line_parts > 0 {
        for row in from.scan(LINES.prefix(&stored.order.id))? {
            let LinesRow { lines, tax_lines } = row?.1;
            let order = &mut stored.order;
            order.lines.extend(lines.into_iter().map(OrderLine::from));
            let currency = order.total.currency;
            let tax_lines = tax_lines.into_iter().map(|line| line.into_line(currency));
            order.charges.tax_lines.extend(tax_lines);
        }
    }
    Ok(stored)
}

/// The order with the address it was placed with, as the response to its placing shows it.
pub(crate) fn find_as_placed(from: &impl Read, id: OrderId) -> Result<StoredOrder, Error> {
    let mut stored = find(from, id)?;
    // An order that was accepted is shown as it now is.
    if !stored.accepted
        && let Some(row) = from.get(PLACED_ADDRESSES, &id)?
    {
        stored.order.shipping_address = row.into();
    }
    Ok(stored)
}

/// Keeps the address from before a correction, if it is the first one.
pub(crate) fn keep_placed_address(
    tx: &mut Tx<'_>,
    id: OrderId,
    shipping_address: Option<OrderAddress>,
) -> Result<(), store::Error> {
    if tx.contains(PLACED_ADDRESSES, &id)? {
        return Ok(());
    }
    tx.put(
        PLACED_ADDRESSES,
        &id,
        &PlacedAddressRow::from(shipping_address),
    )
}

/// Erases what the history and the placing of an order have of its buyer: their address, the notes
/// about them, and the reasons that they gave.
pub(crate) fn erase_buyer(tx: &mut Tx<'_>, order: &Order) -> Result<(), store::Error> {
    let id = order.id;
    tx.delete(PLACED_ADDRESSES, &id)?;
    let history = tx.scan(HISTORY.prefix(&id))?;
    let history: Vec<_> = history.collect::<Result<_, _>>()?;
    for (key, row) in history {
        let change = StatusChange::from(row);
        if change.note.is_some() {
            tx.delete(HISTORY, &key)?;
        } else if change.is_reasoned_by(&order.buyer) {
            let change = StatusChange { reason: None, ..change };
            tx.put(HISTORY, &key, &StatusChangeRow::from(&change))?;
        }
    }
    Ok(())
}

/// The status of an order, if it exists.
pub(crate) fn status(from: &impl Read, id: OrderId) -> Result<Option<OrderStatus>, store::Error> {
    let row = from.get(ORDERS, &id)?;
    Ok(row.map(|row| StoredOrder::from(row).order.status))
}

/// The history of an order, oldest entry first.
pub(crate) fn history(from: &impl Read, order: &Order) -> Result<Vec<StatusChange>, store::Error> {
    let mut changes = order.first_changes();
    for row in from.scan(HISTORY.prefix(&order.id))? {
        changes.push(row?.1.into());
    }
    Ok(changes)
}

/// Writes a new order. [Runs](crate::lists::SortedRuns::add) index it after that.
pub(crate) fn insert(tx: &mut Tx<'_>, order: Order) -> Result<StoredOrder, store::Error> {
    let mut line_parts = 0;
    let mut rest = &order.lines[fitting(&order.lines, ROW_LINES_BYTES_MAX)..];
    while !rest.is_empty() {
        let (part, later) = rest.split_at(fitting(rest, PART_LINES_BYTES_MAX).max(1));
        let lines = part.iter().map(LineRow::from).collect();
        let row = LinesRow { lines, tax_lines: Vec::new() };
        tx.put(LINES, &(order.id, line_parts), &row)?;
        line_parts += 1;
        rest = later;
    }
    let further = order.charges.tax_lines.iter().skip(TAX_LINES_OF_ROW);
    let further: Vec<_> = further.map(TaxLineRow::from).collect();
    for tax_lines in further.chunks(TAX_LINES_OF_PART) {
        let row = LinesRow { lines: Vec::new(), tax_lines: tax_lines.to_vec() };
        tx.put(LINES, &(order.id, line_parts), &row)?;
        line_parts += 1;
    }
    let stored = StoredOrder { order, accepted: false, line_parts, history_rows: 0 };
    save(tx, &stored)?;
    index(tx, &stored.order)?;
    Ok(stored)
}

/// Writes an order of an earlier version with its parcel, which only its history had.
pub(crate) fn complete(tx: &mut Tx<'_>, stored: &mut StoredOrder) -> Result<(), store::Error> {
    if stored.order.parcel == Parcel::default() {
        let mut history = history(tx, &stored.order)?.into_iter();
        let shipped = history.find(|change| change.parcel != Parcel::default());
        if let Some(shipped) = shipped {
            stored.order.parcel = shipped.parcel;
        }
    }
    save(tx, stored)
}

/// Writes an order whose status was `before`, and moves it between the indexes.
pub(crate) fn update(
    tx: &mut Tx<'_>,
    stored: &StoredOrder,
    before: OrderStatus,
) -> Result<(), store::Error> {
    save(tx, stored)?;
    let order = &stored.order;
    if before == order.status {
        return Ok(());
    }
    tx.delete(
        BY_STATUS_AND_BUYER,
        &(before, order.buyer.customer_id(), order.id),
    )?;
    if before != OrderStatus::Pending {
        tx.delete(BY_STATUS, &(before, order.id))?;
    }
    if let (OrderStatus::Confirmed, Some(until)) = (before, order.unpaid_until()) {
        tx.delete(UNPAID, &(until, order.id))?;
    }
    index(tx, order)
}

/// Writes an order whose status is unchanged, and whose buyer was another one `before`.
pub(crate) fn change_buyer(
    tx: &mut Tx<'_>,
    stored: &StoredOrder,
    before: &Order,
) -> Result<(), store::Error> {
    let order = &stored.order;
    tx.delete(
        BY_STATUS_AND_BUYER,
        &(before.status, before.buyer.customer_id(), order.id),
    )?;
    save(tx, stored)?;
    index(tx, order)
}

/// Writes an order whose status is unchanged, and that was to expire at `before`.
pub(crate) fn save_expiring(
    tx: &mut Tx<'_>,
    stored: &StoredOrder,
    before: Option<Time>,
) -> Result<(), store::Error> {
    let order = &stored.order;
    if order.status == OrderStatus::Confirmed {
        if let Some(before) = before {
            tx.delete(UNPAID, &(before, order.id))?;
        }
        if let Some(until) = order.unpaid_until() {
            tx.put(UNPAID, &(until, order.id), &())?;
        }
    }
    save(tx, stored)
}

/// Writes an order whose status is unchanged.
pub(crate) fn save(tx: &mut Tx<'_>, stored: &StoredOrder) -> Result<(), store::Error> {
    tx.put(ORDERS, &stored.order.id, &stored.to_row())
}

fn index(tx: &mut Tx<'_>, order: &Order) -> Result<(), store::Error> {
    let (status, id) = (order.status, order.id);
    let buyer = order.buyer.customer_id();
    tx.put(BY_STATUS_AND_BUYER, &(status, buyer, id), &())?;
    if status != OrderStatus::Pending {
        tx.put(BY_STATUS, &(status, id), &())?;
    }
    match order.unpaid_until() {
        Some(until) if status == OrderStatus::Confirmed => tx.put(UNPAID, &(until, id), &()),
        _ => Ok(()),
    }
}

/// Writes an entry of the order's history. The order itself has to be written after it.
pub(crate) fn append_history(
    tx: &mut Tx<'_>,
    stored: &mut StoredOrder,
    change: &StatusChange,
) -> Result<(), store::Error> {
    let key = (stored.order.id, stored.history_rows);
    tx.put(HISTORY, &key, &StatusChangeRow::from(change))?;
    stored.history_rows = stored.history_rows.saturating_add(1);
    Ok(())
}

/// Appends an event about an order to the log, and counts it.
pub(crate) fn append_event(
    tx: &mut Tx<'_>,
    log: &Log,
    order: &Order,
    fact: Fact,
    cause: &OrderCause,
) -> Result<(), store::Error> {
    let by = cause.by.person();
    let via = cause.via.map(|key| key.to_string());
    let trace = Some(cause.trace.as_ref().unwrap_or(&order.request_id).clone());
    counters::count(tx, order, &fact);
    let draft = Draft {
        key: order.id.to_string(),
        fact,
        cause: Cause { at: cause.at, by, via, trace },
    };
    log.append(tx, draft).map(|_| ())
}

/// The outcome of the provider's message of this id, if it was received before.
pub(crate) fn payment_outcome(
    from: &impl Read,
    message_id: &String,
) -> Result<Option<PaymentOutcome>, store::Error> {
    Ok(from.get(PAYMENTS, message_id)?.map(|row| row.outcome))
}

pub(crate) fn insert_payment(
    tx: &mut Tx<'_>,
    message_id: &String,
    message: Option<PaymentMessage>,
    outcome: PaymentOutcome,
    at: Time,
) -> Result<(), store::Error> {
    let row = PaymentRow::new(at, message, outcome);
    tx.put(PAYMENTS, message_id, &row)
}

/// A message that pays no order: when it came, what it says if it could be read, and why.
pub(crate) fn unmatched(row: PaymentRow) -> Option<(Time, Option<PaymentMessage>, Mismatch)> {
    match row.outcome {
        PaymentOutcome::Unmatched(reason) => Some((row.at, row.message(), reason)),
        _ => None,
    }
}
