//! Changes of products: creating, replacing, removing.
//!
//! **Invariant:** every change of a product goes through [`write`], which moves its row,
//! its SKU, its index rows and the category counts together, and appends its event
//! in the same transaction.

use ::store::{Read, Tx};
use chassis::FieldError;
use chassis::fields::BodyFault;
use mesh::Cause;
use model::{Fact, Id, ProductId};
use serde_json::json;

use crate::categories::renamed;
use crate::domain::{Content, OpeningStock, Product, StockLevel};
use crate::effects::Effects;
use crate::submission::{self, CategoryRename, Submission};
use crate::tables::{self, CATEGORIES, PRODUCTS, SKUS};
use crate::{Error, indexes, stock};

/// The most products of a renamed category: they change in one transaction, of some 3 KiB
/// each, and other changes of products wait for it.
const RENAMED_MAX: usize = 10_000;

/// Creates a product.
///
/// # Errors
/// [`Error::SkuTaken`].
pub(crate) fn create(
    tx: &mut Tx<'_>,
    effects: &Effects,
    cause: &Cause,
    submission: Submission,
) -> Result<(Product, StockLevel), Error> {
    let Submission { content, stock, .. } = submission;
    let pieces = stock.filter(|pieces| *pieces != 0);
    let product = Product {
        id: Id::new(),
        content,
        created_at: cause.at,
        updated_at: cause.at,
        opening: pieces.map(|pieces| OpeningStock { pieces, by: cause.by.clone() }),
    };
    write(
        tx,
        effects,
        product.id,
        Versions { before: None, after: Some(&product) },
    )?;
    let fact = Fact::ProductCreated(product.listing());
    effects.append(tx, cause, product.id.to_string(), fact)?;
    let level = stock::open(tx, &product)?;
    Ok((product, level))
}

/// Replaces a product's content. Equal content writes nothing and appends no event.
///
/// # Errors
/// [`Error::SkuTaken`], and [`Error::Invalid`] for a stock policy that the level does not allow.
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
    let versions = Versions { before: Some(&before), after: Some(&after) };
    write(tx, effects, after.id, versions)?;
    let policy = after.content.stock_policy;
    if policy != before.content.stock_policy {
        stock::set_policy(tx, after.id, policy)?;
    }
    let fact = Fact::ProductUpdated(after.listing());
    effects.append(tx, cause, after.id.to_string(), fact)?;
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
    write(
        tx,
        effects,
        id,
        Versions { before: Some(product), after: None },
    )?;
    stock::remove(tx, id)?;
    let fact = Fact::ProductDeleted { product_id: id };
    Ok(effects.append(tx, cause, id.to_string(), fact)?)
}

/// Renames a category and all below it, in every product. Returns the number of products.
///
/// # Errors
/// [`Error::NotFound`] for a category without a product, [`Error::Invalid`] for a product whose
/// new paths are beyond a limit, and for more than [`RENAMED_MAX`] products.
pub(crate) fn rename_category(
    tx: &mut Tx<'_>,
    effects: &Effects,
    cause: &Cause,
    CategoryRename { from, to }: &CategoryRename,
) -> Result<usize, Error> {
    let products = indexes::in_category(tx, from, RENAMED_MAX)?;
    let fault = |pointer: &str, detail| Error::Invalid(vec![FieldError::new(pointer, detail)]);
    match products.len() {
        0 => return Err(Error::NotFound),
        1..=RENAMED_MAX => {}
        _ => {
            let detail = format!(
                "has more than {RENAMED_MAX} products; rename the categories below it one by one"
            );
            return Err(fault("/from", detail));
        }
    }
    for id in &products {
        let (before, _) = tables::product(tx, *id)?;
        let mut paths = Vec::new();
        for path in &before.content.categories {
            let path = renamed(path, from, to).unwrap_or_else(|| path.clone());
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        let patched = submission::read_merged(&before.content, json!({ "categories": paths }));
        let patched = patched.map_err(|why| {
            let why = match why {
                BodyFault::Unreadable(why) => why,
                BodyFault::Invalid(faults) => faults
                    .into_iter()
                    .map(|FieldError { pointer, detail }| format!("`{pointer}` {detail}"))
                    .collect::<Vec<_>>()
                    .join("; "),
            };
            let detail = format!("product `{}`: {why}", before.content.sku);
            fault("/to", detail)
        })?;
        replace(tx, effects, cause, before, patched.content)?;
    }
    Ok(products.len())
}

/// A product before and after a change; `None` where it does not exist.
#[derive(Clone, Copy)]
struct Versions<'a> {
    before: Option<&'a Product>,
    after: Option<&'a Product>,
}

/// Writes a product's rows in place of those of the version before.
fn write(
    tx: &mut Tx<'_>,
    effects: &Effects,
    id: ProductId,
    Versions { before, after }: Versions<'_>,
) -> Result<(), Error> {
    let sku_before = before.map(|product| &product.content.sku);
    let sku_after = after.map(|product| &product.content.sku);
    if sku_before != sku_after {
        if let Some(sku) = sku_after {
            if tables::id_of_sku(tx, sku)?.is_some() {
                return Err(Error::SkuTaken(sku.clone()));
            }
            tx.put(SKUS, sku, &id)?;
        }
        if let Some(sku) = sku_before {
            tx.delete(SKUS, sku)?;
        }
    }
    if before.is_some() {
        effects.cache.invalidate(tx, id);
    }
    match after {
        Some(product) => tx.put(PRODUCTS, &id, product)?,
        None => tx.delete(PRODUCTS, &id)?,
    }
    indexes::update(tx, id, before, after)?;
    count_categories(tx, Versions { before, after })?;
    Ok(())
}

fn count_categories(
    tx: &mut Tx<'_>,
    Versions { before, after }: Versions<'_>,
) -> Result<(), store::Error> {
    let (before, after) = (
        tables::published_paths(before),
        tables::published_paths(after),
    );
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
