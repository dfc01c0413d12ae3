//! Submissions: parsing and validation of a product's JSON.
//!
//! **Invariant:** every invalid field is reported by its JSON pointer (RFC 6901), and a
//! valid submission is within every limit of the contract, so it always fits a stored
//! value.

mod reading;

use chassis::FieldError;
use chassis::fields::{BodyFault, Fields, ReadOnly};
use chassis::json::parse_fields;
use serde_json::Value;

pub(crate) use self::reading::{
    DESCRIPTION_CHARS_MAX, IMAGES_MAX, TAG_CHARS_MAX, TAGS_MAX, category, sku,
};
use crate::domain::Content;

/// Of its content as compact JSON. With the record's own few fields this stays
/// well below the 32 KiB of a stored value.
const PRODUCT_BYTES_MAX: usize = 24 * 1024;
/// The most a content may exceed its submitted text as compact JSON: names of omitted
/// fields, and two spaces for each step of its categories.
const PRODUCT_BYTES_ADDED_MAX: usize = 1024;

/// The fields of a response that a request may repeat and not change.
const READ_ONLY: &[&str] = &["id", "available", "created_at", "updated_at"];

/// A valid body: the content and, at creation, the stock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Submission {
    pub(crate) content: Content,
    /// Units on hand, if given.
    pub(crate) stock: Option<i64>,
    /// The read-only fields that were given.
    pub(crate) read_only: ReadOnly,
}

impl Submission {
    /// A submission of a product that does not exist yet, so that it has no read-only field.
    ///
    /// # Errors
    /// [`BodyFault::Invalid`] when one is given.
    pub(crate) fn of_new(self) -> Result<Self, BodyFault> {
        match self.read_only.faults(&Value::Null) {
            faults if faults.is_empty() => Ok(self),
            faults => Err(BodyFault::Invalid(faults)),
        }
    }
}

/// The body of a category's renaming: two category paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CategoryRename {
    pub(crate) from: String,
    pub(crate) to: String,
}

/// Reads a whole product.
///
/// # Errors
/// See [`BodyFault`].
pub(crate) fn read(text: &[u8]) -> Result<Submission, BodyFault> {
    let submission: Submission = Fields::read_text(text)?;
    within_size(text, &submission.content)?;
    Ok(submission)
}

/// Reads a merge patch (RFC 7396) of `current`.
///
/// # Errors
/// See [`BodyFault`].
pub(crate) fn read_patch(current: &Content, patch: &[u8]) -> Result<Submission, BodyFault> {
    // The merge drops a `null`, and with it the name of an unknown field.
    Fields::check_names::<Submission>(patch)?;
    read_merged(current, parse_fields(patch)?)
}

/// Reads a merge patch of `current` whose names are known.
///
/// # Errors
/// See [`BodyFault`].
pub(crate) fn read_merged(current: &Content, patch: Value) -> Result<Submission, BodyFault> {
    let mut merged = serde_json::to_value(current)
        .map_err(|error| BodyFault::Unreadable(format!("the present product: {error}")))?;
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

fn within_size(text: &[u8], content: &Content) -> Result<(), BodyFault> {
    if text.len() + PRODUCT_BYTES_ADDED_MAX <= PRODUCT_BYTES_MAX {
        return Ok(());
    }
    let bytes = serde_json::to_vec(content)
        .map_err(|error| BodyFault::Unreadable(error.to_string()))?
        .len();
    if bytes <= PRODUCT_BYTES_MAX {
        return Ok(());
    }
    let detail = format!(
        "the whole product has {bytes} bytes as JSON; at most {PRODUCT_BYTES_MAX} are allowed"
    );
    Err(BodyFault::Invalid(vec![FieldError::new("", detail)]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(product: &Value) -> Vec<String> {
        match read(product.to_string().as_bytes()) {
            Err(BodyFault::Invalid(errors)) => {
                errors.into_iter().map(|error| error.pointer).collect()
            }
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
            "categories": ["Home >", 7, "Home>Lamps"], "tags": ["", "a", "\u{202e}", "t".repeat(101)], "price": { "amount": 19.99, "currency": "euro" },
            "attributes": { "a/b": 1, "": "x", "c": "y".repeat(8001) },
            "images": ["javascript:alert(1)"], "status": "hidden", "stock": -1,
            "rating": { "average": 5.5 }, "weight_g": 1_000_001, "tax_class": "Reduced",
            "requires_shipping": "no"
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
                "/tags/0",
                "/tags/2",
                "/tags/3",
                "/price/amount",
                "/price/currency",
                "/attributes",
                "/attributes/a~1b",
                "/attributes/c",
                "/images/0",
                "/status",
                "/rating/average",
                "/rating/count",
                "/weight_g",
                "/tax_class",
                "/requires_shipping",
                "/stock"
            ]
        );
        assert_eq!(faults(&json!({})), ["/sku", "/title", "/price"]);
        assert_eq!(faults(&json!([])), [""]);
        for bounds in [-1_i64, 1_000_000_000_001] {
            let mut product = lamp();
            product["price"]["amount"] = bounds.into();
            assert_eq!(faults(&product), ["/price/amount"]);
        }
        let mut product = lamp();
        product["price"]["currency"] = "XXX".into();
        assert_eq!(faults(&product), ["/price/currency"]);
    }

    #[test]
    fn unreadable_is_not_invalid() {
        for text in ["{", "{\"skuu\": 1}", "{\"price\": {\"amnt\": 1}}"] {
            let fault = read(text.as_bytes()).unwrap_err();
            assert!(
                matches!(fault, BodyFault::Unreadable(_)),
                "{text} {fault:?}"
            );
        }
    }

    #[test]
    fn names_that_lead_nowhere_are_refused() {
        for sku in [".", ".."] {
            let mut product = lamp();
            product["sku"] = sku.into();
            assert_eq!(faults(&product), ["/sku"]);
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
            id: model::Id::new(),
            content,
            created_at: model::Time(0),
            updated_at: model::Time(0),
            opening: None,
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
        assert!(matches!(removed, BodyFault::Invalid(errors) if errors[0].pointer == "/title"));
        let unknown = read_patch(&current, br#"{"ids":null}"#).unwrap_err();
        assert!(matches!(unknown, BodyFault::Unreadable(_)));
    }
}
