//! The words the index knows, and which of them a typed word may mean.
//!
//! Corrections and completions are looked up in the term dictionary and searched
//! as the words they are, so that they are ranked like any other word; a fuzzy
//! query would give each match the same score.

use std::collections::HashMap;

use tantivy::query::FuzzyTermQuery;
use tantivy::schema::Field;
use tantivy::{Searcher, Term};

use crate::Error;

/// Letters below which a word has no typos: every short word is near another.
const TYPO_CHARS_MIN: usize = 4;
/// Letters from which a word may have two.
const TWO_TYPOS_CHARS_MIN: usize = 8;
/// Terms looked at for one prefix, so that "a" does not read a whole dictionary.
const TERMS_SEEN_MAX: usize = 10_000;

/// How many documents have this term. Some of them may be deleted.
pub(super) fn documents(searcher: &Searcher, field: Field, word: &str) -> Result<u64, Error> {
    Ok(searcher.doc_freq(&Term::from_field_text(field, word))?)
}

/// The most frequent terms that begin with `prefix`, at most `count`.
pub(super) fn completions(
    searcher: &Searcher,
    field: Field,
    prefix: &str,
    count: usize,
) -> Result<Vec<String>, Error> {
    let mut found: HashMap<String, u32> = HashMap::new();
    for segment in searcher.segment_readers() {
        let index = segment.inverted_index(field)?;
        let mut terms = index
            .terms()
            .range()
            .ge(prefix)
            .into_stream()
            .map_err(tantivy::TantivyError::from)?;
        let mut seen = 0;
        while terms.advance() && terms.key().starts_with(prefix.as_bytes()) {
            add(&mut found, terms.key(), terms.value().doc_freq);
            seen += 1;
            if seen == TERMS_SEEN_MAX {
                break;
            }
        }
    }
    Ok(most_frequent(found, prefix, count))
}

/// A word that may be a typo, and how to doubt it.
pub(super) struct Doubted<'a> {
    pub(super) word: &'a str,
    /// Whether it is the beginning of a word still being typed.
    pub(super) as_prefix: bool,
    /// How many documents a term needs to be what was meant.
    pub(super) documents_min: u64,
}

/// The most frequent terms that a word may be a typo of, with as few slips as
/// possible, at most `count`.
pub(super) fn corrections(
    searcher: &Searcher,
    field: Field,
    doubted: &Doubted<'_>,
    count: usize,
) -> Result<Vec<String>, Error> {
    let Doubted { word, as_prefix, documents_min } = *doubted;
    for slips in 1..=slips_max(word) {
        let term = Term::from_field_text(field, word);
        let near = if as_prefix {
            FuzzyTermQuery::new_prefix(term, slips, true)
        } else {
            FuzzyTermQuery::new(term, slips, true)
        };
        let mut found: HashMap<String, u32> = HashMap::new();
        for segment in searcher.segment_readers() {
            let index = segment.inverted_index(field)?;
            let matching = index.terms().search(near.automaton()?).into_stream();
            let mut terms = matching.map_err(tantivy::TantivyError::from)?;
            while terms.advance() {
                add(&mut found, terms.key(), terms.value().doc_freq);
            }
        }
        found.retain(|term, documents| term != word && u64::from(*documents) >= documents_min);
        if !found.is_empty() {
            return Ok(most_frequent(found, word, count));
        }
    }
    Ok(Vec::new())
}

/// How many slips are forgiven. A number is never a typo of another one.
fn slips_max(word: &str) -> u8 {
    match word.chars().count() {
        _ if !word.chars().all(char::is_alphabetic) => 0,
        chars if chars >= TWO_TYPOS_CHARS_MIN => 2,
        chars if chars >= TYPO_CHARS_MIN => 1,
        _ => 0,
    }
}

fn add(found: &mut HashMap<String, u32>, key: &[u8], documents: u32) {
    if let Ok(term) = std::str::from_utf8(key) {
        *found.entry(term.to_owned()).or_default() += documents;
    }
}

/// People rarely mistype a first letter, so those that share it come first.
fn most_frequent(found: HashMap<String, u32>, word: &str, count: usize) -> Vec<String> {
    let first = word.chars().next();
    let mut terms: Vec<_> = found.into_iter().collect();
    terms.sort_unstable_by_key(|(term, documents)| {
        (
            term.chars().next() != first,
            std::cmp::Reverse(*documents),
            term.clone(),
        )
    });
    terms.truncate(count);
    terms.into_iter().map(|(term, _)| term).collect()
}
