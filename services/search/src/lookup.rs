//! Lookups: how many documents have a word, by field.
//!
//! **Invariant:** each word of a query is looked up once.

use std::collections::HashMap;

use tantivy::Searcher;

use crate::Error;
use crate::analysis::stem;
use crate::schema::{SCHEMA, SchemaFields};
use crate::vocabulary::documents;

/// The number of documents with a word, by field.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lookup {
    /// With a word of its stem in the texts…
    pub(crate) text: u64,
    /// …and in the attributes.
    pub(crate) attributes: u64,
    /// With this word itself in a text.
    pub(crate) words: u64,
    /// With this model number.
    pub(crate) model: u64,
}

impl Lookup {
    /// Whether any product has the word, or another one with its stem.
    pub(crate) fn is_known(self) -> bool {
        self.text + self.attributes + self.words + self.model > 0
    }
}

/// The words of one query that were looked up.
pub(crate) struct Lookups<'a> {
    pub(crate) searcher: &'a Searcher,
    found: HashMap<String, Lookup>,
}

impl<'a> Lookups<'a> {
    pub(crate) fn new(searcher: &'a Searcher) -> Self {
        Self { searcher, found: HashMap::new() }
    }

    pub(crate) fn find(&mut self, word: &str) -> Result<Lookup, Error> {
        if let Some(found) = self.found.get(word) {
            return Ok(*found);
        }
        let SchemaFields { text, attributes, words, model, .. } = SCHEMA.1;
        let stem = stem(word);
        let count = |field, term: &str| documents(self.searcher, field, term);
        let found = Lookup {
            text: count(text, &stem)?,
            attributes: count(attributes, &stem)?,
            words: count(words, word)?,
            model: count(model, word)?,
        };
        self.found.insert(word.to_owned(), found);
        Ok(found)
    }
}
