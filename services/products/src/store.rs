//! Products as rows. Their stock is in `stock`.
//!
//! | table | key → value |
//! | --- | --- |
//! | `products` | product → the product, without its stock |
//! | `skus` | SKU → product |
//! | `categories` | path → published products in it and below it |
//! | `shelf_by_age`, `…_price`, `…_title` | see `shelves` |
//!
//! **Invariant:** every change of a product goes through [`place`], which moves
//! all of these together, and is told of in the same transaction.

use std::collections::BTreeSet;

use ::store::{Read, Table, Tx};
use mesh::{Draft, Log};
use model::{Fact, Id, Time};

use crate::cache::Cache;
use crate::domain::{Content, Level, Opening, Product, ProductId, category_and_above};
use crate::index::IndexLag;
use crate::submission::Submission;
use crate::{Error, shelves, stock};

pub(crate) use crate::stock::level;

pub(crate) const PRODUCTS: Table<ProductId, Product> = Table::new("products");
const SKUS: Table<String, ProductId> = Table::new("skus");
const CATEGORIES: Table<String, u64> = Table::new("categories");

/// When something is done, who does it and in which request.
#[derive(Debug, Clone)]
pub(crate) struct Cause {
    pub(crate) at: Time,
    pub(crate) by: Option<String>,
    pub(crate) trace: Option<String>,
}

/// What a change reaches beyond its rows. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Effects {
    /// Tells the others.
    pub(crate) log: Log,
    /// Forgets what is no longer so.
    pub(crate) cache: Cache,
    /// Records that the index has to follow.
    pub(crate) lag: IndexLag,
    /// Staff are told when fewer pieces than this can be sold; 0: never.
    pub(crate) low_stock: i64,
}

impl Effects {
    /// Appends an event of this transaction.
    pub(crate) fn tell(
        &self,
        tx: &mut Tx<'_>,
        cause: &Cause,
        key: String,
        fact: Fact,
    ) -> Result<(), store::Error> {
        let Cause { at, by, trace } = cause.clone();
        let shown_anew = fact.product_shown_anew().is_some();
        let place = self.log.append(tx, Draft { key, fact, at, by, trace })?;
        if shown_anew {
            let lag = self.lag.clone();
            tx.on_visible(move || lag.written(place));
        }
        Ok(())
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

/// How many SKUs name a product.
pub(crate) fn skus(from: &impl Read) -> Result<u64, store::Error> {
    shelves::count(from, SKUS)
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
    effects: &Effects,
    cause: &Cause,
    submission: Submission,
) -> Result<(Product, Level), Error> {
    let Submission { content, stock } = submission;
    let pieces = stock.filter(|pieces| *pieces != 0);
    let product = Product {
        id: Id::new(),
        content,
        created_at: cause.at,
        updated_at: cause.at,
        opening: pieces.map(|pieces| Opening { pieces, by: cause.by.clone() }),
    };
    place(tx, effects, product.id, None, Some(&product))?;
    let fact = Fact::ProductCreated(product.listing());
    effects.tell(tx, cause, product.id.to_string(), fact)?;
    let level = stock::open(tx, &product)?;
    Ok((product, level))
}

/// Gives a product other content; the same content writes and tells nothing.
///
/// # Errors
/// [`Error::SkuTaken`].
pub(crate) fn replace(
    tx: &mut Tx<'_>,
    effects: &Effects,
    cause: &Cause,
    before: Product,
    content: Content,
) -> Result<Product, Error> {
    if before.content == content {
        return Ok(before);
    }
    let after = Product { content, updated_at: cause.at, ..before.clone() };
    place(tx, effects, after.id, Some(&before), Some(&after))?;
    let fact = Fact::ProductUpdated(after.listing());
    effects.tell(tx, cause, after.id.to_string(), fact)?;
    Ok(after)
}

/// Removes a product and its stock.
pub(crate) fn remove(
    tx: &mut Tx<'_>,
    effects: &Effects,
    cause: &Cause,
    product: &Product,
) -> Result<(), Error> {
    let id = product.id;
    place(tx, effects, id, Some(product), None)?;
    stock::remove(tx, id)?;
    let fact = Fact::ProductDeleted { product_id: id };
    Ok(effects.tell(tx, cause, id.to_string(), fact)?)
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
    effects: &Effects,
    cause: &Cause,
    submission: Submission,
) -> Result<Upserted, Error> {
    let Some(id) = id_of_sku(tx, &submission.content.sku)? else {
        create(tx, effects, cause, submission)?;
        return Ok(Upserted::Created);
    };
    let (before, _) = product(tx, id)?;
    if before.content == submission.content {
        return Ok(Upserted::Unchanged);
    }
    replace(tx, effects, cause, before, submission.content)?;
    Ok(Upserted::Updated)
}

/// Writes a product where it belongs, in place of how it was.
fn place(
    tx: &mut Tx<'_>,
    effects: &Effects,
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
    if before.is_some() {
        effects.cache.forget(tx, id);
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

/// The category paths a product counts for.
pub(crate) fn published_paths(product: Option<&Product>) -> BTreeSet<&str> {
    product
        .filter(|product| product.is_published())
        .into_iter()
        .flat_map(|product| &product.content.categories)
        .flat_map(|path| category_and_above(path))
        .collect()
}
