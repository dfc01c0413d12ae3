//! Request and response bodies. Serde only.
//!
//! **Invariant:** a public product is sent in the same bytes wherever it is sent: alone,
//! in a list, or in a search's hits.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ::search::FacetValue;
use model::{ProductId, Time};
use serde::{Deserialize, Serialize};

use crate::domain::{Content, Movement, Product, StockLevel};

/// A product. [`ProductRow`](crate::tables::ProductRow) makes the same bytes of a row.
#[derive(Debug, Serialize)]
pub(crate) struct ProductResponse<'a> {
    id: ProductId,
    #[serde(flatten)]
    content: &'a Content,
    available: bool,
    created_at: Time,
    updated_at: Time,
}

impl<'a> ProductResponse<'a> {
    pub(crate) fn new(product: &'a Product, level: StockLevel) -> Self {
        Self {
            id: product.id,
            content: &product.content,
            available: level.is_available(),
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
#[derive(Debug, Default)]
pub(crate) struct HighlightedTexts<'a> {
    pub(crate) title: Cow<'a, str>,
    pub(crate) description: Cow<'a, str>,
    pub(crate) brand: Cow<'a, str>,
}

impl<'a> HighlightedTexts<'a> {
    /// Reads them from a product's response. They are its first members after other texts, so
    /// that the rest, which is most of it, is not read.
    pub(crate) fn read(response: &'a [u8]) -> Result<Self, serde_json::Error> {
        let (mut texts, mut rest) = (Self::default(), response);
        loop {
            let name = next_text(&mut rest)?;
            let text = next_text(&mut rest)?;
            match &*name {
                "title" => texts.title = text,
                "description" => texts.description = text,
                "brand" => {
                    texts.brand = text;
                    return Ok(texts);
                }
                _ => {}
            }
        }
    }
}

/// The text behind the next mark: a brace, a comma or a colon.
fn next_text<'a>(json: &mut &'a [u8]) -> Result<Cow<'a, str>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    let begun = json.get(1..).unwrap_or_default();
    let mut texts = serde_json::Deserializer::from_slice(begun).into_iter::<Text<'a>>();
    match texts.next() {
        Some(text) => {
            let text = text?.0;
            *json = &begun[texts.byte_offset()..];
            Ok(text)
        }
        None => Err(serde::de::Error::custom("a text is missing")),
    }
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
