//! The words the index knows, and which of them a typed word may mean.
//!
//! Corrections and completions are looked up in the term dictionary and searched
//! as the words they are, so that they are ranked like any other word; a fuzzy
//! query would give each match the same score.

use std::collections::HashMap;

use tantivy::query::FuzzyTermQuery;
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocSet, Score, Searcher, TERMINATED, Term};

use super::spelling;
use crate::Error;

/// Letters below which a word has no typos: every short word is near another.
const TYPO_CHARS_MIN: usize = 4;
/// Letters from which a word has a second typo if nothing is near with one…
const MAYBE_TWO_CHARS_MIN: usize = 5;
/// …and from which it may as well have two.
const TWO_TYPOS_CHARS_MIN: usize = 8;
/// Letters a correction has at least.
const MEANT_CHARS_MIN: usize = 3;
/// Terms looked at for one prefix, so that "a" does not read a whole dictionary.
const TERMS_SEEN_MAX: usize = 10_000;
/// Corrections compared with the rest of the query, the likeliest before.
const COMPARED_MAX: usize = 16;
/// Documents counted to see whether words go together; more say no more.
const TOGETHER_MAX: u32 = 1_000;

/// How much less likely a word is for each whole slip, as powers of e.
const SLIP: Score = 4.0;
/// And if the first letter is another: people rarely mistype it.
const FIRST_LETTER: Score = 1.6;

/// How many documents have this term. Some of them may be deleted.
pub(super) fn documents(searcher: &Searcher, field: Field, word: &str) -> Result<u64, Error> {
    Ok(searcher.doc_freq(&Term::from_field_text(field, word))?)
}

/// The most frequent terms that begin with `prefix` and how many documents have
/// each, at most `count`.
pub(super) fn completions(
    searcher: &Searcher,
    field: Field,
    prefix: &str,
    count: usize,
) -> Result<Vec<(String, u32)>, Error> {
    let mut found: HashMap<Vec<u8>, u32> = HashMap::new();
    for segment in searcher.segment_readers() {
        let index = segment.inverted_index(field)?;
        let range = index.terms().range().ge(prefix);
        let mut terms = range.into_stream().map_err(tantivy::TantivyError::from)?;
        let mut seen = 0;
        while seen < TERMS_SEEN_MAX && terms.advance() {
            if !terms.key().starts_with(prefix.as_bytes()) {
                break;
            }
            add(&mut found, terms.key(), terms.value().doc_freq);
            seen += 1;
        }
    }
    let mut terms: Vec<(Vec<u8>, u32)> = found.into_iter().collect();
    let by_frequency =
        |(term, documents): &(Vec<u8>, u32)| (std::cmp::Reverse(*documents), term.clone());
    terms.sort_unstable_by_key(by_frequency);
    terms.truncate(count);
    Ok(terms.into_iter().filter_map(text).collect())
}

/// A word that may be a typo.
pub(super) struct Doubted<'a> {
    pub(super) word: &'a str,
    /// Whether it is the beginning of a word still being typed.
    pub(super) as_prefix: bool,
    /// The other words of the query.
    pub(super) beside: &'a [&'a str],
}

/// What a word may be a typo of, the likeliest first, with how many documents
/// have it: words that are a likely slip away, frequent, and found in the same
/// products as the rest of the query.
pub(super) fn corrections(
    searcher: &Searcher,
    field: Field,
    doubted: &Doubted<'_>,
) -> Result<Vec<(String, u32)>, Error> {
    let mut likely: Vec<(Score, String, u32)> = Vec::new();
    for slips in slips(doubted.word) {
        for (term, documents) in within(searcher, field, doubted, *slips)? {
            let score = likelihood(doubted, &term, documents);
            likely.push((score, term, documents));
        }
        if !likely.is_empty() {
            break;
        }
    }
    let by_score = |(score, ..): &(Score, String, u32), (other, ..): &(Score, String, u32)| {
        other.total_cmp(score)
    };
    likely.sort_by(by_score);
    likely.truncate(COMPARED_MAX);
    for (score, term, _) in &mut likely {
        for beside in doubted.beside {
            let together = together(searcher, field, term, beside)?;
            *score += (1.0 + together as Score).ln() / doubted.beside.len() as Score;
        }
    }
    likely.sort_by(by_score);
    let terms = likely.into_iter();
    Ok(terms
        .map(|(_, term, documents)| (term, documents))
        .collect())
}

/// Terms at most so many slips away.
fn within(
    searcher: &Searcher,
    field: Field,
    doubted: &Doubted<'_>,
    slips: u8,
) -> Result<Vec<(String, u32)>, Error> {
    let term = Term::from_field_text(field, doubted.word);
    let near = if doubted.as_prefix {
        FuzzyTermQuery::new_prefix(term, slips, true)
    } else {
        FuzzyTermQuery::new(term, slips, true)
    };
    let automaton = near.automaton()?;
    let mut found = HashMap::new();
    for segment in searcher.segment_readers() {
        let index = segment.inverted_index(field)?;
        let matching = index.terms().search(&automaton).into_stream();
        let mut terms = matching.map_err(tantivy::TantivyError::from)?;
        while terms.advance() {
            add(&mut found, terms.key(), terms.value().doc_freq);
        }
    }
    let is_word = |term: &str| {
        term != doubted.word
            && term.chars().count() >= MEANT_CHARS_MIN
            && term.chars().all(char::is_alphabetic)
    };
    let terms = found.into_iter().filter_map(text);
    Ok(terms.filter(|(term, _)| is_word(term)).collect())
}

/// How likely a term was meant, as a logarithm.
fn likelihood(doubted: &Doubted<'_>, term: &str, documents: u32) -> Score {
    let compared = if doubted.as_prefix {
        // A beginning is compared with beginnings.
        let chars = doubted.word.chars().count();
        term.chars().take(chars).collect()
    } else {
        term.to_owned()
    };
    let same_first = term.chars().next() == doubted.word.chars().next();
    let first = if same_first { 0.0 } else { FIRST_LETTER };
    (1.0 + documents as Score).ln() - SLIP * spelling::distance(doubted.word, &compared) - first
}

/// How many slips to look within, one after another. A number is never a typo of
/// another one.
fn slips(word: &str) -> &'static [u8] {
    match word.chars().count() {
        _ if !word.chars().all(char::is_alphabetic) => &[],
        chars if chars >= TWO_TYPOS_CHARS_MIN => &[2],
        chars if chars >= MAYBE_TWO_CHARS_MIN => &[1, 2],
        chars if chars >= TYPO_CHARS_MIN => &[1],
        _ => &[],
    }
}

/// In how many documents two words stand together, up to [`TOGETHER_MAX`].
pub(super) fn together(
    searcher: &Searcher,
    field: Field,
    one: &str,
    other: &str,
) -> Result<u32, Error> {
    let mut count = 0;
    for segment in searcher.segment_readers() {
        let index = segment.inverted_index(field)?;
        let postings = |word| {
            let term = Term::from_field_text(field, word);
            index.read_postings(&term, IndexRecordOption::Basic)
        };
        let io = tantivy::TantivyError::from;
        let (Some(mut one), Some(mut other)) =
            (postings(one).map_err(io)?, postings(other).map_err(io)?)
        else {
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
