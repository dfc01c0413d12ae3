//! Stock: levels, movements and reservations.
//!
//! **Invariant:** a product has a level as long as it exists, and `reserved` is the sum
//! of the reservations of it. Both change in one transaction, and every level through
//! [`set`], which appends the events that depend on it.

use ::store::{Read, Tx};
use chassis::FieldError;
use mesh::Cause;
use model::{Fact, ItemOrdered, OrderId, ProductId};

use crate::Error;
use crate::domain::{
    self, LevelChange, MOVEMENTS_KEPT, Movement, OpeningStock, Product, Reservation,
    ReservationEnd, StockLevel, StockPolicy,
};
use crate::effects::Effects;
use crate::tables::{MOVEMENTS, PRODUCTS, RESERVATIONS, STOCK, level};

/// The reason of a product's opening movement.
const FIRST_STOCK: &str = "initial stock";
/// The reason of a movement by shipping.
const SHIPPED: &str = "order shipped";
/// The reason of a movement by a shipment that is undone.
const NOT_SHIPPED: &str = "shipment undone";

/// A product's last movements, newest first; `count` is below [`MOVEMENTS_KEPT`].
pub(crate) fn movements(
    from: &impl Read,
    id: ProductId,
    count: usize,
) -> Result<Vec<Movement>, store::Error> {
    let rows = from.scan(MOVEMENTS.prefix(&id).newest_first())?;
    let movements = rows
        .take(count)
        .map(|row| row.map(|(_, movement)| movement));
    let mut movements = movements.collect::<Result<Vec<_>, _>>()?;
    if movements.len() < count {
        movements.extend(from.get(PRODUCTS, &id)?.and_then(first));
    }
    Ok(movements)
}

/// The movement of a product's opening stock.
fn first(product: Product) -> Option<Movement> {
    let OpeningStock { pieces, by } = product.opening?;
    Some(Movement {
        at: product.created_at,
        delta: pieces,
        on_hand: pieces,
        reason: FIRST_STOCK.to_owned(),
        by,
    })
}

/// An order's reservation.
fn reservation(from: &impl Read, order: OrderId) -> Result<Option<Reservation>, store::Error> {
    from.get(RESERVATIONS, &order)
}

/// The orders after `after` that have a reservation, the oldest first.
pub(crate) fn orders_with_reservation(
    from: &impl Read,
    after: Option<OrderId>,
) -> Result<impl Iterator<Item = Result<OrderId, store::Error>>, store::Error> {
    let all = RESERVATIONS.all();
    let span = match after {
        Some(after) => all.after(&after),
        None => all,
    };
    Ok(from.scan(span)?.map(|row| row.map(|(order, _)| order)))
}

/// Creates the level of a new product. `product.created` covers it, so that an imported
/// line has one event and not two.
pub(crate) fn open(tx: &mut Tx<'_>, product: &Product) -> Result<StockLevel, Error> {
    let policy = product.content.stock_policy;
    let empty = StockLevel { policy, ..StockLevel::default() };
    let level = match &product.opening {
        None => empty,
        Some(opening) => empty.moved(opening.pieces).map_err(|fault| Error::Level {
            fault,
            on_hand: 0,
            reserved: 0,
        })?,
    };
    tx.put(STOCK, &product.id, &level)?;
    Ok(level)
}

/// Changes the policy of a product's level.
///
/// # Errors
/// [`Error::NotFound`], and [`Error::Invalid`] when it would be tracked and has more reserved than on hand.
pub(crate) fn set_policy(
    tx: &mut Tx<'_>,
    product_id: ProductId,
    policy: StockPolicy,
) -> Result<(), Error> {
    let before = level(tx, product_id)?.ok_or(Error::NotFound)?;
    let StockLevel { on_hand, reserved, .. } = before;
    let after = before.under(policy).ok_or_else(|| {
        let detail = format!(
            "{reserved} units are reserved for orders and {on_hand} are on hand; correct the stock first"
        );
        Error::Invalid(vec![FieldError::new("/stock_policy", detail)])
    })?;
    Ok(tx.put(STOCK, &product_id, &after)?)
}

/// Removes a product's level and movements. Reservations of it remain; their release
/// finds no level to change.
pub(crate) fn remove(tx: &mut Tx<'_>, id: ProductId) -> Result<(), store::Error> {
    tx.delete(STOCK, &id)?;
    let movements: Vec<_> = tx
        .scan(MOVEMENTS.prefix(&id))?
        .collect::<Result<_, store::Error>>()?;
    for (key, _) in movements {
        tx.delete(MOVEMENTS, &key)?;
    }
    Ok(())
}

/// Adds or removes units of a product.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Level`].
pub(crate) fn adjust(
    tx: &mut Tx<'_>,
    effects: &Effects,
    cause: &Cause,
    product_id: ProductId,
    delta: i64,
    reason: &str,
) -> Result<StockLevel, Error> {
    let before = level(tx, product_id)?.ok_or(Error::NotFound)?;
    let StockLevel { on_hand, reserved, .. } = before;
    let after = before
        .moved(delta)
        .map_err(|fault| Error::Level { fault, on_hand, reserved })?;
    set_on_hand(
        tx,
        effects,
        cause,
        LevelChange { product_id, before, after },
        reason,
    )?;
    Ok(after)
}

/// Sets the units on hand of a product. Where it has as many already, nothing is written.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Level`].
pub(crate) fn set_level(
    tx: &mut Tx<'_>,
    effects: &Effects,
    cause: &Cause,
    product_id: ProductId,
    on_hand: i64,
    reason: &str,
) -> Result<StockLevel, Error> {
    let before = level(tx, product_id)?.ok_or(Error::NotFound)?;
    match on_hand.saturating_sub(before.on_hand) {
        0 => Ok(before),
        delta => adjust(tx, effects, cause, product_id, delta, reason),
    }
}

/// Reserves all lines of an order or none, and appends the outcome. An order that has a
/// reservation keeps it; the outcome is appended again, since orders asks again only when it
/// has lost the first.
pub(crate) fn reserve(
    tx: &mut Tx<'_>,
    effects: &Effects,
    cause: &Cause,
    order_id: OrderId,
    items: &[ItemOrdered],
) -> Result<(), store::Error> {
    if reservation(tx, order_id)?.is_some() {
        let fact = Fact::StockReserved { order_id };
        return effects.append(tx, cause, order_id.to_string(), fact);
    }
    let lines = domain::each_product_once(items);
    let fact = match domain::reserve(&lines, |id| level(tx, id))? {
        Ok(changes) => {
            put_reservation(tx, cause, order_id, &lines, &changes)?;
            for change in changes {
                set_reserved(tx, effects, cause, change)?;
            }
            Fact::StockReserved { order_id }
        }
        Err(shortages) => Fact::StockRefused { order_id, shortages },
    };
    effects.append(tx, cause, order_id.to_string(), fact)
}

/// Refuses an order that has no reservation, whatever the stock.
pub(crate) fn refuse(
    tx: &mut Tx<'_>,
    effects: &Effects,
    cause: &Cause,
    order_id: OrderId,
) -> Result<(), store::Error> {
    if reservation(tx, order_id)?.is_some() {
        return Ok(());
    }
    let fact = Fact::StockRefused { order_id, shortages: Vec::new() };
    effects.append(tx, cause, order_id.to_string(), fact)
}

/// Releases an order's reservation. Returns whether it had one.
pub(crate) fn release(
    tx: &mut Tx<'_>,
    effects: &Effects,
    cause: &Cause,
    order_id: OrderId,
) -> Result<bool, store::Error> {
    let Some(changes) = end(tx, order_id, ReservationEnd::Released)? else {
        return Ok(false);
    };
    for change in changes {
        set_reserved(tx, effects, cause, change)?;
    }
    Ok(true)
}

/// Appends that an order has no reservation any more: a cancelled order waits for this
/// event, even if it never had one.
pub(crate) fn append_released(
    tx: &mut Tx<'_>,
    effects: &Effects,
    cause: &Cause,
    order_id: OrderId,
) -> Result<(), store::Error> {
    let fact = Fact::StockReleased { order_id };
    effects.append(tx, cause, order_id.to_string(), fact)
}

/// Removes the units of an order's reservation from stock, if it has one.
pub(crate) fn ship(
    tx: &mut Tx<'_>,
    effects: &Effects,
    cause: &Cause,
    order_id: OrderId,
) -> Result<(), store::Error> {
    for change in end(tx, order_id, ReservationEnd::Shipped)?
        .into_iter()
        .flatten()
    {
        set_on_hand(tx, effects, cause, change, SHIPPED)?;
    }
    Ok(())
}

/// Puts the units of a shipment back into stock, reserved for its order as before, unless it has a
/// reservation.
pub(crate) fn undo_shipment(
    tx: &mut Tx<'_>,
    effects: &Effects,
    cause: &Cause,
    order_id: OrderId,
    items: &[ItemOrdered],
) -> Result<(), store::Error> {
    if reservation(tx, order_id)?.is_some() {
        return Ok(());
    }
    let lines = domain::each_product_once(items);
    let changes = domain::undo_shipment(&lines, |id| level(tx, id))?;
    put_reservation(tx, cause, order_id, &lines, &changes)?;
    for change in changes {
        set_on_hand(tx, effects, cause, change, NOT_SHIPPED)?;
    }
    Ok(())
}

/// Writes the reservation of those lines whose level changes by it.
fn put_reservation(
    tx: &mut Tx<'_>,
    cause: &Cause,
    order_id: OrderId,
    lines: &[ItemOrdered],
    changes: &[LevelChange],
) -> Result<(), store::Error> {
    let is_held = |line: &&ItemOrdered| {
        let mut held = changes.iter().map(|change| change.product_id);
        held.any(|id| id == line.product_id)
    };
    let lines = lines.iter().filter(is_held).copied().collect();
    let reservation = Reservation { lines, at: cause.at };
    tx.put(RESERVATIONS, &order_id, &reservation)
}

/// Removes a reservation, so that it ends once, and returns the level changes.
fn end(
    tx: &mut Tx<'_>,
    order: OrderId,
    end: ReservationEnd,
) -> Result<Option<Vec<LevelChange>>, store::Error> {
    let Some(Reservation { lines, .. }) = reservation(tx, order)? else {
        return Ok(None);
    };
    tx.delete(RESERVATIONS, &order)?;
    domain::end_reservation(&lines, end, |id| level(tx, id)).map(Some)
}

/// Writes a level after units were reserved or released. An event is appended when the
/// product's availability changes, which is all that customers see of its stock.
fn set_reserved(
    tx: &mut Tx<'_>,
    effects: &Effects,
    cause: &Cause,
    change: LevelChange,
) -> Result<(), store::Error> {
    set(tx, effects, cause, change)?;
    if change.before.is_available() != change.after.is_available() {
        adjusted(tx, effects, cause, change)?;
    }
    Ok(())
}

/// Writes a level after units came or went, with the movement.
fn set_on_hand(
    tx: &mut Tx<'_>,
    effects: &Effects,
    cause: &Cause,
    change: LevelChange,
    reason: &str,
) -> Result<(), store::Error> {
    set(tx, effects, cause, change)?;
    record(tx, cause, change, reason)?;
    adjusted(tx, effects, cause, change)
}

/// Writes a movement in place of the oldest one.
fn record(
    tx: &mut Tx<'_>,
    cause: &Cause,
    change: LevelChange,
    reason: &str,
) -> Result<(), store::Error> {
    let LevelChange { product_id, before, after } = change;
    let movement = Movement {
        at: cause.at,
        delta: after.on_hand - before.on_hand,
        on_hand: after.on_hand,
        reason: reason.to_owned(),
        by: cause.by.clone(),
    };
    tx.put(MOVEMENTS, &(product_id, after.movements), &movement)?;
    if let Some(oldest) = after.movements.checked_sub(MOVEMENTS_KEPT) {
        tx.delete(MOVEMENTS, &(product_id, oldest))?;
    }
    Ok(())
}

/// Writes a level. The cached response is invalidated only if the availability changes:
/// most orders of a well-stocked shop change nothing in it.
fn set(
    tx: &mut Tx<'_>,
    effects: &Effects,
    cause: &Cause,
    change: LevelChange,
) -> Result<(), store::Error> {
    let LevelChange { product_id, before, after } = change;
    tx.put(STOCK, &product_id, &after)?;
    if before.is_available() != after.is_available() {
        effects.cache.invalidate(tx, product_id);
    }
    if before.runs_low(&after, effects.low_stock) {
        let fact = Fact::StockLow { product_id, available: after.available() };
        effects.append(tx, cause, product_id.to_string(), fact)?;
    }
    Ok(())
}

fn adjusted(
    tx: &mut Tx<'_>,
    effects: &Effects,
    cause: &Cause,
    change: LevelChange,
) -> Result<(), store::Error> {
    let LevelChange { product_id, after, .. } = change;
    let fact = Fact::StockAdjusted { product_id, on_hand: after.on_hand, reserved: after.reserved };
    effects.append(tx, cause, product_id.to_string(), fact)
}
