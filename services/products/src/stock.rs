//! Levels, what moved them, and what orders hold of them, as rows.
//!
//! | table | key → value |
//! | --- | --- |
//! | `stock` | product → its level |
//! | `stock_movements` | product, number → a movement, the last hundred but for the first of all, which is the product's opening |
//! | `reservations` | order → what is held for it, until it is freed or shipped |
//!
//! **Invariant:** a product has a level as long as it exists, and `reserved` is
//! the sum of what reservations hold of it: both change in one transaction, and
//! every level through [`set`], which tells whom it concerns.

use ::store::{Read, Table, Tx};
use model::{Fact, Id, ItemOrdered, kinds};

use crate::Error;
use crate::domain::{
    self, Change, End, Level, MOVEMENTS_KEPT, Movement, Opening, Product, ProductId, Reservation,
};
use crate::store::{Cause, Effects, PRODUCTS};

pub(crate) const STOCK: Table<ProductId, Level> = Table::new("stock");
const MOVEMENTS: Table<(ProductId, u64), Movement> = Table::new("stock_movements");
pub(crate) const RESERVATIONS: Table<OrderId, Reservation> = Table::new("reservations");

type OrderId = Id<kinds::Order>;

/// The reason of a movement that came with a product's creation.
const FIRST_STOCK: &str = "initial stock";
/// The reason of a movement that an order's shipping is.
const SHIPPED: &str = "order shipped";

/// A product's level; `None` for a product that is gone.
pub(crate) fn level(from: &impl Read, id: ProductId) -> Result<Option<Level>, store::Error> {
    from.get(STOCK, &id)
}

/// A product's last movements, newest first. `count` is less than are kept.
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

/// The movement that a product's opening stock was.
fn first(product: Product) -> Option<Movement> {
    let Opening { pieces, by } = product.opening?;
    Some(Movement {
        at: product.created_at,
        delta: pieces,
        on_hand: pieces,
        reason: FIRST_STOCK.to_owned(),
        by,
    })
}

/// What is held for an order.
pub(crate) fn reservation(
    from: &impl Read,
    order: OrderId,
) -> Result<Option<Reservation>, store::Error> {
    from.get(RESERVATIONS, &order)
}

/// Gives a new product its level. `product.created` tells of it; whoever cares for
/// stock looks here then, so there is no second event of each imported line.
pub(crate) fn open(tx: &mut Tx<'_>, product: &Product) -> Result<Level, Error> {
    let empty = Level::default();
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

/// Removes a product's level and movements. What is held for orders stays written
/// down with them; there is nothing left to give back.
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

/// Moves pieces of a product in or out.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Level`].
pub(crate) fn move_pieces(
    tx: &mut Tx<'_>,
    effects: &Effects,
    cause: &Cause,
    product_id: ProductId,
    delta: i64,
    reason: &str,
) -> Result<Level, Error> {
    let before = level(tx, product_id)?.ok_or(Error::NotFound)?;
    let Level { on_hand, reserved, .. } = before;
    let after = before
        .moved(delta)
        .map_err(|fault| Error::Level { fault, on_hand, reserved })?;
    moved(
        tx,
        effects,
        cause,
        Change { product_id, before, after },
        reason,
    )?;
    Ok(after)
}

/// Holds an order's lines, all or none, and tells which. An order that has its
/// reservation keeps it.
pub(crate) fn reserve(
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
    let fact = match domain::hold(&lines, |id| level(tx, id))? {
        Ok(changes) => {
            for change in changes {
                promised(tx, effects, cause, change)?;
            }
            let reservation = Reservation { lines, at: cause.at };
            tx.put(RESERVATIONS, &order_id, &reservation)?;
            Fact::StockReserved { order_id }
        }
        Err(shortages) => Fact::StockRefused { order_id, shortages },
    };
    effects.tell(tx, cause, order_id.to_string(), fact)
}

/// Tells that nothing will be held for an order, whatever there is.
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
    effects.tell(tx, cause, order_id.to_string(), fact)
}

/// Gives back what is held for an order, if anything is; whether it was.
pub(crate) fn release(
    tx: &mut Tx<'_>,
    effects: &Effects,
    cause: &Cause,
    order_id: OrderId,
) -> Result<bool, store::Error> {
    let Some(changes) = end(tx, order_id, End::Freed)? else {
        return Ok(false);
    };
    for change in changes {
        promised(tx, effects, cause, change)?;
    }
    Ok(true)
}

/// Tells that nothing is held for an order any more: whoever cancelled it waits
/// for this word, also if nothing ever was.
pub(crate) fn tell_released(
    tx: &mut Tx<'_>,
    effects: &Effects,
    cause: &Cause,
    order_id: OrderId,
) -> Result<(), store::Error> {
    let fact = Fact::StockReleased { order_id };
    effects.tell(tx, cause, order_id.to_string(), fact)
}

/// Takes out of the house what is held for an order, if anything is.
pub(crate) fn ship(
    tx: &mut Tx<'_>,
    effects: &Effects,
    cause: &Cause,
    order_id: OrderId,
) -> Result<(), store::Error> {
    for change in end(tx, order_id, End::Shipped)?.into_iter().flatten() {
        moved(tx, effects, cause, change, SHIPPED)?;
    }
    Ok(())
}

/// Removes a reservation, so that it ends once, and decides what that changes.
fn end(tx: &mut Tx<'_>, order: OrderId, end: End) -> Result<Option<Vec<Change>>, store::Error> {
    let Some(Reservation { lines, .. }) = reservation(tx, order)? else {
        return Ok(None);
    };
    tx.delete(RESERVATIONS, &order)?;
    domain::settle(&lines, end, |id| level(tx, id)).map(Some)
}

/// Writes a level by which pieces were promised or freed. That the last one went, or
/// is there again, is told: it is what everyone sees of a product's stock.
fn promised(
    tx: &mut Tx<'_>,
    effects: &Effects,
    cause: &Cause,
    change: Change,
) -> Result<(), store::Error> {
    set(tx, effects, cause, change)?;
    if change.before.is_available() != change.after.is_available() {
        adjusted(tx, effects, cause, change)?;
    }
    Ok(())
}

/// Writes a level by which pieces came or went, with the movement that did it.
fn moved(
    tx: &mut Tx<'_>,
    effects: &Effects,
    cause: &Cause,
    change: Change,
    reason: &str,
) -> Result<(), store::Error> {
    set(tx, effects, cause, change)?;
    note(tx, cause, change, reason)?;
    adjusted(tx, effects, cause, change)
}

/// Writes a movement down, in place of the oldest one.
fn note(tx: &mut Tx<'_>, cause: &Cause, change: Change, reason: &str) -> Result<(), store::Error> {
    let Change { product_id, before, after } = change;
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

/// Writes a level. What is shown of the product is forgotten only if it can be
/// bought now and could not before, or the other way round: most orders of a
/// well-stocked shop change nothing that anyone sees.
fn set(
    tx: &mut Tx<'_>,
    effects: &Effects,
    cause: &Cause,
    change: Change,
) -> Result<(), store::Error> {
    let Change { product_id, before, after } = change;
    tx.put(STOCK, &product_id, &after)?;
    if before.is_available() != after.is_available() {
        effects.cache.forget(tx, product_id);
    }
    if before.runs_low(&after, effects.low_stock) {
        let fact = Fact::StockLow { product_id, available: after.available() };
        effects.tell(tx, cause, product_id.to_string(), fact)?;
    }
    Ok(())
}

fn adjusted(
    tx: &mut Tx<'_>,
    effects: &Effects,
    cause: &Cause,
    change: Change,
) -> Result<(), store::Error> {
    let Change { product_id, after, .. } = change;
    let fact = Fact::StockAdjusted { product_id, on_hand: after.on_hand, reserved: after.reserved };
    effects.tell(tx, cause, product_id.to_string(), fact)
}
