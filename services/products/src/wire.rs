//! Request and response bodies. Serde only.
//!
//! **Invariant:** a public product is sent in the same bytes wherever it is sent: alone,
//! in a list, or in a search's hits.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ::search::FacetValue;
use model::{Money, ProductId, PublicationStatus, Time};
use serde::{Deserialize, Serialize};

use crate::domain::{Content, Movement, Product, Rating, StockLevel, StockPolicy};

/// A product.
#[derive(Debug, Serialize)]
pub(crate) struct ProductResponse<'a> {
    id: ProductId,
    sku: &'a str,
    title: &'a str,
    description: &'a str,
    brand: &'a str,
    categories: &'a [String],
    tags: &'a [String],
    price: Money,
    attributes: &'a BTreeMap<String, String>,
    images: &'a [String],
    status: PublicationStatus,
    stock_policy: StockPolicy,
    available: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    rating: Option<Rating>,
    created_at: Time,
    updated_at: Time,
}

impl<'a> ProductResponse<'a> {
    pub(crate) fn new(product: &'a Product, level: StockLevel) -> Self {
        let Content {
            sku,
            title,
            description,
            brand,
            categories,
            tags,
            price,
            attributes,
            images,
            status,
            stock_policy,
            rating,
        } = &product.content;
        Self {
            id: product.id,
            sku,
            title,
            description,
            brand,
            categories,
            tags,
            price: *price,
            attributes,
            images,
            status: *status,
            stock_policy: *stock_policy,
            available: level.is_available(),
            rating: *rating,
            created_at: product.created_at,
            updated_at: product.updated_at,
        }
    }
}

/// The body of a stock adjustment; both members are required.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StockAdjustment {
    pub(crate) delta: Option<i64>,
    pub(crate) reason: Option<String>,
}

/// The body that sets a stock level; both members are required.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StockSetting {
    pub(crate) on_hand: Option<i64>,
    pub(crate) reason: Option<String>,
}

/// A stock level.
#[derive(Serialize)]
pub(crate) struct StockLevelResponse {
    on_hand: i64,
    reserved: i64,
    available: i64,
}

impl From<StockLevel> for StockLevelResponse {
    fn from(level: StockLevel) -> Self {
        Self {
            on_hand: level.on_hand,
            reserved: level.reserved,
            available: level.available(),
        }
    }
}

/// A stock level with its last movements.
#[derive(Serialize)]
pub(crate) struct StockResponse {
    #[serde(flatten)]
    pub(crate) level: StockLevelResponse,
    pub(crate) movements: Vec<MovementResponse>,
}

/// A stock movement.
#[derive(Serialize)]
pub(crate) struct MovementResponse {
    at: Time,
    delta: i64,
    on_hand: i64,
    reason: String,
    by: Option<String>,
}

impl From<Movement> for MovementResponse {
    fn from(movement: Movement) -> Self {
        let Movement { at, delta, on_hand, reason, by } = movement;
        Self { at, delta, on_hand, reason, by }
    }
}

/// The members of a search's response beside its items.
#[derive(Serialize)]
pub(crate) struct SearchSummary<'a> {
    pub(crate) total: usize,
    pub(crate) facets: &'a BTreeMap<String, Vec<FacetValue>>,
    pub(crate) took_us: u128,
    pub(crate) corrected: Option<&'a str>,
}

/// The members that a search adds to a product.
#[derive(Serialize)]
pub(crate) struct SearchItem {
    pub(crate) score: f32,
    pub(crate) highlights: BTreeMap<&'static str, String>,
}

/// The texts of a product's response that are highlighted.
#[derive(Deserialize)]
pub(crate) struct HighlightedTexts<'a> {
    #[serde(borrow)]
    pub(crate) title: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) description: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) brand: Cow<'a, str>,
}

/// The parameters of a query completion.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SuggestQuery {
    #[serde(default)]
    pub(crate) q: String,
}

/// Query completions.
#[derive(Serialize)]
pub(crate) struct SuggestResponse {
    pub(crate) items: Vec<String>,
}
