//! The shelves a product stands on: for each list a client can ask for, and each
//! order it can ask for it in, one row.
//!
//! A shelf is a status with, maybe, a category or a brand; rows are kept in the
//! transaction that changes the product, so a page of a list is one short scan
//! however large the catalogue. A category and a brand together have no shelf, which
//! would double the rows of every product: theirs are the places that two shelves
//! have in common. The road not taken: sorting at reading time, which reads a whole
//! category to show twenty of it.
//!
//! **Invariant:** a product's rows are exactly those [`rows`] names for it.

mod walk;

use std::collections::BTreeSet;

use blake2::digest::consts::U8;
use blake2::{Blake2b, Digest};
use model::PublicationStatus;
use store::{Key, Read, Record, Table, Tx};

pub(crate) use self::walk::walk;
use crate::domain::{Content, Product, ProductId, category_and_above};

/// A table of places: shelf, place on it. A place ends with its product.
pub(crate) type Places<P> = Table<(Shelf, P), ()>;

/// shelf, product: the shelf in order of creation.
pub(crate) const BY_AGE: Places<ProductId> = Table::new("shelf_by_age");
/// shelf, price in minor units, product: the shelf in order of price.
pub(crate) const BY_PRICE: Places<(i64, ProductId)> = Table::new("shelf_by_price");
/// shelf, beginning of the title in lower case, product: in order of title.
pub(crate) const BY_TITLE: Places<(String, ProductId)> = Table::new("shelf_by_title");

/// A shelf's name: BLAKE2b-64 of what is on it. The words themselves may be longer
/// than a key, and every byte is written once a product and order.
pub(crate) type Shelf = [u8; 8];

/// How much of a title orders a list.
const TITLE_CHARS_SORTED: usize = 64;

/// What narrows a shelf.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Narrowed<'a> {
    /// Nothing: all of a status.
    No,
    /// A category and all below it.
    Category(&'a str),
    /// A brand.
    Brand(&'a str),
}

/// The shelf of a status, narrowed.
pub(crate) fn shelf(status: PublicationStatus, narrowed: Narrowed<'_>) -> Shelf {
    let status = match status {
        PublicationStatus::Draft => 0,
        PublicationStatus::Published => 1,
        PublicationStatus::Archived => 2,
    };
    let (kind, word) = match narrowed {
        Narrowed::No => (0, ""),
        Narrowed::Category(path) => (1, path),
        Narrowed::Brand(brand) => (2, brand),
    };
    Blake2b::<U8>::new()
        .chain_update([status, kind])
        .chain_update(word)
        .finalize()
        .into()
}

/// The shelves whose common places make the list of a category, a brand, or both.
pub(crate) fn list(
    status: PublicationStatus,
    category: Option<&str>,
    brand: Option<&str>,
) -> Vec<Shelf> {
    let narrowed = category.map(Narrowed::Category).into_iter();
    let mut narrowed: Vec<_> = narrowed.chain(brand.map(Narrowed::Brand)).collect();
    if narrowed.is_empty() {
        narrowed.push(Narrowed::No);
    }
    narrowed.into_iter().map(|by| shelf(status, by)).collect()
}

/// Everything that decides where a product stands on one shelf.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    shelf: Shelf,
    price: i64,
    title: String,
}

fn rows(content: &Content) -> BTreeSet<Row> {
    let categories = content
        .categories
        .iter()
        .flat_map(|path| category_and_above(path))
        .map(Narrowed::Category);
    let brand = Some(content.brand.as_str()).filter(|brand| !brand.is_empty());
    let title: String = content
        .title
        .to_lowercase()
        .chars()
        .take(TITLE_CHARS_SORTED)
        .collect();
    std::iter::once(Narrowed::No)
        .chain(categories)
        .chain(brand.map(Narrowed::Brand))
        .map(|narrowed| Row {
            shelf: shelf(content.status, narrowed),
            price: content.price.amount,
            title: title.clone(),
        })
        .collect()
}

/// Moves a product from where it stood to where it belongs; what stays is not
/// written again.
pub(crate) fn rearrange(
    tx: &mut Tx<'_>,
    id: ProductId,
    before: Option<&Product>,
    after: Option<&Product>,
) -> Result<(), store::Error> {
    let rows_of = |product: Option<&Product>| {
        product.map_or_else(BTreeSet::new, |product| rows(&product.content))
    };
    let (before, after) = (rows_of(before), rows_of(after));
    for Row { shelf, price, title } in before.difference(&after) {
        tx.delete(BY_AGE, &(*shelf, id))?;
        tx.delete(BY_PRICE, &(*shelf, (*price, id)))?;
        tx.delete(BY_TITLE, &(*shelf, (title.clone(), id)))?;
    }
    for Row { shelf, price, title } in after.difference(&before) {
        tx.put(BY_AGE, &(*shelf, id), &())?;
        tx.put(BY_PRICE, &(*shelf, (*price, id)), &())?;
        tx.put(BY_TITLE, &(*shelf, (title.clone(), id)), &())?;
    }
    Ok(())
}

/// On how many places in each order a product stands; `None` when one of them is
/// missing in some order.
pub(crate) fn standing(from: &impl Read, product: &Product) -> Result<Option<u64>, store::Error> {
    let (id, rows) = (product.id, rows(&product.content));
    let places = rows.len() as u64;
    for Row { shelf, price, title } in rows {
        if !from.contains(BY_AGE, &(shelf, id))?
            || !from.contains(BY_PRICE, &(shelf, (price, id)))?
            || !from.contains(BY_TITLE, &(shelf, (title, id)))?
        {
            return Ok(None);
        }
    }
    Ok(Some(places))
}

/// On how many places products stand in each order; orders that disagree count as
/// the fullest.
pub(crate) fn rows_in_all(from: &impl Read) -> Result<u64, store::Error> {
    let counts = [
        count(from, BY_AGE)?,
        count(from, BY_PRICE)?,
        count(from, BY_TITLE)?,
    ];
    Ok(counts.into_iter().max().unwrap_or(0))
}

/// How many rows a table has.
pub(crate) fn count<K: Key, V: Record>(
    from: &impl Read,
    table: Table<K, V>,
) -> Result<u64, store::Error> {
    let mut count = 0;
    for row in from.scan(table.all())? {
        row?;
        count += 1;
    }
    Ok(count)
}
