//! The shelves a product stands on: for each list a client can ask for, and each
//! order it can ask for it in, one row.
//!
//! A shelf is a status with, maybe, a category and a brand; rows are kept in the
//! transaction that changes the product, so a page of a list is one short scan
//! however large the catalogue. The road not taken: sorting at reading time,
//! which reads a whole category to show twenty of it.
//!
//! **Invariant:** a product's rows are exactly those [`rows`] names for it.

use std::collections::BTreeSet;

use blake2::digest::consts::U16;
use blake2::{Blake2b, Digest};
use mesh::PublicationStatus;
use store::{Key, Read, Record, Table, Tx};

use crate::domain::{Content, Product, ProductId, category_and_above};

/// shelf, product: the shelf in order of creation.
pub(crate) const BY_AGE: Table<(Shelf, ProductId), ()> = Table::new("shelf_by_age");
/// shelf, price in minor units, product: the shelf in order of price.
pub(crate) const BY_PRICE: Table<(Shelf, i64, ProductId), ()> = Table::new("shelf_by_price");
/// shelf, beginning of the title in lower case, product: in order of title.
pub(crate) const BY_TITLE: Table<(Shelf, String, ProductId), ()> = Table::new("shelf_by_title");

/// A shelf's name: BLAKE2b-128 of what is on it, since the words themselves may
/// be longer than a key.
pub(crate) type Shelf = [u8; 16];

/// How much of a title orders a list.
const TITLE_CHARS_SORTED: usize = 64;

/// The shelf of a status, narrowed to a category (and all below it) and a brand.
pub(crate) fn shelf(
    status: PublicationStatus,
    category: Option<&str>,
    brand: Option<&str>,
) -> Shelf {
    let status = match status {
        PublicationStatus::Draft => 0,
        PublicationStatus::Published => 1,
        PublicationStatus::Archived => 2,
    };
    let mut name = Blake2b::<U16>::new().chain_update([status]);
    for narrowed in [category, brand] {
        // The length tells an absent word from an empty one, and two words from one.
        let length = narrowed.map_or(u64::MAX, |text| text.len() as u64);
        name.update(length.to_be_bytes());
        name.update(narrowed.unwrap_or_default());
    }
    name.finalize().into()
}

/// Everything that decides where a product stands.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    shelf: Shelf,
    price: i64,
    title: String,
}

fn rows(content: &Content) -> BTreeSet<Row> {
    let paths: BTreeSet<&str> = content
        .categories
        .iter()
        .flat_map(|path| category_and_above(path))
        .collect();
    let categories = std::iter::once(None).chain(paths.into_iter().map(Some));
    let brand = Some(content.brand.as_str()).filter(|brand| !brand.is_empty());
    let brands: BTreeSet<Option<&str>> = [None, brand].into();
    let title: String = content
        .title
        .to_lowercase()
        .chars()
        .take(TITLE_CHARS_SORTED)
        .collect();
    categories
        .flat_map(|category| brands.iter().map(move |brand| (category, *brand)))
        .map(|(category, brand)| Row {
            shelf: shelf(content.status, category, brand),
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
        tx.delete(BY_PRICE, &(*shelf, *price, id))?;
        tx.delete(BY_TITLE, &(*shelf, title.clone(), id))?;
    }
    for Row { shelf, price, title } in after.difference(&before) {
        tx.put(BY_AGE, &(*shelf, id), &())?;
        tx.put(BY_PRICE, &(*shelf, *price, id), &())?;
        tx.put(BY_TITLE, &(*shelf, title.clone(), id), &())?;
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
            || !from.contains(BY_PRICE, &(shelf, price, id))?
            || !from.contains(BY_TITLE, &(shelf, title, id))?
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
