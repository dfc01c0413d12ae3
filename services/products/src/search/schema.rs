//! The index's fields, and how a product becomes a document.
//!
//! **Invariant:** whatever changes the bytes of a document raises [`VERSION`], so
//! that an index made otherwise is rebuilt and never read.

use std::sync::LazyLock;

use tantivy::TantivyDocument;
use tantivy::schema::{
    FAST, Field, IndexRecordOption, NumericOptions, Schema, TextFieldIndexing, TextOptions,
};

use super::words::{PLAIN, STEMMED, WORD_BYTES_MAX, compact, words};
use super::{identity, kind};
use crate::domain::{CATEGORY_SEPARATOR, Content, Level, Product, category_and_above};

/// The shape of the documents; written into every commit.
pub(super) const VERSION: u32 = 5;

/// Longer attribute values are prose; nobody filters by them.
const FACET_VALUE_CHARS_MAX: usize = 200;
/// Between an attribute's name and its value. Names have no control characters.
pub(super) const NAME_END: char = '\u{1f}';

/// Shorter words, and shorter numbers, are sizes and counts.
const CODE_BYTES_MIN: usize = 4;
const CODE_DIGITS_MIN: usize = 6;

/// Attributes whose values are numbers that people look things up by.
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

/// Attribute values that say whether, not what.
const FLAGS: &[&str] = &["true", "false", "yes", "no", "Yes", "No"];

/// Names of the columns that facets and orders are read from.
pub(super) mod column {
    pub(crate) const CATEGORY: &str = "category";
    pub(crate) const BRAND: &str = "brand";
    pub(crate) const ATTRIBUTE: &str = "attribute";
    pub(crate) const PRICE: &str = "price";
    pub(crate) const CREATED: &str = "created";
    pub(crate) const KIND: &str = "kind";
    pub(crate) const RATING: &str = "rating";
    pub(crate) const ID_HIGH: &str = "id_high";
    pub(crate) const ID_LOW: &str = "id_low";
    pub(crate) const STAMP: &str = "stamp";
}

/// The fields of a document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields {
    /// The product's id in halves, see [`identity`]. Nothing is stored beside the columns.
    pub(super) id_high: Field,
    pub(super) id_low: Field,
    /// What tells one version of a product's texts from another, see [`identity`].
    pub(super) stamp: Field,
    /// Title, description and brand, stemmed: what a product is found and ranked
    /// by. One field, so that a word is as rare as it is in the catalogue and a
    /// long text is long wherever it stands.
    pub(super) text: Field,
    /// Attributes and categories, likewise.
    pub(super) attributes: Field,
    /// Every word as it is: what is corrected to, completed to, and what lets an
    /// exact word go before its stem.
    pub(super) words: Field,
    /// What is suggested: the words of titles; brands and the last steps of
    /// categories, whole; in lower case.
    pub(super) names: Field,
    /// SKU and model numbers, letters and digits only, kept whole.
    pub(super) model: Field,
    /// Every category path, those above included.
    pub(super) category: Field,
    pub(super) brand: Field,
    /// Name, [`NAME_END`], value: to be counted by.
    pub(super) attribute: Field,
    /// Their hashes: to be filtered by. The texts are long and most stand in few
    /// products, so that a second dictionary of them would be large.
    pub(super) attribute_hash: Field,
    /// Minor units.
    pub(super) price: Field,
    pub(super) available: Field,
    /// Milliseconds since 1970.
    pub(super) created: Field,
    /// What the product is and what it is about, see [`kind`].
    pub(super) kind: Field,
    /// How it is rated, as a rank; absent where it is not.
    pub(super) rating: Field,
}

/// The schema and its fields.
pub(super) static SCHEMA: LazyLock<(Schema, Fields)> = LazyLock::new(|| {
    let text = |tokenizer: &str, option| {
        let indexing = TextFieldIndexing::default()
            .set_tokenizer(tokenizer)
            .set_index_option(option);
        TextOptions::default().set_indexing_options(indexing)
    };
    let stemmed = || text(STEMMED, IndexRecordOption::WithFreqs);
    let raw = TextFieldIndexing::default()
        .set_tokenizer("raw")
        .set_fieldnorms(false)
        .set_index_option(IndexRecordOption::Basic);
    let whole = TextOptions::default().set_indexing_options(raw);
    let facet = || whole.clone().set_fast("raw");
    let counted = TextOptions::default().set_fast("raw");
    let number = || NumericOptions::default() | FAST;
    // Without the norms that ranking takes: nothing is ranked by these.
    let found = || NumericOptions::default().set_indexed();
    let mut schema = Schema::builder();
    let fields = Fields {
        id_high: schema.add_u64_field(column::ID_HIGH, FAST),
        id_low: schema.add_u64_field(column::ID_LOW, found() | FAST),
        stamp: schema.add_u64_field(column::STAMP, FAST),
        text: schema.add_text_field("text", stemmed()),
        attributes: schema.add_text_field("attributes", stemmed()),
        words: schema.add_text_field("words", text(PLAIN, IndexRecordOption::Basic)),
        names: schema.add_text_field("names", whole.clone()),
        model: schema.add_text_field("model", whole.clone()),
        category: schema.add_text_field(column::CATEGORY, facet()),
        brand: schema.add_text_field(column::BRAND, facet()),
        attribute: schema.add_text_field(column::ATTRIBUTE, counted),
        attribute_hash: schema.add_u64_field("attribute_hash", found()),
        price: schema.add_i64_field(column::PRICE, number()),
        available: schema.add_bool_field("available", found()),
        created: schema.add_i64_field(column::CREATED, number()),
        kind: schema.add_u64_field(column::KIND, FAST),
        rating: schema.add_u64_field(column::RATING, FAST),
    };
    (schema.build(), fields)
});

/// What the index holds of a product.
pub(super) fn document(product: &Product, level: Level) -> TantivyDocument {
    let (fields, content) = (&SCHEMA.1, &product.content);
    let mut document = TantivyDocument::new();
    let (high, low) = identity::halves(product.id);
    document.add_u64(fields.id_high, high);
    document.add_u64(fields.id_low, low);
    document.add_u64(fields.stamp, identity::stamp(content, level));
    for text in [&content.title, &content.description, &content.brand] {
        document.add_text(fields.text, text);
        document.add_text(fields.words, text);
    }
    for word in words(&content.title) {
        document.add_text(fields.names, word);
    }
    if !content.brand.is_empty() {
        document.add_text(fields.brand, &content.brand);
        document.add_text(fields.names, content.brand.to_lowercase());
    }
    let mut paths: Vec<&str> = Vec::new();
    for path in &content.categories {
        document.add_text(fields.attributes, path);
        document.add_text(fields.words, path);
        let leaf = path.rsplit(CATEGORY_SEPARATOR).next().unwrap_or(path);
        document.add_text(fields.names, leaf.to_lowercase());
        paths.extend(category_and_above(path));
    }
    paths.sort_unstable();
    paths.dedup();
    for path in paths {
        document.add_text(fields.category, path);
    }
    for (name, value) in &content.attributes {
        if value.chars().count() <= FACET_VALUE_CHARS_MAX {
            let pair = format!("{name}{NAME_END}{value}");
            document.add_u64(fields.attribute_hash, identity::pair(&pair));
            document.add_text(fields.attribute, pair);
        }
        // Yes, no and 17.3 are for filters; nobody looks for them as words, and
        // "touchscreen: false" must not make it a touchscreen.
        let is_word = value.parse::<f64>().is_err() && !FLAGS.contains(&value.as_str());
        if is_word {
            document.add_text(fields.attributes, value);
        }
    }
    for mark in kind::marks(content) {
        document.add_u64(fields.kind, mark);
    }
    for model in models(content) {
        document.add_text(fields.model, model);
    }
    document.add_i64(fields.price, content.price.amount);
    document.add_bool(fields.available, level.available() > 0);
    document.add_i64(fields.created, product.created_at.0);
    if let Some(rating) = content.rating {
        document.add_u64(fields.rating, rating.rank());
    }
    document
}

/// The SKU, and whatever looks like a model number.
fn models(content: &Content) -> Vec<String> {
    let named = content.attributes.iter().filter(|(name, _)| {
        let name = name.to_lowercase().replace(['_', '-'], " ");
        MODEL_ATTRIBUTES.contains(&name.as_str())
    });
    let named = named.flat_map(|(_, value)| value.split([' ', ',', ';']));
    let told = named
        .chain(content.title.split_whitespace())
        .map(compact)
        .filter(|word| is_code(word));
    let mut models: Vec<String> = told.chain([compact(&content.sku)]).collect();
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
