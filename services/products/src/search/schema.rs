//! The index's fields, how text becomes words, and how a product becomes a
//! document.
//!
//! **Invariant:** whatever changes the bytes of a document raises [`VERSION`], so
//! that an index made otherwise is rebuilt and never read.

use std::sync::LazyLock;

use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, NumericOptions, STORED, STRING, Schema,
    TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{
    AsciiFoldingFilter, Language, LowerCaser, RemoveLongFilter, SimpleTokenizer, Stemmer,
    TextAnalyzer, TokenizerManager,
};
use tantivy::{Index, TantivyDocument};

use crate::domain::{Content, Level, Product, category_and_above};

/// The shape of the documents; written into every commit.
pub(super) const VERSION: u32 = 1;

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

/// Names of the columns that facets and orders are read from.
pub(super) mod column {
    pub(crate) const CATEGORY: &str = "category";
    pub(crate) const BRAND: &str = "brand";
    pub(crate) const ATTRIBUTE: &str = "attribute";
    pub(crate) const PRICE: &str = "price";
    pub(crate) const CREATED: &str = "created";
}

/// The fields of a document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields {
    /// The product's id: the only thing stored.
    pub(super) id: Field,
    /// Stemmed texts.
    pub(super) title: Field,
    pub(super) description: Field,
    pub(super) brand_words: Field,
    pub(super) category_words: Field,
    pub(super) attribute_words: Field,
    /// The title's words as they are, since an exact word beats its stem.
    pub(super) title_exact: Field,
    /// Every word as it is: what a typo is corrected to.
    pub(super) words: Field,
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
        title: schema.add_text_field("title", stemmed()),
        description: schema.add_text_field("description", stemmed()),
        brand_words: schema.add_text_field("brand_words", stemmed()),
        category_words: schema.add_text_field("category_words", stemmed()),
        attribute_words: schema.add_text_field("attribute_words", stemmed()),
        title_exact: schema
            .add_text_field("title_exact", text(PLAIN, IndexRecordOption::WithFreqs)),
        words: schema.add_text_field("words", text(PLAIN, IndexRecordOption::Basic)),
        model: schema.add_text_field("model", whole.clone()),
        category: schema.add_text_field(column::CATEGORY, facet()),
        brand: schema.add_text_field(column::BRAND, facet()),
        attribute: schema.add_text_field(column::ATTRIBUTE, facet()),
        price: schema.add_i64_field(column::PRICE, number()),
        available: schema.add_bool_field("available", INDEXED),
        created: schema.add_i64_field(column::CREATED, number()),
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
        .filter(Stemmer::new(Language::English))
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
    document.add_text(fields.title, &content.title);
    document.add_text(fields.title_exact, &content.title);
    document.add_text(fields.description, &content.description);
    document.add_text(fields.brand_words, &content.brand);
    for text in [&content.title, &content.description, &content.brand] {
        document.add_text(fields.words, text);
    }
    if !content.brand.is_empty() {
        document.add_text(fields.brand, &content.brand);
    }
    let mut paths: Vec<&str> = Vec::new();
    for path in &content.categories {
        document.add_text(fields.category_words, path);
        document.add_text(fields.words, path);
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
        // "touchscreen: false" must not make it a touchscreen.
        if !["false", "no"].contains(&value.to_lowercase().as_str()) {
            document.add_text(fields.attribute_words, name.replace('_', " "));
            document.add_text(fields.attribute_words, value);
            document.add_text(fields.words, value);
        }
    }
    for model in models(content) {
        document.add_text(fields.model, model);
    }
    document.add_i64(fields.price, content.price.amount);
    document.add_bool(fields.available, level.available() > 0);
    document.add_i64(fields.created, product.created_at.0);
    document
}

/// The SKU, and whatever looks like a model number.
fn models(content: &Content) -> Vec<String> {
    let named = content
        .attributes
        .iter()
        .filter(|(name, _)| {
            let name = name.to_lowercase().replace(['_', '-'], " ");
            MODEL_ATTRIBUTES.contains(&name.as_str())
        })
        .flat_map(|(_, value)| std::iter::once(value.as_str()).chain(value.split([' ', ',', ';'])));
    let told = content
        .title
        .split_whitespace()
        .filter(|word| word.contains(|letter: char| letter.is_ascii_digit()));
    let mut models: Vec<String> = std::iter::once(content.sku.as_str())
        .chain(named)
        .chain(told)
        .map(compact)
        .filter(|model| (2..=WORD_BYTES_MAX).contains(&model.len()))
        .collect();
    models.sort_unstable();
    models.dedup();
    models
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
            ["creme", "brule", "lamp", "usb", "c"]
        );
        assert_eq!(compact("DV7-1211ea"), "dv71211ea");
    }
}
