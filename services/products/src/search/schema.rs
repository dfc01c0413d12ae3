//! The index's fields, how text becomes words, and how a product becomes a
//! document.
//!
//! **Invariant:** whatever changes the bytes of a document raises [`VERSION`], so
//! that an index made otherwise is rebuilt and never read.

use std::cell::RefCell;
use std::sync::LazyLock;

use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, NumericOptions, STORED, STRING, Schema,
    TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{
    AsciiFoldingFilter, LowerCaser, RemoveLongFilter, SimpleTokenizer, TextAnalyzer,
    TokenizerManager,
};
use tantivy::{Index, TantivyDocument};

use super::kind;
use super::stemmer::Stemming;
use crate::domain::{CATEGORY_SEPARATOR, Content, Level, Product, category_and_above};

/// The shape of the documents; written into every commit.
pub(super) const VERSION: u32 = 3;

/// Words are lower case, without accents, and cut at whatever is neither letter
/// nor digit.
const PLAIN: &str = "plain";
/// The same, stemmed as English.
const STEMMED: &str = "stemmed";

/// Longer words are noise: hashes, addresses.
const WORD_BYTES_MAX: usize = 64;
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
}

/// The fields of a document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields {
    /// The product's id: the only thing stored.
    pub(super) id: Field,
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
    /// Name, [`NAME_END`], value.
    pub(super) attribute: Field,
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
    let number = || NumericOptions::default() | FAST;
    let mut schema = Schema::builder();
    let fields = Fields {
        id: schema.add_text_field("id", STRING | STORED),
        text: schema.add_text_field("text", stemmed()),
        attributes: schema.add_text_field("attributes", stemmed()),
        words: schema.add_text_field("words", text(PLAIN, IndexRecordOption::Basic)),
        names: schema.add_text_field("names", whole.clone()),
        model: schema.add_text_field("model", whole.clone()),
        category: schema.add_text_field(column::CATEGORY, facet()),
        brand: schema.add_text_field(column::BRAND, facet()),
        attribute: schema.add_text_field(column::ATTRIBUTE, facet()),
        price: schema.add_i64_field(column::PRICE, number()),
        available: schema.add_bool_field("available", INDEXED),
        created: schema.add_i64_field(column::CREATED, number()),
        kind: schema.add_u64_field(column::KIND, FAST),
        rating: schema.add_u64_field(column::RATING, FAST),
    };
    (schema.build(), fields)
});

/// The words of a text as they are written, in lower case.
pub(super) fn plain() -> TextAnalyzer {
    TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(RemoveLongFilter::limit(WORD_BYTES_MAX))
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .build()
}

/// The words of a text, stemmed.
pub(super) fn stemmed() -> TextAnalyzer {
    TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(RemoveLongFilter::limit(WORD_BYTES_MAX))
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .filter(Stemming)
        .build()
}

/// Teaches an index how its texts become words.
pub(super) fn register_analyzers(index: &mut Index) {
    let analyzers = TokenizerManager::default();
    analyzers.register(PLAIN, plain());
    analyzers.register(STEMMED, stemmed());
    index.set_tokenizers(analyzers);
}

/// The words of a text by an analyzer.
pub(super) fn words_of(analyzer: &mut TextAnalyzer, text: &str) -> Vec<String> {
    let mut words = Vec::new();
    analyzer
        .token_stream(text)
        .process(&mut |token| words.push(token.text.clone()));
    words
}

thread_local! {
    static STEMMER: RefCell<TextAnalyzer> = RefCell::new(stemmed());
}

/// A word's stem.
pub(super) fn stem(word: &str) -> String {
    let stems = STEMMER.with_borrow_mut(|stemmer| words_of(stemmer, word));
    stems.into_iter().next().unwrap_or_else(|| word.to_owned())
}

/// A model number without what people write differently: `DV7-1211ea` and
/// `dv7 1211EA` are both `dv71211ea`.
pub(super) fn compact(text: &str) -> String {
    text.chars()
        .filter(|letter| letter.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// What the index holds of a product.
pub(super) fn document(product: &Product, level: Level) -> TantivyDocument {
    let (fields, content) = (&SCHEMA.1, &product.content);
    let mut document = TantivyDocument::new();
    document.add_text(fields.id, product.id.to_string());
    for text in [&content.title, &content.description, &content.brand] {
        document.add_text(fields.text, text);
        document.add_text(fields.words, text);
    }
    for word in words_of(&mut plain(), &content.title) {
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
            document.add_text(fields.attribute, format!("{name}{NAME_END}{value}"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let text = "Crème-brûlée Lamps, USB-C";
        assert_eq!(
            words_of(&mut plain(), text),
            ["creme", "brulee", "lamps", "usb", "c"]
        );
        assert_eq!(
            words_of(&mut stemmed(), text),
            ["crem", "brule", "lamp", "usb", "c"]
        );
        assert_eq!(compact("DV7-1211ea"), "dv71211ea");
    }
}
