//! A product as it is shown: its JSON, made once and kept in the cache.
//!
//! **Invariant:** what everyone is shown of a product is the same bytes wherever it
//! is shown, alone, in a list or among what a search found.

use std::collections::BTreeMap;

use ::store::Store;
use chassis::etag::Tagged;
use model::{Money, PublicationStatus, Time};
use serde::Serialize;

use crate::cache::Cache;
use crate::domain::{Content, Level, Product, ProductId, Rating};
use crate::{Error, store};

/// What is shown of a product, and whether everyone may see it.
///
/// # Errors
/// [`Error::NotFound`].
pub(crate) fn shown(from: &Store, cache: &Cache, id: ProductId) -> Result<(Tagged, bool), Error> {
    let missed = match cache.find(id) {
        Ok(shown) => return Ok((shown, true)),
        Err(missed) => missed,
    };
    let (product, level) = store::product(from, id)?;
    let shown = Tagged::new(&ProductView::new(&product, level))?;
    let public = product.is_published();
    if public {
        cache.fill(missed, shown.clone());
    }
    Ok((shown, public))
}

/// A product as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct ProductView<'a> {
    id: ProductId,
    sku: &'a str,
    title: &'a str,
    description: &'a str,
    brand: &'a str,
    categories: &'a [String],
    price: Money,
    attributes: &'a BTreeMap<String, String>,
    images: &'a [String],
    status: PublicationStatus,
    available: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    rating: Option<Rating>,
    created_at: Time,
    updated_at: Time,
}

impl<'a> ProductView<'a> {
    pub(crate) fn new(product: &'a Product, level: Level) -> Self {
        let Content {
            sku,
            title,
            description,
            brand,
            categories,
            price,
            attributes,
            images,
            status,
            rating,
        } = &product.content;
        Self {
            id: product.id,
            sku,
            title,
            description,
            brand,
            categories,
            price: *price,
            attributes,
            images,
            status: *status,
            available: level.available() > 0,
            rating: *rating,
            created_at: product.created_at,
            updated_at: product.updated_at,
        }
    }
}
