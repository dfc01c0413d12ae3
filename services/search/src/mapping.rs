//! Mapping: the field values that a document has in the index.
//!
//! **Invariant:** one document always maps to the same values; a change here raises the
//! schema's version.

use tantivy::TantivyDocument;

use crate::analysis::compact;
use crate::collation::title_sort_key;
use crate::document::category_and_above;
use crate::schema::{NAME_END, SCHEMA};
use crate::tokenizer::WORD_BYTES_MAX;
use crate::{Document, compound, fingerprint, identity, kind, names};

/// Longer attribute values are prose and no facet values.
const FACET_VALUE_CHARS_MAX: usize = 200;
/// Shorter words, and shorter numbers, are sizes and counts.
const CODE_BYTES_MIN: usize = 4;
const CODE_DIGITS_MIN: usize = 6;

/// Attributes whose values are numbers that products are looked up by.
const MODEL_ATTRIBUTES: &[&str] = &[
    "model",
    "model number",
    "mpn",
    "part number",
    "ean",
    "gtin",
    "upc",
    "isbn",
];

/// Attribute values of a yes-or-no attribute.
const FLAGS: &[&str] = &["true", "false", "yes", "no", "Yes", "No"];

/// The field values of a product.
pub(crate) fn document(product: &Document<'_>) -> TantivyDocument {
    let fields = &SCHEMA.1;
    let mut document = TantivyDocument::new();
    let (high, low) = identity::halves(product.id);
    document.add_u64(fields.id_high, high);
    document.add_u64(fields.id_low, low);
    document.add_u64(fields.stamp, fingerprint::stamp(product));
    for text in [product.title, product.description, product.brand] {
        document.add_text(fields.text, text);
        document.add_text(fields.words, text);
    }
    for name in names::names(product) {
        document.add_text(fields.names, name);
    }
    for ending in compound::endings(product) {
        document.add_text(fields.endings, ending);
    }
    if !product.brand.is_empty() {
        document.add_text(fields.brand, product.brand);
    }
    let mut paths: Vec<&str> = Vec::new();
    for path in product.categories {
        document.add_text(fields.attributes, path);
        document.add_text(fields.words, path);
        paths.extend(category_and_above(path));
    }
    paths.sort_unstable();
    paths.dedup();
    for path in paths {
        document.add_text(fields.category, path);
    }
    for tag in product.tags {
        document.add_text(fields.tag, tag);
        document.add_text(fields.attributes, tag);
        document.add_text(fields.words, tag);
    }
    for (name, value) in product.attributes {
        if value.chars().count() <= FACET_VALUE_CHARS_MAX {
            let mut pair = name.clone();
            pair.push(NAME_END);
            pair.push_str(value);
            document.add_u64(fields.attribute_hash, identity::pair(&pair));
            document.add_text(fields.attribute, pair);
        }
        // Yes, no and 17.3 are for filters and not searched as words:
        // "touchscreen: false" must not make it a touchscreen.
        let is_word = value.parse::<f64>().is_err() && !FLAGS.contains(&value.as_str());
        if is_word {
            document.add_text(fields.attributes, value);
        }
    }
    for mark in kind::marks(product) {
        document.add_u64(fields.kind, mark);
    }
    for model in models(product) {
        document.add_text(fields.model, model);
    }
    document.add_i64(fields.price, product.price);
    document.add_bool(fields.available, product.available);
    document.add_bytes(fields.title_order, &title_sort_key(product.title));
    document.add_i64(fields.created, product.created);
    if let Some(rating) = product.rating {
        document.add_u64(fields.rating, rating);
    }
    document
}

/// The SKU, and everything that looks like a model number.
fn models(product: &Document<'_>) -> Vec<String> {
    let named = product.attributes.iter().filter(|(name, _)| {
        let name = name.to_lowercase().replace(['_', '-'], " ");
        MODEL_ATTRIBUTES.contains(&name.as_str())
    });
    let named = named.flat_map(|(_, value)| value.split([' ', ',', ';']));
    let codes = named
        .chain(product.title.split_whitespace())
        .map(compact)
        .filter(|word| is_code(word));
    let mut models: Vec<String> = codes.chain([compact(product.sku)]).collect();
    models.retain(|model| (1..=WORD_BYTES_MAX).contains(&model.len()));
    models.sort_unstable();
    models.dedup();
    models
}

/// Whether a word is a code and not just a word or a number: `mx500`, `0884420588030`.
fn is_code(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    digits > 0 && word.len() >= CODE_BYTES_MIN && (digits < word.len() || digits >= CODE_DIGITS_MIN)
}
