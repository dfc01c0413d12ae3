//! From a JSON text to a product's content, once, at the edge.
//!
//! **Invariant:** every field at fault is named, each by its JSON pointer
//! (RFC 6901), and what passes is within every limit of the contract, so a
//! stored product always fits a stored value.

use std::collections::BTreeMap;

use chassis::FieldError;
use chassis::json::{ParseError, parse_fields};
use mesh::{Currency, Money, PublicationStatus};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::domain::{CATEGORY_SEPARATOR, Content, PIECES_MAX};

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
/// Of its content as compact JSON. With the record's own few fields this stays
/// well below the 32 KiB of a stored value.
const PRODUCT_BYTES_MAX: usize = 24 * 1024;
/// Faults named of one product; there is no use in more.
const FAULTS_MAX: usize = 100;

/// What was sent: a product's content and, where it may be given, its stock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Submission {
    /// The product.
    pub(crate) content: Content,
    /// Pieces in the house, if the text said so.
    pub(crate) stock: Option<i64>,
}

/// Why a text is no product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is no JSON, or has a field nobody knows.
    Unreadable(String),
    /// It is understood but not valid; every field at fault.
    Invalid(Vec<FieldError>),
}

impl From<ParseError> for Fault {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::Unreadable(why) => Self::Unreadable(why),
            ParseError::Field(error) => Self::Invalid(vec![error]),
        }
    }
}

/// Every field may be absent here, so that all that are missing can be named.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    sku: Option<Box<RawValue>>,
    title: Option<Box<RawValue>>,
    description: Option<Box<RawValue>>,
    brand: Option<Box<RawValue>>,
    categories: Option<Box<RawValue>>,
    price: Option<Box<RawValue>>,
    attributes: Option<Box<RawValue>>,
    images: Option<Box<RawValue>>,
    status: Option<Box<RawValue>>,
    stock: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceFields {
    amount: Option<Box<RawValue>>,
    currency: Option<Box<RawValue>>,
}

/// Reads a whole product.
///
/// # Errors
/// See [`Fault`].
pub(crate) fn read(text: &[u8]) -> Result<Submission, Fault> {
    let fields: Fields = parse_fields(text)?;
    let mut reading = Reading::default();
    let sku = reading.sku(fields.sku)?;
    let title = reading.title(fields.title)?;
    let description = reading.text("/description", fields.description, DESCRIPTION_CHARS_MAX)?;
    let brand = reading.text("/brand", fields.brand, BRAND_CHARS_MAX)?;
    let categories = reading.categories(fields.categories)?;
    let price = reading.price(fields.price)?;
    let attributes = reading.attributes(fields.attributes)?;
    let images = reading.images(fields.images)?;
    let status = reading
        .value("/status", fields.status)?
        .unwrap_or(PublicationStatus::Draft);
    let stock = reading.stock(fields.stock)?;
    let (Some(price), []) = (price, reading.faults.as_slice()) else {
        return Err(Fault::Invalid(reading.faults));
    };
    let content = Content {
        sku,
        title,
        description: description.unwrap_or_default(),
        brand: brand.unwrap_or_default(),
        categories,
        price,
        attributes,
        images,
        status,
    };
    within_size(&content)?;
    Ok(Submission { content, stock })
}

/// Reads a merge patch (RFC 7396) of `current`.
///
/// # Errors
/// See [`Fault`].
pub(crate) fn read_patch(current: &Content, patch: &[u8]) -> Result<Submission, Fault> {
    // A field nobody knows is refused even where the patch would remove it.
    let _: Fields = parse_fields(patch)?;
    let patch: Value = parse_fields(patch)?;
    let mut merged = serde_json::to_value(current)
        .map_err(|error| Fault::Unreadable(format!("the present product: {error}")))?;
    merge(&mut merged, patch);
    read(merged.to_string().as_bytes())
}

/// The algorithm of RFC 7396 §2.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(changes) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(members) = target else {
        return;
    };
    for (name, change) in changes {
        if change.is_null() {
            members.remove(&name);
        } else {
            merge(members.entry(name).or_insert(Value::Null), change);
        }
    }
}

fn within_size(content: &Content) -> Result<(), Fault> {
    let bytes = serde_json::to_vec(content)
        .map_err(|error| Fault::Unreadable(error.to_string()))?
        .len();
    if bytes <= PRODUCT_BYTES_MAX {
        return Ok(());
    }
    let detail = format!(
        "the whole product has {bytes} bytes as JSON; at most {PRODUCT_BYTES_MAX} are kept"
    );
    Err(Fault::Invalid(vec![FieldError::new("", detail)]))
}

/// The faults found so far.
#[derive(Default)]
struct Reading {
    faults: Vec<FieldError>,
}

impl Reading {
    fn fault(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(FieldError::new(pointer, detail));
        }
    }

    /// A value of a type; one of another type is a fault and reads as absent.
    fn value<T: DeserializeOwned>(
        &mut self,
        pointer: &str,
        raw: Option<Box<RawValue>>,
    ) -> Result<Option<T>, Fault> {
        let Some(raw) = raw else { return Ok(None) };
        match parse_fields(raw.get().as_bytes()) {
            Ok(value) => Ok(Some(value)),
            Err(ParseError::Field(error)) => {
                self.fault(format!("{pointer}{}", error.pointer), error.detail);
                Ok(None)
            }
            Err(ParseError::Unreadable(why)) => Err(Fault::Unreadable(format!("{pointer}: {why}"))),
        }
    }

    /// A text of at most `chars_max` characters; `None` when absent or at fault.
    fn text(
        &mut self,
        pointer: &str,
        raw: Option<Box<RawValue>>,
        chars_max: usize,
    ) -> Result<Option<String>, Fault> {
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

    fn sku(&mut self, raw: Option<Box<RawValue>>) -> Result<String, Fault> {
        let pointer = "/sku";
        self.required(pointer, raw.as_deref());
        let Some(sku) = self.text(pointer, raw, SKU_CHARS_MAX)? else {
            return Ok(String::new());
        };
        if sku.is_empty() || sku.trim() != sku || sku.contains(char::is_control) {
            self.fault(
                pointer,
                "must be 1..64 characters, without spaces around them and without control characters",
            );
        }
        Ok(sku)
    }

    fn title(&mut self, raw: Option<Box<RawValue>>) -> Result<String, Fault> {
        let pointer = "/title";
        self.required(pointer, raw.as_deref());
        let Some(title) = self.text(pointer, raw, TITLE_CHARS_MAX)? else {
            return Ok(String::new());
        };
        if title.trim().is_empty() {
            self.fault(pointer, "must not be empty");
        }
        Ok(title)
    }

    fn price(&mut self, raw: Option<Box<RawValue>>) -> Result<Option<Money>, Fault> {
        if !self.required("/price", raw.as_deref()) {
            return Ok(None);
        }
        let Some(PriceFields { amount, currency }) = self.value("/price", raw)? else {
            return Ok(None);
        };
        self.required("/price/amount", amount.as_deref());
        self.required("/price/currency", currency.as_deref());
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
    fn categories(&mut self, raw: Option<Box<RawValue>>) -> Result<Vec<String>, Fault> {
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

    fn images(&mut self, raw: Option<Box<RawValue>>) -> Result<Vec<String>, Fault> {
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
    fn list(
        &mut self,
        pointer: &str,
        raw: Option<Box<RawValue>>,
        items_max: usize,
    ) -> Result<Vec<(String, Box<RawValue>)>, Fault> {
        let items: Vec<Box<RawValue>> = self.value(pointer, raw)?.unwrap_or_default();
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

    fn attributes(
        &mut self,
        raw: Option<Box<RawValue>>,
    ) -> Result<BTreeMap<String, String>, Fault> {
        let pointer = "/attributes";
        let raw: BTreeMap<String, Box<RawValue>> = self.value(pointer, raw)?.unwrap_or_default();
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
            let chars = name.chars().count();
            if !(1..=ATTRIBUTE_NAME_CHARS_MAX).contains(&chars) || name.contains(char::is_control) {
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

    fn stock(&mut self, raw: Option<Box<RawValue>>) -> Result<Option<i64>, Fault> {
        let stock: Option<i64> = self.value("/stock", raw)?;
        if stock.is_some_and(|stock| !(0..=PIECES_MAX).contains(&stock)) {
            self.fault("/stock", format!("must be 0..{PIECES_MAX} pieces"));
        }
        Ok(stock)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(product: &Value) -> Vec<String> {
        match read(product.to_string().as_bytes()) {
            Err(Fault::Invalid(errors)) => errors.into_iter().map(|error| error.pointer).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn lamp() -> Value {
        json!({ "sku": "A1", "title": "Lamp", "price": { "amount": 1, "currency": "EUR" } })
    }

    #[test]
    fn every_field_at_fault_is_named() {
        let wrong = json!({
            "title": "x".repeat(301), "description": 5, "brand": "b".repeat(201),
            "categories": ["Home >", 7, "Home>Lamps"], "price": { "amount": 19.99, "currency": "euro" },
            "attributes": { "a/b": 1, "": "x", "c": "y".repeat(8001) },
            "images": ["javascript:alert(1)"], "status": "hidden", "stock": -1
        });
        assert_eq!(
            faults(&wrong),
            [
                "/sku",
                "/title",
                "/description",
                "/brand",
                "/categories/0",
                "/categories/1",
                "/price/amount",
                "/price/currency",
                "/attributes",
                "/attributes/a~1b",
                "/attributes/c",
                "/images/0",
                "/status",
                "/stock"
            ]
        );
        assert_eq!(faults(&json!({})), ["/sku", "/title", "/price"]);
        assert_eq!(faults(&json!([])), [""]);
        for bounds in [-1, PRICE_MAX + 1] {
            let mut product = lamp();
            product["price"]["amount"] = bounds.into();
            assert_eq!(faults(&product), ["/price/amount"]);
        }
    }

    #[test]
    fn unreadable_is_not_invalid() {
        for text in ["{", "{\"skuu\": 1}", "{\"price\": {\"amnt\": 1}}"] {
            let fault = read(text.as_bytes()).unwrap_err();
            assert!(matches!(fault, Fault::Unreadable(_)), "{text} {fault:?}");
        }
    }

    #[test]
    fn the_largest_product_fits_a_stored_value() {
        let mut product = lamp();
        product["description"] = "ä".repeat(8_000).into();
        let room: usize = 8_300;
        product["attributes"] = json!({ "a": "x".repeat(7_900) });
        let content = read(product.to_string().as_bytes()).unwrap().content;
        let bytes = serde_json::to_vec(&content).unwrap().len();
        assert!(bytes > 16_000 + room - 500 && bytes <= PRODUCT_BYTES_MAX);
        let stored = store::encode(&crate::domain::Product {
            id: mesh::Id::new(),
            content,
            created_at: mesh::Time(0),
            updated_at: mesh::Time(0),
        });
        assert!(stored.unwrap().len() < store::VALUE_BYTES_MAX);
        product["attributes"]["b"] = "x".repeat(1_000).into();
        assert_eq!(faults(&product), [""]);
    }

    /// The examples of RFC 7396, appendix A, that have an object on both sides.
    #[test]
    fn merge_patch() {
        for (mut target, patch, merged) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (
                json!({"a":{"b":"c"}}),
                json!({"a":{"b":"d","c":null}}),
                json!({"a":{"b":"d"}}),
            ),
            (
                json!({"a":[1,2]}),
                json!({"a":{"b":1}}),
                json!({"a":{"b":1}}),
            ),
            (
                json!({}),
                json!({"a":{"bb":{"ccc":null}}}),
                json!({"a":{"bb":{}}}),
            ),
        ] {
            merge(&mut target, patch);
            assert_eq!(target, merged);
        }
    }

    #[test]
    fn a_patch_changes_what_it_names() {
        let current = read(lamp().to_string().as_bytes()).unwrap().content;
        let patched = read_patch(&current, br#"{"price":{"amount":2},"brand":"Mori"}"#).unwrap();
        assert_eq!(patched.content.price.amount, 2);
        assert_eq!(patched.content.brand, "Mori");
        assert_eq!(patched.content.title, "Lamp");
        let removed = read_patch(&current, br#"{"title":null}"#).unwrap_err();
        assert!(matches!(removed, Fault::Invalid(errors) if errors[0].pointer == "/title"));
        let unknown = read_patch(&current, br#"{"id":null}"#).unwrap_err();
        assert!(matches!(unknown, Fault::Unreadable(_)));
    }
}
