//! Products, their stock and what is promised of it, as rows.
//!
//! | table | key → value |
//! | --- | --- |
//! | `products` | product → the product, without its stock |
//! | `skus` | SKU → product |
//! | `stock` | product → its level |
//! | `stock_movements` | product, number → a movement, the last hundred |
//! | `reservations` | order → what is held for it |
//! | `categories` | path → published products in it and below it |
//! | `shelf_by_age`, `…_price`, `…_title` | see `shelves` |
//!
//! **Invariant:** every change of a product goes through [`place`], which moves
//! all of these together with the event that tells of it. A product has a level
//! as long as it exists; the sum of what reservations hold of it is `reserved`.

use std::collections::BTreeSet;

use ::store::{Read, Table, Tx};
use mesh::{Draft, Fact, Id, ItemOrdered, Log, Time, kinds};

use crate::Error;
use crate::domain::{
    self, Content, Level, MOVEMENTS_KEPT, Movement, Product, ProductId, Reservation,
    category_and_above,
};
use crate::shelves;
use crate::submission::Submission;

pub(crate) const PRODUCTS: Table<ProductId, Product> = Table::new("products");
const SKUS: Table<String, ProductId> = Table::new("skus");
const STOCK: Table<ProductId, Level> = Table::new("stock");
const MOVEMENTS: Table<(ProductId, u64), Movement> = Table::new("stock_movements");
const RESERVATIONS: Table<Id<kinds::Order>, Reservation> = Table::new("reservations");
const CATEGORIES: Table<String, u64> = Table::new("categories");

/// The reason of a movement that came with a product's creation.
const FIRST_STOCK: &str = "initial stock";

/// When something is done, who does it and in which request.
#[derive(Debug, Clone)]
pub(crate) struct Cause {
    pub(crate) at: Time,
    pub(crate) by: Option<String>,
    pub(crate) trace: Option<String>,
}

impl Cause {
    fn draft(&self, key: String, fact: Fact) -> Draft {
        Draft {
            key,
            fact,
            at: self.at,
            by: self.by.clone(),
            trace: self.trace.clone(),
        }
    }
}

/// A product with its level; [`Error::NotFound`] when there is none.
pub(crate) fn product(from: &impl Read, id: ProductId) -> Result<(Product, Level), Error> {
    let product = from.get(PRODUCTS, &id)?.ok_or(Error::NotFound)?;
    Ok((product, level(from, id)?.unwrap_or_default()))
}

/// The product of a SKU.
pub(crate) fn id_of_sku(from: &impl Read, sku: &str) -> Result<Option<ProductId>, store::Error> {
    from.get(SKUS, &sku.to_owned())
}

/// A product's level; `None` for a product that is gone.
pub(crate) fn level(from: &impl Read, id: ProductId) -> Result<Option<Level>, store::Error> {
    from.get(STOCK, &id)
}

/// A product's last movements, newest first.
pub(crate) fn movements(
    from: &impl Read,
    id: ProductId,
    count: usize,
) -> Result<Vec<Movement>, store::Error> {
    from.scan(MOVEMENTS.prefix(&id).newest_first())?
        .take(count)
        .map(|row| row.map(|(_, movement)| movement))
        .collect()
}

/// What is held for an order.
pub(crate) fn reservation(
    from: &impl Read,
    order: Id<kinds::Order>,
) -> Result<Option<Reservation>, store::Error> {
    from.get(RESERVATIONS, &order)
}

/// Every category path that has published products, with how many.
pub(crate) fn categories(from: &impl Read) -> Result<Vec<(String, u64)>, store::Error> {
    from.scan(CATEGORIES.all())?.collect()
}

/// Makes a product.
///
/// # Errors
/// [`Error::SkuTaken`].
pub(crate) fn create(
    tx: &mut Tx<'_>,
    log: &Log,
    cause: &Cause,
    submission: Submission,
) -> Result<(Product, Level), Error> {
    let Submission { content, stock } = submission;
    let product = Product {
        id: Id::new(),
        content,
        created_at: cause.at,
        updated_at: cause.at,
    };
    place(tx, product.id, None, Some(&product))?;
    let fact = Fact::ProductCreated(product.listing());
    log.append(tx, cause.draft(product.id.to_string(), fact))?;
    let mut level = Level::default();
    tx.put(STOCK, &product.id, &level)?;
    if let Some(stock) = stock.filter(|stock| *stock > 0) {
        level = move_stock(tx, log, cause, product.id, stock, FIRST_STOCK)?;
    }
    Ok((product, level))
}

/// Gives a product other content; the same content writes and tells nothing.
///
/// # Errors
/// [`Error::SkuTaken`].
pub(crate) fn replace(
    tx: &mut Tx<'_>,
    log: &Log,
    cause: &Cause,
    before: Product,
    content: Content,
) -> Result<Product, Error> {
    if before.content == content {
        return Ok(before);
    }
    let after = Product { content, updated_at: cause.at, ..before.clone() };
    place(tx, after.id, Some(&before), Some(&after))?;
    let fact = Fact::ProductUpdated(after.listing());
    log.append(tx, cause.draft(after.id.to_string(), fact))?;
    Ok(after)
}

/// Removes a product, its stock and its movements. What is held for orders stays
/// written down with them; there is nothing left to give back.
pub(crate) fn remove(
    tx: &mut Tx<'_>,
    log: &Log,
    cause: &Cause,
    product: &Product,
) -> Result<(), Error> {
    let id = product.id;
    place(tx, id, Some(product), None)?;
    tx.delete(STOCK, &id)?;
    let movements: Vec<_> = tx
        .scan(MOVEMENTS.prefix(&id))?
        .collect::<Result<_, store::Error>>()?;
    for (key, _) in movements {
        tx.delete(MOVEMENTS, &key)?;
    }
    let fact = Fact::ProductDeleted { product_id: id };
    log.append(tx, cause.draft(id.to_string(), fact))?;
    Ok(())
}

/// What an imported line came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upserted {
    Created,
    Updated,
    Unchanged,
}

/// Creates the product of a SKU, or gives the one there is this content. Stock
/// is only set where the product is new: it moves while a file lies around.
pub(crate) fn upsert(
    tx: &mut Tx<'_>,
    log: &Log,
    cause: &Cause,
    submission: Submission,
) -> Result<Upserted, Error> {
    let Some(id) = id_of_sku(tx, &submission.content.sku)? else {
        create(tx, log, cause, submission)?;
        return Ok(Upserted::Created);
    };
    let (before, _) = product(tx, id)?;
    if before.content == submission.content {
        return Ok(Upserted::Unchanged);
    }
    replace(tx, log, cause, before, submission.content)?;
    Ok(Upserted::Updated)
}

/// Moves pieces of a product in or out.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Level`].
pub(crate) fn move_stock(
    tx: &mut Tx<'_>,
    log: &Log,
    cause: &Cause,
    id: ProductId,
    delta: i64,
    reason: &str,
) -> Result<Level, Error> {
    let before = level(tx, id)?.ok_or(Error::NotFound)?;
    let Level { on_hand, reserved, .. } = before;
    let after = before
        .moved(delta)
        .map_err(|fault| Error::Level { fault, on_hand, reserved })?;
    tx.put(STOCK, &id, &after)?;
    let movement = Movement {
        at: cause.at,
        delta,
        on_hand: after.on_hand,
        reason: reason.to_owned(),
        by: cause.by.clone(),
    };
    tx.put(MOVEMENTS, &(id, after.movements), &movement)?;
    if let Some(oldest) = after.movements.checked_sub(MOVEMENTS_KEPT) {
        tx.delete(MOVEMENTS, &(id, oldest))?;
    }
    let fact = Fact::StockAdjusted {
        product_id: id,
        on_hand: after.on_hand,
        reserved: after.reserved,
    };
    log.append(tx, cause.draft(id.to_string(), fact))?;
    Ok(after)
}

/// Holds an order's lines, all or none, and tells which. An order that has its
/// reservation keeps it.
pub(crate) fn reserve(
    tx: &mut Tx<'_>,
    log: &Log,
    cause: &Cause,
    order_id: Id<kinds::Order>,
    items: &[ItemOrdered],
) -> Result<(), store::Error> {
    if reservation(tx, order_id)?.is_some() {
        return Ok(());
    }
    let lines = domain::each_product_once(items);
    let fact = match domain::hold(&lines, |id| level(tx, id))? {
        Ok(held) => {
            for (id, level) in held {
                tx.put(STOCK, &id, &level)?;
            }
            tx.put(
                RESERVATIONS,
                &order_id,
                &Reservation { lines, at: cause.at },
            )?;
            Fact::StockReserved { order_id }
        }
        Err(shortages) => Fact::StockRefused { order_id, shortages },
    };
    log.append(tx, cause.draft(order_id.to_string(), fact))?;
    Ok(())
}

/// Writes a product where it belongs, in place of how it was.
fn place(
    tx: &mut Tx<'_>,
    id: ProductId,
    before: Option<&Product>,
    after: Option<&Product>,
) -> Result<(), Error> {
    let sku_before = before.map(|product| &product.content.sku);
    let sku_after = after.map(|product| &product.content.sku);
    if sku_before != sku_after {
        if let Some(sku) = sku_after {
            if id_of_sku(tx, sku)?.is_some() {
                return Err(Error::SkuTaken(sku.clone()));
            }
            tx.put(SKUS, sku, &id)?;
        }
        if let Some(sku) = sku_before {
            tx.delete(SKUS, sku)?;
        }
    }
    match after {
        Some(product) => tx.put(PRODUCTS, &id, product)?,
        None => tx.delete(PRODUCTS, &id)?,
    }
    shelves::rearrange(tx, id, before, after)?;
    count_categories(tx, before, after)?;
    Ok(())
}

fn count_categories(
    tx: &mut Tx<'_>,
    before: Option<&Product>,
    after: Option<&Product>,
) -> Result<(), store::Error> {
    let (before, after) = (published_paths(before), published_paths(after));
    for path in before.symmetric_difference(&after) {
        let path = (*path).to_owned();
        let count = tx.get(CATEGORIES, &path)?.unwrap_or(0);
        let count = if after.contains(path.as_str()) {
            count + 1
        } else {
            count.saturating_sub(1)
        };
        if count == 0 {
            tx.delete(CATEGORIES, &path)?;
        } else {
            tx.put(CATEGORIES, &path, &count)?;
        }
    }
    Ok(())
}

fn published_paths(product: Option<&Product>) -> BTreeSet<&str> {
    product
        .filter(|product| product.is_published())
        .into_iter()
        .flat_map(|product| &product.content.categories)
        .flat_map(|path| category_and_above(path))
        .collect()
}
