//! The tables of products, and the reads that several modules share.
//!
//! | table | key → value |
//! | --- | --- |
//! | `products` | product → the product, without its stock |
//! | `skus` | SKU → product |
//! | `categories` | path → the number of published products in it and below it |
//! | `stock` | product → its level |
//! | `stock_movements` | product, number → a movement, the last hundred except the first of all, which is the product's opening |
//! | `reservations` | order → its reservation, until it is released or shipped |
//! | `shelf_by_age`, `…_price`, `…_title_2` | see `indexes` |
//!
//! **Invariant:** table names and record field names are a stored format; they stay.

mod rows;

use std::collections::BTreeSet;

use ::store::{Read, Table};
use model::{OrderId, ProductId};

use crate::domain::{Movement, Product, Reservation, StockLevel, category_and_above};
use crate::{Error, indexes};

pub(crate) use self::rows::ProductRow;

pub(crate) const PRODUCTS: Table<ProductId, Product> = Table::new("products");
/// The same table, to show products.
const SHOWN: Table<ProductId, ProductRow> = Table::new("products");
pub(crate) const SKUS: Table<String, ProductId> = Table::new("skus");
pub(crate) const CATEGORIES: Table<String, u64> = Table::new("categories");
pub(crate) const STOCK: Table<ProductId, StockLevel> = Table::new("stock");
pub(crate) const MOVEMENTS: Table<(ProductId, u64), Movement> = Table::new("stock_movements");
pub(crate) const RESERVATIONS: Table<OrderId, Reservation> = Table::new("reservations");

/// A product with its level; [`Error::NotFound`] when there is none.
pub(crate) fn product(from: &impl Read, id: ProductId) -> Result<(Product, StockLevel), Error> {
    let product = from.get(PRODUCTS, &id)?.ok_or(Error::NotFound)?;
    Ok((product, level(from, id)?.unwrap_or_default()))
}

/// A product's row with its level; [`Error::NotFound`] when there is none.
pub(crate) fn product_row(
    from: &impl Read,
    id: ProductId,
) -> Result<(ProductRow, StockLevel), Error> {
    let row = from.get(SHOWN, &id)?.ok_or(Error::NotFound)?;
    Ok((row, level(from, id)?.unwrap_or_default()))
}

/// A product's stock level; `None` for a product that is gone.
pub(crate) fn level(from: &impl Read, id: ProductId) -> Result<Option<StockLevel>, store::Error> {
    from.get(STOCK, &id)
}

/// The product of a SKU.
pub(crate) fn id_of_sku(from: &impl Read, sku: &str) -> Result<Option<ProductId>, store::Error> {
    from.get(SKUS, &sku.to_owned())
}

/// The number of SKUs in use.
pub(crate) fn skus(from: &impl Read) -> Result<u64, store::Error> {
    indexes::count(from, SKUS)
}

/// Every category path with published products, and their number.
pub(crate) fn categories(from: &impl Read) -> Result<Vec<(String, u64)>, store::Error> {
    from.scan(CATEGORIES.all())?.collect()
}

/// The category paths in which a product counts.
pub(crate) fn published_paths(product: Option<&Product>) -> BTreeSet<&str> {
    product
        .filter(|product| product.is_published())
        .into_iter()
        .flat_map(|product| &product.content.categories)
        .flat_map(|path| category_and_above(path))
        .collect()
}
