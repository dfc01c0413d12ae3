//! Lookups: the terms of a word, by field, and how many documents have them.
//!
//! **Invariant:** each word of a query is looked up once.

use std::collections::HashMap;
use std::rc::Rc;

use tantivy::query::{Bm25StatisticsProvider, Bm25Weight};
use tantivy::schema::Field;
use tantivy::{Score, Searcher};

use crate::Error;
use crate::analysis::stem;
use crate::plan::{IndexedTerm, Matching};
use crate::schema::{SCHEMA, SchemaFields};

/// A word's terms, by field.
#[derive(Debug)]
pub(crate) struct Lookup {
    /// Its stem in the texts…
    pub(crate) text: Rc<IndexedTerm>,
    /// …and in the attributes.
    pub(crate) attributes: Rc<IndexedTerm>,
    /// The word itself in a text.
    pub(crate) words: Rc<IndexedTerm>,
    /// The word as a model number.
    pub(crate) model: Rc<IndexedTerm>,
}

impl Lookup {
    /// Whether any product has the word, or another one with its stem.
    pub(crate) fn is_known(&self) -> bool {
        let Self { text, attributes, words, model } = self;
        [text, attributes, words, model]
            .iter()
            .any(|term| term.documents > 0)
    }
}

/// The words of one query that were looked up.
pub(crate) struct Lookups<'a> {
    pub(crate) searcher: &'a Searcher,
    found: HashMap<String, Rc<Lookup>>,
}

impl<'a> Lookups<'a> {
    pub(crate) fn new(searcher: &'a Searcher) -> Self {
        Self { searcher, found: HashMap::new() }
    }

    pub(crate) fn find(&mut self, word: &str) -> Result<Rc<Lookup>, Error> {
        if let Some(found) = self.found.get(word) {
            return Ok(Rc::clone(found));
        }
        let SchemaFields { text, attributes, words, model, .. } = SCHEMA.1;
        let stem = stem(word);
        let find = |field, term: &str| IndexedTerm::find(self.searcher, field, term);
        let found = Rc::new(Lookup {
            text: find(text, &stem)?,
            attributes: find(attributes, &stem)?,
            words: find(words, word)?,
            model: find(model, word)?,
        });
        self.found.insert(word.to_owned(), Rc::clone(&found));
        Ok(found)
    }

    /// What a term matches.
    pub(crate) fn matching(
        &self,
        field: Field,
        text: &str,
        boost: Score,
    ) -> Result<Matching, Error> {
        self.scored(IndexedTerm::find(self.searcher, field, text)?, boost)
    }

    /// What a term matches that was looked up.
    pub(crate) fn scored(&self, term: Rc<IndexedTerm>, boost: Score) -> Result<Matching, Error> {
        let documents = self.searcher.total_num_docs()?;
        let tokens = self.searcher.total_num_tokens(term.field)?;
        let length = tokens as Score / documents as Score;
        let weight = Bm25Weight::for_one_term_without_explain(term.documents, documents, length);
        Ok(Matching::Term { term, weight: weight.boost_by(boost) })
    }
}
