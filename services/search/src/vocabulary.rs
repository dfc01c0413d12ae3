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
use crate::analysis::stem;
use crate::spelling;

/// Letters below which a word is not corrected: every short word is near another.
const TYPO_CHARS_MIN: usize = 4;
/// Letters from which two edits are tried if nothing is near with one…
const MAYBE_TWO_CHARS_MIN: usize = 5;
/// …and from which two are tried at once.
const TWO_TYPOS_CHARS_MIN: usize = 8;
/// Letters a correction has at least.
const MEANT_CHARS_MIN: usize = 3;
/// Terms looked at for one prefix, so that "a" does not read a whole dictionary.
const TERMS_SEEN_MAX: usize = 10_000;
/// Corrections compared with the rest of the query, the likeliest first.
const COMPARED_MAX: usize = 16;
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

/// The inverse document frequency of the rarest of several words, as BM25 has it.
pub(crate) fn rarity(searcher: &Searcher, stems: Field, words: &[String]) -> Result<Score, Error> {
    let all = searcher.num_docs() as Score;
    let mut rarity: Score = 0.0;
    for word in words {
        let found = documents(searcher, stems, &stem(word))? as Score;
        rarity = rarity.max((1.0 + (all - found + 0.5).max(0.0) / (found + 0.5)).ln());
    }
    Ok(rarity)
}

/// The most frequent terms that begin with `prefix` and how many documents have
/// each, at most `count`.
pub(crate) fn completions(
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
    for edits in edit_distances(misspelling.word) {
        for (term, documents) in within(searcher, field, misspelling, *edits)? {
            let score = likelihood(misspelling, &term, documents);
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
        for beside in misspelling.beside {
            let together = together(searcher, field, term, beside)?;
            *score += (1.0 + together as Score).ln() / misspelling.beside.len() as Score;
        }
    }
    likely.sort_by(by_score);
    let terms = likely.into_iter();
    Ok(terms
        .map(|(_, term, documents)| (term, documents))
        .collect())
}

/// Terms within an edit distance.
fn within(
    searcher: &Searcher,
    field: Field,
    misspelling: &Misspelling<'_>,
    edits: u8,
) -> Result<Vec<(String, u32)>, Error> {
    let term = Term::from_field_text(field, misspelling.word);
    let near = if misspelling.extent == Extent::Prefix {
        FuzzyTermQuery::new_prefix(term, edits, true)
    } else {
        FuzzyTermQuery::new(term, edits, true)
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
        term != misspelling.word
            && term.chars().count() >= MEANT_CHARS_MIN
            && term.chars().all(char::is_alphabetic)
    };
    let terms = found.into_iter().filter_map(text);
    Ok(terms.filter(|(term, _)| is_word(term)).collect())
}

/// The log-likelihood that a term was meant.
fn likelihood(misspelling: &Misspelling<'_>, term: &str, documents: u32) -> Score {
    let compared = if misspelling.extent == Extent::Prefix {
        // A prefix is compared with prefixes.
        let chars = misspelling.word.chars().count();
        term.chars().take(chars).collect()
    } else {
        term.to_owned()
    };
    let same_first = term.chars().next() == misspelling.word.chars().next();
    let first = if same_first { 0.0 } else { FIRST_LETTER };
    (1.0 + documents as Score).ln() - EDIT * spelling::distance(misspelling.word, &compared) - first
}

/// The edit distances to try, one after another. A number is never corrected to another.
fn edit_distances(word: &str) -> &'static [u8] {
    match word.chars().count() {
        _ if !word.chars().all(char::is_alphabetic) => &[],
        chars if chars >= TWO_TYPOS_CHARS_MIN => &[2],
        chars if chars >= MAYBE_TWO_CHARS_MIN => &[1, 2],
        chars if chars >= TYPO_CHARS_MIN => &[1],
        _ => &[],
    }
}

/// The number of documents with both words, up to [`TOGETHER_MAX`].
pub(crate) fn together(
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
