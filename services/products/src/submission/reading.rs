//! Reading a product's fields one by one, collecting what is wrong with each.
//!
//! **Invariant:** a field at fault reads as if it were absent and is remembered,
//! so the reader always goes on to the next one.

use std::collections::BTreeMap;

use chassis::FieldError;
use chassis::json::{ParseError, parse_fields};
use model::{Currency, Money};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::SubmissionFault;
use crate::domain::{CATEGORY_SEPARATOR, PIECES_MAX, Rating};

const SKU_CHARS_MAX: usize = 64;
const TITLE_CHARS_MAX: usize = 300;
const DESCRIPTION_CHARS_MAX: usize = 8_000;
const BRAND_CHARS_MAX: usize = 200;
const CATEGORIES_MAX: usize = 20;
const CATEGORY_CHARS_MAX: usize = 200;
/// Every step has its own rows in the lists, so a path cannot be all steps.
const CATEGORY_STEPS_MAX: usize = 10;
const ATTRIBUTES_MAX: usize = 256;
const ATTRIBUTE_NAME_CHARS_MAX: usize = 128;
const ATTRIBUTE_VALUE_CHARS_MAX: usize = 8_000;
const IMAGES_MAX: usize = 20;
const IMAGE_CHARS_MAX: usize = 500;
/// Minor units.
const PRICE_MAX: i64 = 1_000_000_000_000;
/// Faults named of one product; there is no use in more.
const FAULTS_MAX: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceFields<'a> {
    #[serde(borrow)]
    amount: Option<&'a RawValue>,
    currency: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RatingFields<'a> {
    #[serde(borrow)]
    average: Option<&'a RawValue>,
    count: Option<&'a RawValue>,
}

/// The faults found so far.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) faults: Vec<FieldError>,
}

impl Reading {
    fn fault(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(FieldError::new(pointer, detail));
        }
    }

    /// A value of a type; one of another type is a fault and reads as absent.
    pub(super) fn value<'a, T: Deserialize<'a>>(
        &mut self,
        pointer: &str,
        raw: Option<&'a RawValue>,
    ) -> Result<Option<T>, SubmissionFault> {
        let Some(raw) = raw else { return Ok(None) };
        match parse_fields(raw.get().as_bytes()) {
            Ok(value) => Ok(Some(value)),
            Err(ParseError::Field(error)) => {
                self.fault(format!("{pointer}{}", error.pointer), error.detail);
                Ok(None)
            }
            Err(ParseError::Unreadable(why)) => {
                Err(SubmissionFault::Unreadable(format!("{pointer}: {why}")))
            }
        }
    }

    /// A text of at most `chars_max` characters; `None` when absent or at fault.
    fn text(
        &mut self,
        pointer: &str,
        raw: Option<&RawValue>,
        chars_max: usize,
    ) -> Result<Option<String>, SubmissionFault> {
        let text: Option<String> = self.value(pointer, raw)?;
        let chars = text.as_ref().map_or(0, |text| text.chars().count());
        if chars > chars_max {
            self.fault(
                pointer,
                format!("has {chars} characters; at most {chars_max} are kept"),
            );
            return Ok(None);
        }
        Ok(text)
    }

    fn required(&mut self, pointer: &str, raw: Option<&RawValue>) -> bool {
        if raw.is_none() {
            self.fault(pointer, "is required");
        }
        raw.is_some()
    }

    pub(super) fn sku(&mut self, raw: Option<&RawValue>) -> Result<String, SubmissionFault> {
        let pointer = "/sku";
        self.required(pointer, raw);
        let Some(sku) = self.text(pointer, raw, SKU_CHARS_MAX)? else {
            return Ok(String::new());
        };
        if sku.is_empty() || sku.contains(char::is_control) {
            self.fault(
                pointer,
                "must be 1..64 characters, without control characters",
            );
        }
        Ok(sku)
    }

    pub(super) fn title(&mut self, raw: Option<&RawValue>) -> Result<String, SubmissionFault> {
        let pointer = "/title";
        self.required(pointer, raw);
        let Some(title) = self.text(pointer, raw, TITLE_CHARS_MAX)? else {
            return Ok(String::new());
        };
        if title.trim().is_empty() {
            self.fault(pointer, "must not be empty");
        }
        Ok(title)
    }

    pub(super) fn description(
        &mut self,
        raw: Option<&RawValue>,
    ) -> Result<Option<String>, SubmissionFault> {
        self.text("/description", raw, DESCRIPTION_CHARS_MAX)
    }

    pub(super) fn brand(
        &mut self,
        raw: Option<&RawValue>,
    ) -> Result<Option<String>, SubmissionFault> {
        self.text("/brand", raw, BRAND_CHARS_MAX)
    }

    pub(super) fn price(
        &mut self,
        raw: Option<&RawValue>,
    ) -> Result<Option<Money>, SubmissionFault> {
        if !self.required("/price", raw) {
            return Ok(None);
        }
        let Some(PriceFields { amount, currency }) = self.value("/price", raw)? else {
            return Ok(None);
        };
        self.required("/price/amount", amount);
        self.required("/price/currency", currency);
        let amount: Option<i64> = self.value("/price/amount", amount)?;
        if amount.is_some_and(|amount| !(0..=PRICE_MAX).contains(&amount)) {
            self.fault(
                "/price/amount",
                format!("must be 0..{PRICE_MAX}, in minor units of the currency"),
            );
        }
        let currency: Option<Currency> = self.value("/price/currency", currency)?;
        Ok(amount
            .zip(currency)
            .map(|(amount, currency)| Money { amount, currency }))
    }

    /// The steps of each path are trimmed, so that a category has one spelling.
    pub(super) fn categories(
        &mut self,
        raw: Option<&RawValue>,
    ) -> Result<Vec<String>, SubmissionFault> {
        let mut categories: Vec<String> = Vec::new();
        for (pointer, raw) in self.list("/categories", raw, CATEGORIES_MAX)? {
            let Some(path) = self.text(&pointer, Some(raw), CATEGORY_CHARS_MAX)? else {
                continue;
            };
            let steps: Vec<&str> = path.split('>').map(str::trim).collect();
            if steps.iter().any(|step| step.is_empty()) || steps.len() > CATEGORY_STEPS_MAX {
                self.fault(
                    pointer,
                    format!("must be 1..{CATEGORY_STEPS_MAX} names separated by ` > `, such as `Home > Lighting`"),
                );
            }
            let path = steps.join(CATEGORY_SEPARATOR);
            if !categories.contains(&path) {
                categories.push(path);
            }
        }
        Ok(categories)
    }

    pub(super) fn images(
        &mut self,
        raw: Option<&RawValue>,
    ) -> Result<Vec<String>, SubmissionFault> {
        let mut images = Vec::new();
        for (pointer, raw) in self.list("/images", raw, IMAGES_MAX)? {
            let Some(image) = self.text(&pointer, Some(raw), IMAGE_CHARS_MAX)? else {
                continue;
            };
            let address = ["https://", "http://", "/"]
                .iter()
                .any(|start| image.starts_with(start));
            if !address || image.contains(|c: char| c.is_whitespace() || c.is_control()) {
                self.fault(
                    pointer,
                    "must be an address that begins with https://, http:// or /",
                );
            }
            images.push(image);
        }
        Ok(images)
    }

    /// An array's values, each with its pointer.
    fn list<'a>(
        &mut self,
        pointer: &str,
        raw: Option<&'a RawValue>,
        items_max: usize,
    ) -> Result<Vec<(String, &'a RawValue)>, SubmissionFault> {
        let items: Vec<&'a RawValue> = self.value(pointer, raw)?.unwrap_or_default();
        if items.len() > items_max {
            self.fault(
                pointer,
                format!("has {} entries; at most {items_max} are kept", items.len()),
            );
        }
        let named = |(place, raw)| (format!("{pointer}/{place}"), raw);
        Ok(items
            .into_iter()
            .take(items_max)
            .enumerate()
            .map(named)
            .collect())
    }

    pub(super) fn attributes(
        &mut self,
        raw: Option<&RawValue>,
    ) -> Result<BTreeMap<String, String>, SubmissionFault> {
        let pointer = "/attributes";
        // Most products have many and nothing is wrong with any.
        let texts = raw.and_then(|raw| serde_json::from_str(raw.get()).ok());
        if let Some(texts) = texts.filter(attributes_are_fine) {
            return Ok(texts);
        }
        let raw: BTreeMap<String, &RawValue> = self.value(pointer, raw)?.unwrap_or_default();
        if raw.len() > ATTRIBUTES_MAX {
            self.fault(
                pointer,
                format!(
                    "has {} entries; at most {ATTRIBUTES_MAX} are kept",
                    raw.len()
                ),
            );
        }
        let mut attributes = BTreeMap::new();
        for (name, raw) in raw.into_iter().take(ATTRIBUTES_MAX) {
            if !attribute_name_is_fine(&name) {
                let chars = name.chars().count();
                // The name itself may be as long as the body, so it is not repeated.
                self.fault(
                    pointer,
                    format!("has a name of {chars} characters; a name has 1..{ATTRIBUTE_NAME_CHARS_MAX} and no control characters"),
                );
                continue;
            }
            let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
            if let Some(value) = self.text(&pointer, Some(raw), ATTRIBUTE_VALUE_CHARS_MAX)? {
                attributes.insert(name, value);
            }
        }
        Ok(attributes)
    }

    pub(super) fn rating(
        &mut self,
        raw: Option<&RawValue>,
    ) -> Result<Option<Rating>, SubmissionFault> {
        let Some(RatingFields { average, count }) = self.value("/rating", raw)? else {
            return Ok(None);
        };
        self.required("/rating/average", average);
        self.required("/rating/count", count);
        let average = self.value("/rating/average", average)?;
        let count = self.value("/rating/count", count)?;
        let rating = average.zip(count);
        Ok(rating.map(|(average, count)| Rating { average, count }))
    }

    pub(super) fn stock(&mut self, raw: Option<&RawValue>) -> Result<Option<i64>, SubmissionFault> {
        let stock: Option<i64> = self.value("/stock", raw)?;
        if stock.is_some_and(|stock| !(0..=PIECES_MAX).contains(&stock)) {
            self.fault("/stock", format!("must be 0..{PIECES_MAX} pieces"));
        }
        Ok(stock)
    }
}

fn attributes_are_fine(attributes: &BTreeMap<String, String>) -> bool {
    attributes.len() <= ATTRIBUTES_MAX
        && attributes.iter().all(|(name, value)| {
            attribute_name_is_fine(name) && value.chars().count() <= ATTRIBUTE_VALUE_CHARS_MAX
        })
}

fn attribute_name_is_fine(name: &str) -> bool {
    (1..=ATTRIBUTE_NAME_CHARS_MAX).contains(&name.chars().count())
        && !name.contains(char::is_control)
}
