//! Secondary indexes: for each list a client can request, and each order of it, one row.
//!
//! An index key is a status with, maybe, a category or a brand. Rows are written in
//! the transaction that changes the product, so a page of a list is one short scan
//! however large the catalogue. A category and a brand together have no key, which
//! would double the rows of every product: their list is the intersection of two keys
//! by a merge scan. The alternative, sorting at reading time, reads a whole category
//! to return twenty of it.
//!
//! **Invariant:** a product's rows are exactly those that [`rows_of_content`] returns for it.

mod merge_scan;

use std::collections::BTreeSet;

use blake2::digest::consts::U8;
use blake2::{Blake2b, Digest};
use model::PublicationStatus;
use store::{Key, Read, Record, Table, Tx};

pub(crate) use self::merge_scan::{Direction, merge_scan};
use crate::domain::{Content, Product, ProductId, category_and_above};

/// An index table: index key, position. A position ends with its product.
pub(crate) type IndexTable<P> = Table<(IndexKey, P), ()>;

/// In order of creation.
pub(crate) const BY_AGE: IndexTable<ProductId> = Table::new("shelf_by_age");
/// In order of price in minor units.
pub(crate) const BY_PRICE: IndexTable<(i64, ProductId)> = Table::new("shelf_by_price");

/// In order of title, by its sort key. Keys of another version of the collation do not compare
/// with these, so each version has a table of its own, see `title_order`.
pub(crate) const BY_TITLE: IndexTable<(Vec<u8>, ProductId)> = Table::new("shelf_by_title_2");

/// BLAKE2b-64 of a status, and a category or brand. The texts may be longer than a key,
/// and every byte is written once for each product and order.
pub(crate) type IndexKey = [u8; 8];

/// The condition of a list beside its status.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ListFilter<'a> {
    /// None: all of a status.
    All,
    /// A category and all below it.
    Category(&'a str),
    /// A brand.
    Brand(&'a str),
}

/// The index key of a list.
fn index_key(status: PublicationStatus, filter: ListFilter<'_>) -> IndexKey {
    let status = match status {
        PublicationStatus::Draft => 0,
        PublicationStatus::Published => 1,
        PublicationStatus::Archived => 2,
    };
    let (kind, text) = match filter {
        ListFilter::All => (0, ""),
        ListFilter::Category(path) => (1, path),
        ListFilter::Brand(brand) => (2, brand),
    };
    Blake2b::<U8>::new()
        .chain_update([status, kind])
        .chain_update(text)
        .finalize()
        .into()
}

/// The index keys whose intersection is the list of a category, a brand, or both.
pub(crate) fn list(
    status: PublicationStatus,
    category: Option<&str>,
    brand: Option<&str>,
) -> Vec<IndexKey> {
    let filters = category.map(ListFilter::Category).into_iter();
    let mut filters: Vec<_> = filters.chain(brand.map(ListFilter::Brand)).collect();
    if filters.is_empty() {
        filters.push(ListFilter::All);
    }
    let keys = filters.into_iter();
    keys.map(|filter| index_key(status, filter)).collect()
}

/// An index key of a product with its values in every order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct IndexRow {
    key: IndexKey,
    price: i64,
    /// Its sort key.
    title: Vec<u8>,
}

fn rows_of_content(content: &Content) -> BTreeSet<IndexRow> {
    let categories = content
        .categories
        .iter()
        .flat_map(|path| category_and_above(path))
        .map(ListFilter::Category);
    let brand = Some(content.brand.as_str()).filter(|brand| !brand.is_empty());
    let title = ::search::title_sort_key(&content.title);
    std::iter::once(ListFilter::All)
        .chain(categories)
        .chain(brand.map(ListFilter::Brand))
        .map(|filter| IndexRow {
            key: index_key(content.status, filter),
            price: content.price.amount,
            title: title.clone(),
        })
        .collect()
}

/// The products of a category and all below it, whatever their status; at most `count_max`
/// and one more.
pub(crate) fn in_category(
    from: &impl Read,
    path: &str,
    count_max: usize,
) -> Result<BTreeSet<ProductId>, store::Error> {
    use PublicationStatus::{Archived, Draft, Published};
    let mut products = BTreeSet::new();
    for status in [Draft, Published, Archived] {
        let key = index_key(status, ListFilter::Category(path));
        for row in from.scan(BY_AGE.prefix(&key))? {
            let ((_, id), ()) = row?;
            products.insert(id);
            if products.len() > count_max {
                return Ok(products);
            }
        }
    }
    Ok(products)
}

/// Replaces the rows of the version before; rows that both versions have are not
/// written again.
pub(crate) fn update(
    tx: &mut Tx<'_>,
    id: ProductId,
    before: Option<&Product>,
    after: Option<&Product>,
) -> Result<(), store::Error> {
    let rows = |product: Option<&Product>| {
        product.map_or_else(BTreeSet::new, |product| rows_of_content(&product.content))
    };
    let (before, after) = (rows(before), rows(after));
    for IndexRow { key, price, title } in before.difference(&after) {
        tx.delete(BY_AGE, &(*key, id))?;
        tx.delete(BY_PRICE, &(*key, (*price, id)))?;
        tx.delete(BY_TITLE, &(*key, (title.clone(), id)))?;
    }
    for IndexRow { key, price, title } in after.difference(&before) {
        tx.put(BY_AGE, &(*key, id), &())?;
        tx.put(BY_PRICE, &(*key, (*price, id)), &())?;
        tx.put(BY_TITLE, &(*key, (title.clone(), id)), &())?;
    }
    Ok(())
}

/// Writes a product's rows in order of title.
pub(crate) fn put_titles(tx: &mut Tx<'_>, product: &Product) -> Result<(), store::Error> {
    for IndexRow { key, title, .. } in rows_of_content(&product.content) {
        tx.put(BY_TITLE, &(key, (title, product.id)), &())?;
    }
    Ok(())
}

/// The number of a product's rows in each order; `None` when one is missing in some
/// order.
pub(crate) fn rows_of(from: &impl Read, product: &Product) -> Result<Option<u64>, store::Error> {
    let (id, rows) = (product.id, rows_of_content(&product.content));
    let count = rows.len() as u64;
    for IndexRow { key, price, title } in rows {
        if !from.contains(BY_AGE, &(key, id))?
            || !from.contains(BY_PRICE, &(key, (price, id)))?
            || !from.contains(BY_TITLE, &(key, (title, id)))?
        {
            return Ok(None);
        }
    }
    Ok(Some(count))
}

/// The number of rows in each order; where the orders disagree, the highest.
pub(crate) fn rows_in_all(from: &impl Read) -> Result<u64, store::Error> {
    let counts = [
        count(from, BY_AGE)?,
        count(from, BY_PRICE)?,
        count(from, BY_TITLE)?,
    ];
    Ok(counts.into_iter().max().unwrap_or(0))
}

/// The number of rows of a table.
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
