//! Promotions.
//!
//! | table | key → value |
//! | --- | --- |
//! | `promotions_by_code` | code as it is compared → the promotion |
//! | `promotions_automatic` | each promotion without a code |
//!
//! **Invariant:** a code is of one promotion, compared without case.

use chassis::fields::{Fields, ReadFields};
use model::{Money, ProductId, PromotionId, Time, kinds};
use pricing::{CATEGORY_SEPARATOR, code_key};
use serde::{Deserialize, Serialize};
use store::{Read, Table, Tx};

use super::reading;
use super::term::{Term, TermId, TermRow};
use super::uses;
use crate::Error;

pub(super) const BY_CODE: Table<String, PromotionId> = Table::new("promotions_by_code");
pub(super) const AUTOMATIC: Table<PromotionId, ()> = Table::new("promotions_automatic");

/// Promotions of a shop: a personal code for each of some thousand buyers. Pricing reads those
/// of a basket's codes.
const PROMOTIONS_MAX: u64 = 10_000;
/// Promotions without a code, which are all read and tried at every price of a basket.
const AUTOMATIC_MAX: usize = 100;
pub(super) const CODE_CHARS_MAX: usize = 50;
const CATEGORIES_MAX: usize = 50;
const CATEGORY_CHARS_MAX: usize = 200;
const PRODUCTS_MAX: usize = 500;
/// Basis points: 100 %.
const PERCENT_BP_MAX: u32 = 10_000;
const USES_MAX: u32 = 1_000_000_000;

/// A promotion as it is stored and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PromotionContent {
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<String>,
    pub(super) kind: PromotionKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<PromotionValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) minimum: Option<Money>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) categories: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) product_ids: Vec<ProductId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) uses_max: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) uses_max_per_buyer: Option<u32>,
    pub(super) combinable: bool,
    pub(super) active: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PromotionKind {
    Percent,
    Amount,
    FreeShipping,
}

/// Basis points of a percentage, or an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum PromotionValue {
    Percent(u32),
    Amount(Money),
}

impl Term for PromotionContent {
    fn uses(from: &impl Read, id: PromotionId) -> Result<Option<u64>, store::Error> {
        uses::uses(from, id).map(Some)
    }

    type Kind = kinds::Promotion;
    const TABLE: Table<PromotionId, TermRow<Self>> = Table::new("promotions");
    const NOUN: &'static str = "promotions";
    const PATH: &'static str = "/v1/promotions";
    const ROWS_MAX: u64 = PROMOTIONS_MAX;
    const READ_ONLY: &'static [&'static str] = &["id", "uses", "created_at", "updated_at"];

    fn is_public(&self) -> bool {
        false
    }

    fn index(&self, tx: &mut Tx<'_>, id: TermId<Self>) -> Result<(), Error> {
        let Some(code) = &self.code else {
            if tx.scan(AUTOMATIC.all())?.take(AUTOMATIC_MAX).count() == AUTOMATIC_MAX {
                let (noun, most) = ("promotions without a code", AUTOMATIC_MAX as u64);
                return Err(Error::TooManyTerms { noun, most });
            }
            return Ok(tx.put(AUTOMATIC, &id, &())?);
        };
        let key = code_key(code);
        if let Some(other) = tx.get(BY_CODE, &key)? {
            return Err(Error::CodeTaken(other));
        }
        Ok(tx.put(BY_CODE, &key, &id)?)
    }

    fn unindex(&self, tx: &mut Tx<'_>, id: TermId<Self>) -> Result<(), store::Error> {
        match &self.code {
            Some(code) => tx.delete(BY_CODE, &code_key(code)),
            None => tx.delete(AUTOMATIC, &id),
        }
    }

    fn index_rows(&self, from: &impl Read, id: TermId<Self>) -> Result<u64, store::Error> {
        let is_indexed = match &self.code {
            Some(code) => from.get(BY_CODE, &code_key(code))? == Some(id),
            None => from.contains(AUTOMATIC, &id)?,
        };
        Ok(is_indexed.into())
    }
}

impl ReadFields for PromotionContent {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let name = reading::name(fields);
        let code = fields.optional("code", code);
        let kind = fields.required_value("kind");
        let value = match kind {
            Some(kind) => value(fields, kind),
            // Without a kind there is no telling what it should be.
            None => fields.raw("value").and(None),
        };
        let minimum = reading::price(fields, "minimum");
        if let (Some(PromotionValue::Amount(amount)), Some(minimum)) = (value, minimum)
            && amount.currency != minimum.currency
        {
            let why = format!("must be {}, as that of `value`", amount.currency);
            fields.fault("/minimum/currency", why);
        }
        let categories = reading::texts(fields, "categories", CATEGORIES_MAX, category);
        let product_id = |text: &str| {
            text.parse()
                .map_err(|_| "must be the id of a product".into())
        };
        let product_ids = reading::texts(fields, "product_ids", PRODUCTS_MAX, product_id);
        let from: Option<Time> = fields.value("from");
        let until: Option<Time> = fields.value("until");
        if from.zip(until).is_some_and(|(from, until)| from >= until) {
            fields.fault("/until", "must be after `from`");
        }
        let uses_max = reading::number(fields, "uses_max", 1, USES_MAX);
        let uses_max_per_buyer = reading::number(fields, "uses_max_per_buyer", 1, USES_MAX);
        let combinable = fields.value("combinable").unwrap_or(false);
        let active = fields.value("active").unwrap_or(true);
        Some(Self {
            name: name?,
            code,
            kind: kind?,
            value,
            minimum,
            categories,
            product_ids,
            from,
            until,
            uses_max,
            uses_max_per_buyer,
            combinable,
            active,
        })
    }
}

/// Basis points for a percentage, Money for an amount, nothing for free shipping.
fn value(fields: &mut Fields<'_>, kind: PromotionKind) -> Option<PromotionValue> {
    match kind {
        PromotionKind::FreeShipping => {
            if fields.raw("value").is_some() {
                fields.fault("/value", "is not for free shipping; leave it out");
            }
            None
        }
        PromotionKind::Percent => {
            fields.require("value");
            let bp = reading::number(fields, "value", 1, PERCENT_BP_MAX);
            bp.map(PromotionValue::Percent)
        }
        PromotionKind::Amount => {
            fields.require("value");
            let amount = reading::price(fields, "value")?;
            if amount.amount == 0 {
                fields.fault("/value/amount", "must be at least 1 minor unit");
            }
            Some(PromotionValue::Amount(amount))
        }
    }
}

/// A code that people can read off and type.
fn code(text: &str) -> Result<String, String> {
    let code = reading::text::<CODE_CHARS_MAX>(text)?;
    match model::is_visible_throughout(&code) {
        true => Ok(code),
        false => Err("must have visible characters only".into()),
    }
}

/// A category path, written as products' are.
fn category(text: &str) -> Result<String, String> {
    let path = reading::text::<CATEGORY_CHARS_MAX>(text)?;
    let steps: Vec<&str> = path.split('>').map(str::trim).collect();
    match steps.iter().any(|step| step.is_empty()) {
        true => Err("must be names separated by ` > `, such as `Home > Lighting`".into()),
        false => Ok(steps.join(CATEGORY_SEPARATOR)),
    }
}

/// The number of rows of both indexes.
pub(super) fn index_rows(from: &impl Read) -> Result<u64, store::Error> {
    let codes: u64 = from
        .scan(BY_CODE.all())?
        .map(|row| row.map(|_| 1))
        .sum::<Result<_, _>>()?;
    let automatic: u64 = from
        .scan(AUTOMATIC.all())?
        .map(|row| row.map(|_| 1))
        .sum::<Result<_, _>>()?;
    Ok(codes + automatic)
}
