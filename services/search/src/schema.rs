//! The index's schema: its fields and columns.
//!
//! **Invariant:** a change of the indexed bytes raises [`VERSION`], so that an index of
//! another version is rebuilt and never read.

use std::sync::LazyLock;

use tantivy::schema::{
    BytesOptions, FAST, Field, IndexRecordOption, NumericOptions, Schema, TextFieldIndexing,
    TextOptions,
};

use crate::analysis::{PLAIN, STEMMED};

/// The shape of the documents; written into every commit.
pub(crate) const VERSION: u32 = 8;

/// Between an attribute's name and its value, and between a name's canonical form and its
/// spelling. Neither has control characters.
pub(crate) const NAME_END: char = '\u{1f}';

/// Names of the columns that facets and orders are read from.
pub(crate) mod column {
    pub(crate) const CATEGORY: &str = "category";
    pub(crate) const BRAND: &str = "brand";
    pub(crate) const TAG: &str = "tag";
    pub(crate) const ATTRIBUTE: &str = "attribute";
    pub(crate) const PRICE: &str = "price";
    pub(crate) const TITLE: &str = "title_order";
    pub(crate) const CREATED: &str = "created";
    pub(crate) const KIND: &str = "kind";
    pub(crate) const RATING: &str = "rating";
    pub(crate) const ID_HIGH: &str = "id_high";
    pub(crate) const ID_LOW: &str = "id_low";
    pub(crate) const STAMP: &str = "stamp";
}

/// The fields of a document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SchemaFields {
    /// The product's id in halves, see [`crate::identity`]. Nothing is stored beside the columns.
    pub(crate) id_high: Field,
    pub(crate) id_low: Field,
    /// A hash of the indexed texts, see [`crate::fingerprint`].
    pub(crate) stamp: Field,
    /// Title, description and brand, stemmed: the main field of matching and ranking. One field, so that a word is as rare as it is in the catalogue and a
    /// long text is long wherever it stands.
    pub(crate) text: Field,
    /// Attributes, categories and tags, likewise.
    pub(crate) attributes: Field,
    /// Every unstemmed word: the dictionary of corrections and completions, and the
    /// reason an exact word ranks before its stem.
    pub(crate) words: Field,
    /// The dictionary of suggestions: the words of titles; brands and the last steps of
    /// categories, whole; see [`crate::names`].
    pub(crate) names: Field,
    /// The long words of titles and categories, written backwards: the dictionary of
    /// compounds, see [`crate::compound`].
    pub(crate) endings: Field,
    /// SKU and model numbers, letters and digits only, kept whole.
    pub(crate) model: Field,
    /// Every category path, those above included.
    pub(crate) category: Field,
    pub(crate) brand: Field,
    pub(crate) tag: Field,
    /// Name, [`NAME_END`], value: to be counted by.
    pub(crate) attribute: Field,
    /// Their hashes: to be filtered by. The texts are long and most stand in few
    /// products, so that a second dictionary of them would be large.
    pub(crate) attribute_hash: Field,
    /// Minor units.
    pub(crate) price: Field,
    pub(crate) available: Field,
    /// The sort key of the title, see [`crate::collation`].
    pub(crate) title_order: Field,
    /// Milliseconds since 1970.
    pub(crate) created: Field,
    /// The product's kind and its modifiers, see [`crate::kind`].
    pub(crate) kind: Field,
    /// How it is rated, as a rank; absent where it is not.
    pub(crate) rating: Field,
}

/// The schema and its fields.
pub(crate) static SCHEMA: LazyLock<(Schema, SchemaFields)> = LazyLock::new(|| {
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
    // Without norms: nothing is ranked by these.
    let found = || NumericOptions::default().set_indexed();
    let mut schema = Schema::builder();
    let fields = SchemaFields {
        id_high: schema.add_u64_field(column::ID_HIGH, FAST),
        id_low: schema.add_u64_field(column::ID_LOW, found() | FAST),
        stamp: schema.add_u64_field(column::STAMP, FAST),
        text: schema.add_text_field("text", stemmed()),
        attributes: schema.add_text_field("attributes", stemmed()),
        words: schema.add_text_field("words", text(PLAIN, IndexRecordOption::Basic)),
        names: schema.add_text_field("names", whole.clone()),
        endings: schema.add_text_field("endings", whole.clone()),
        model: schema.add_text_field("model", whole.clone()),
        category: schema.add_text_field(column::CATEGORY, facet()),
        brand: schema.add_text_field(column::BRAND, facet()),
        tag: schema.add_text_field(column::TAG, facet()),
        attribute: schema.add_text_field(column::ATTRIBUTE, counted),
        attribute_hash: schema.add_u64_field("attribute_hash", found()),
        price: schema.add_i64_field(column::PRICE, number()),
        available: schema.add_bool_field("available", found()),
        title_order: schema.add_bytes_field(column::TITLE, BytesOptions::default().set_fast()),
        created: schema.add_i64_field(column::CREATED, number()),
        kind: schema.add_u64_field(column::KIND, FAST),
        rating: schema.add_u64_field(column::RATING, FAST),
    };
    (schema.build(), fields)
});
