//! The present state of the catalogue, which new followers take when the beginning of the log
//! was trimmed: the listing of each product, as if it were created now.
//!
//! Stock levels are not in it, because no other service keeps them. Nor are the outcomes of orders, which
//! a service that is new never asked for.

use ::store::{Error as StoreError, Key, Read, Store};
use mesh::StatePage;
use model::Fact;

use crate::domain::ProductId;
use crate::tables::PRODUCTS;

/// The products of a page; a listing has a few hundred bytes.
const PAGE_PRODUCTS: usize = 256;

/// The page after the product at `place`.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn page(store: &Store, place: Option<&[u8]>) -> Result<StatePage, StoreError> {
    let unreadable = || StoreError::Corrupt {
        table: "products",
        why: "a place of the state is no product's id".into(),
    };
    let span = match place {
        Some(place) => PRODUCTS
            .all()
            .after(&ProductId::decode(place).ok_or_else(unreadable)?),
        None => PRODUCTS.all(),
    };
    let mut page = StatePage::default();
    for row in store.scan(span)?.take(PAGE_PRODUCTS) {
        let (id, product) = row?;
        page.next = Some(id.encode());
        page.facts
            .push((id.to_string(), Fact::ProductCreated(product.listing())));
    }
    if page.facts.len() < PAGE_PRODUCTS {
        page.next = None;
    }
    Ok(page)
}
