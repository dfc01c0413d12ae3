//! The term dictionary: spelling corrections and prefix completions.
//!
//! Corrections and completions are looked up in the dictionary and searched as
//! ordinary terms, so that they are ranked like any other word; a fuzzy query would
//! give each match the same score.
//!
//! **Invariant:** the terms read for one prefix are bounded.

use std::collections::HashMap;

use tantivy::query::FuzzyTermQuery;
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocSet, Score, Searcher, TERMINATED, Term};

use crate::Error;
use crate::spelling;
use crate::tokenizer::is_unspaced;

/// Letters below which a word is not corrected: every short word is near another.
const TYPO_CHARS_MIN: usize = 4;
/// Letters from which a word may have two typos.
const TWO_TYPOS_CHARS_MIN: usize = 8;
/// Letters of a beginning that may have a typo: it is near the beginning of many words.
const PREFIX_TYPO_CHARS_MIN: usize = 5;
/// Letters a correction has at least.
const MEANT_CHARS_MIN: usize = 3;
/// Terms looked at for one prefix, so that "a" does not read a whole dictionary.
const TERMS_SEEN_MAX: usize = 10_000;
/// Corrections compared with the rest of the query, the likeliest first.
const COMPARED_MAX: usize = 16;
/// A correction in so few documents has to occur beside another word of the query.
const RARE_DOCUMENTS_MAX: u32 = 5;
/// Documents counted for words that occur together; a larger number changes nothing.
const TOGETHER_MAX: u32 = 1_000;

/// How much less likely a word is for each whole edit, as a power of e.
const EDIT: Score = 4.0;
/// And if the first letter differs, which is rarely mistyped.
const FIRST_LETTER: Score = 1.6;

/// How many documents have this term. Some of them may be deleted.
pub(crate) fn documents(searcher: &Searcher, field: Field, word: &str) -> Result<u64, Error> {
    Ok(searcher.doc_freq(&Term::from_field_text(field, word))?)
}

/// The inverse document frequency of a term in `found` documents, as BM25 has it.
pub(crate) fn rarity(searcher: &Searcher, found: u64) -> Score {
    let (all, found) = (searcher.num_docs() as Score, found as Score);
    (1.0 + (all - found + 0.5).max(0.0) / (found + 0.5)).ln()
}

/// The most frequent terms that begin with `prefix` and how many documents have
/// each, at most `count`.
pub(crate) fn completions(
    searcher: &Searcher,
    field: Field,
    prefix: &str,
    count: usize,
) -> Result<Vec<(String, u32)>, Error> {
    let mut found: Vec<(Vec<u8>, u32)> = Vec::new();
    for segment in searcher.segment_readers() {
        let index = segment.inverted_index(field)?;
        let range = index.terms().range().ge(prefix);
        let mut terms = range.into_stream().map_err(tantivy::TantivyError::from)?;
        let mut seen = 0;
        while seen < TERMS_SEEN_MAX && terms.advance() {
            if !terms.key().starts_with(prefix.as_bytes()) {
                break;
            }
            found.push((terms.key().to_vec(), terms.value().doc_freq));
            seen += 1;
        }
    }
    // A term of several segments is there as often. Those of one segment are in order.
    found.sort();
    found.dedup_by(|(term, documents), (before, sum)| {
        let is_same = term == before;
        *sum += if is_same { *documents } else { 0 };
        is_same
    });
    found.sort_by_key(|(_, documents)| std::cmp::Reverse(*documents));
    found.truncate(count);
    Ok(found.into_iter().filter_map(text).collect())
}

/// How much of a word is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it.
    Whole,
    /// Its beginning: the word is still being typed.
    Prefix,
}

/// A word that may be misspelt.
pub(crate) struct Misspelling<'a> {
    pub(crate) word: &'a str,
    pub(crate) extent: Extent,
    /// The other words of the query.
    pub(crate) beside: &'a [&'a str],
}

/// The likely corrections of a word, best first, with their document frequencies: near
/// by edit distance, frequent, and in the same products as the rest of the query.
pub(crate) fn corrections(
    searcher: &Searcher,
    field: Field,
    misspelling: &Misspelling<'_>,
) -> Result<Vec<(String, u32)>, Error> {
    let mut likely: Vec<(Score, String, u32)> = Vec::new();
    for (term, documents) in within(searcher, field, misspelling)? {
        let score = likelihood(misspelling, &term, documents);
        likely.push((score, term, documents));
    }
    let by_score = |(score, ..): &(Score, String, u32), (other, ..): &(Score, String, u32)| {
        other.total_cmp(score)
    };
    likely.sort_by(by_score);
    likely.truncate(COMPARED_MAX);
    let beside = Beside::known(searcher, field, misspelling.beside)?;
    let mut compared = Vec::new();
    for (score, term, documents) in likely {
        if let Some(more) = beside.likelihood(&term, documents)? {
            compared.push((score + more, term, documents));
        }
    }
    compared.sort_by(by_score);
    let terms = compared.into_iter();
    Ok(terms
        .map(|(_, term, documents)| (term, documents))
        .collect())
}

/// The other words of a query that the index has.
struct Beside<'a> {
    searcher: &'a Searcher,
    field: Field,
    words: Vec<&'a str>,
}

impl<'a> Beside<'a> {
    fn known(searcher: &'a Searcher, field: Field, all: &[&'a str]) -> Result<Self, Error> {
        let mut words = Vec::new();
        for word in all {
            if documents(searcher, field, word)? > 0 {
                words.push(*word);
            }
        }
        Ok(Self { searcher, field, words })
    }

    /// The log-likelihood that a term was meant beside these words; `None` if it is rare
    /// and occurs with none of them.
    fn likelihood(&self, term: &str, documents: u32) -> Result<Option<Score>, Error> {
        let (mut score, mut found) = (0.0, 0);
        for word in &self.words {
            let together = together(self.searcher, (self.field, term), (self.field, word))?;
            found += together;
            score += (1.0 + together as Score).ln() / self.words.len() as Score;
        }
        let is_likely = found > 0 || documents > RARE_DOCUMENTS_MAX || self.words.is_empty();
        Ok(is_likely.then_some(score))
    }
}

/// Terms within the edit distance that a word allows.
fn within(
    searcher: &Searcher,
    field: Field,
    misspelling: &Misspelling<'_>,
) -> Result<Vec<(String, u32)>, Error> {
    let Misspelling { word, extent, .. } = *misspelling;
    let Some(edits) = edits_allowed(word, extent) else {
        return Ok(Vec::new());
    };
    let term = Term::from_field_text(field, word);
    let mut found = HashMap::new();
    let first = word.chars().next().unwrap_or_default();
    // An edit of the first letter counts double.
    for (edits, keeps_first) in [(edits, true), (edits - 1, false)] {
        if edits == 0 {
            continue;
        }
        let near = match extent {
            Extent::Prefix => FuzzyTermQuery::new_prefix(term.clone(), edits, true),
            Extent::Whole => FuzzyTermQuery::new(term.clone(), edits, true),
        };
        let automaton = near.automaton()?;
        for segment in searcher.segment_readers() {
            let index = segment.inverted_index(field)?;
            let mut matching = index.terms().search(&automaton);
            if keeps_first {
                matching = matching.ge(first.to_string());
                if let Some(next) = char::from_u32(u32::from(first) + 1) {
                    matching = matching.lt(next.to_string());
                }
            }
            let mut terms = matching
                .into_stream()
                .map_err(tantivy::TantivyError::from)?;
            while terms.advance() {
                let is_first_kept = terms
                    .key()
                    .starts_with(first.encode_utf8(&mut [0; 4]).as_bytes());
                if is_first_kept == keeps_first {
                    add(&mut found, terms.key(), terms.value().doc_freq);
                }
            }
        }
    }
    let is_meant = |term: &str| {
        term != word
            && term.chars().count() >= MEANT_CHARS_MIN
            && is_correctable(term)
            && spelling::edits(word, beginning(misspelling, term)) <= usize::from(edits)
    };
    let terms = found.into_iter().filter_map(text);
    Ok(terms.filter(|(term, _)| is_meant(term)).collect())
}

/// The part of a term that is compared with what is typed: the beginning of a word is
/// compared with beginnings.
fn beginning<'a>(misspelling: &Misspelling<'_>, term: &'a str) -> &'a str {
    if misspelling.extent == Extent::Whole {
        return term;
    }
    let typed = misspelling.word.chars().count();
    let ends = term.char_indices().map(|(at, _)| at).chain([term.len()]);
    let beginnings = ends
        .skip(typed.saturating_sub(1))
        .take(3)
        .map(|end| &term[..end]);
    let nearest = beginnings.min_by_key(|beginning| spelling::edits(misspelling.word, beginning));
    nearest.unwrap_or(term)
}

/// The log-likelihood that a term was meant.
fn likelihood(misspelling: &Misspelling<'_>, term: &str, documents: u32) -> Score {
    let same_first = term.chars().next() == misspelling.word.chars().next();
    let first = if same_first { 0.0 } else { FIRST_LETTER };
    let distance = spelling::distance(misspelling.word, beginning(misspelling, term));
    (1.0 + documents as Score).ln() - EDIT * distance - first
}

/// The edits that a misspelling of this length may have.
fn edits_allowed(word: &str, extent: Extent) -> Option<u8> {
    let shortest = match extent {
        Extent::Whole => TYPO_CHARS_MIN,
        Extent::Prefix => PREFIX_TYPO_CHARS_MIN,
    };
    let chars = word.chars().count();
    let edits = if chars >= TWO_TYPOS_CHARS_MIN { 2 } else { 1 };
    (chars >= shortest && is_correctable(word)).then_some(edits)
}

/// Whether a word can be a misspelling, or be misspelt. A number is never corrected to
/// another, and bigrams are no words.
fn is_correctable(word: &str) -> bool {
    word.chars().all(char::is_alphabetic) && !is_unspaced(word)
}

/// The number of documents with both terms, up to [`TOGETHER_MAX`].
pub(crate) fn together(
    searcher: &Searcher,
    one: (Field, &str),
    other: (Field, &str),
) -> Result<u32, Error> {
    let mut count = 0;
    for segment in searcher.segment_readers() {
        let postings = |(field, word): (Field, &str)| -> Result<_, Error> {
            let term = Term::from_field_text(field, word);
            let index = segment.inverted_index(field)?;
            Ok(index.read_postings(&term, IndexRecordOption::Basic)?)
        };
        let (Some(mut one), Some(mut other)) = (postings(one)?, postings(other)?) else {
            continue;
        };
        let mut document = one.doc();
        while document != TERMINATED && count < TOGETHER_MAX {
            let next = if other.doc() < document {
                other.seek(document)
            } else {
                other.doc()
            };
            if next == document {
                count += 1;
                document = one.advance();
            } else if next == TERMINATED {
                break;
            } else {
                document = one.seek(next);
            }
        }
    }
    Ok(count)
}

fn add(found: &mut HashMap<Vec<u8>, u32>, key: &[u8], documents: u32) {
    match found.get_mut(key) {
        Some(count) => *count += documents,
        None => {
            found.insert(key.to_vec(), documents);
        }
    }
}

fn text((term, documents): (Vec<u8>, u32)) -> Option<(String, u32)> {
    Some((String::from_utf8(term).ok()?, documents))
}
