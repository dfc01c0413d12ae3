//! Query parser: from the text typed to a query plan.
//!
//! A word matches as its stem in the product's texts and, with a lower boost, in its
//! attributes; the exact word ranks before others of its stem. Alternatives (a synonym,
//! two words written as one or one as two, a completion, a compound) replace the word's
//! score and never add to it. Only a word that is not in the index is corrected.
//!
//! **Invariant:** every word typed has one clause, so a match of all words is always
//! distinguished from a match of fewer.

use tantivy::{Score, Searcher};

use crate::Error;
use crate::analysis::{compact, stem, words};
use crate::plan::{Clause, Matching, QueryPlan};
use crate::synonyms::{PHRASE_WORDS_MAX, Synonyms};
use crate::terms::ends_and_begins_with_digit;
use crate::tokenizer::{FUNCTION_WORDS, is_unspaced};
use crate::vocabulary::{self, Extent};
use crate::word::WordParser;

/// Words used; the rest of a longer query is ignored.
const WORDS_MAX: usize = 16;
/// The boost of a synonym.
const SYNONYM: Score = 0.9;
/// Of each of two words that the text writes as one.
const JOINED: Score = 0.5;
/// Of words that are typed as one and stand apart.
const APART: Score = 0.9;

/// Parses a query text. A corrected text is parsed again, so that it finds what it would
/// find if it had been typed so.
pub(crate) fn plan(
    searcher: &Searcher,
    synonyms: &Synonyms,
    text: &str,
) -> Result<QueryPlan, Error> {
    let typed = parse(searcher, synonyms, text)?;
    let Some(corrected) = &typed.corrected else {
        return Ok(typed);
    };
    let again = parse(searcher, synonyms, corrected)?;
    if again.corrected.is_some() {
        return Ok(typed);
    }
    Ok(QueryPlan { corrected: typed.corrected, ..again })
}

fn parse(searcher: &Searcher, synonyms: &Synonyms, text: &str) -> Result<QueryPlan, Error> {
    let chunks: Vec<Chunk<'_>> = text
        .split_whitespace()
        .map(|typed| Chunk { typed, words: words(typed) })
        .filter(|chunk| !chunk.words.is_empty())
        .take(WORDS_MAX)
        .collect();
    // A space at the end completes the last word.
    let last_extent = if text.ends_with(char::is_whitespace) {
        Extent::Whole
    } else {
        Extent::Prefix
    };
    let all_words = chunks.iter().flat_map(|chunk| chunk.words.iter().cloned());
    let mut parser = QueryParser { words: WordParser::new(searcher, all_words.collect()) };
    let mut ways: Vec<Vec<Matching>> = Vec::new();
    ways.resize_with(chunks.len(), Vec::new);
    parser.joined(&chunks, &mut ways)?;
    parser.synonyms(synonyms, &chunks, &mut ways)?;
    let (mut clauses, mut spelled) = (Vec::new(), Vec::new());
    for (place, (chunk, ways)) in chunks.iter().zip(ways).enumerate() {
        let extent = if place + 1 == chunks.len() {
            last_extent
        } else {
            Extent::Whole
        };
        let (matching, spelling) = parser.chunk(chunk, extent, ways)?;
        let rarity = parser.rarity(searcher, chunk)?;
        let needed = !FUNCTION_WORDS.contains(&chunk.words[0].as_str());
        clauses.push(Clause { matching, rarity, needed });
        spelled.push(spelling);
    }
    if clauses.is_empty() && !text.trim().is_empty() {
        // An empty plan matches everything, and a text of signs has no words.
        clauses.push(Clause { matching: Matching::NOTHING, rarity: 0.0, needed: true });
    }
    if clauses.iter().all(|clause| !clause.needed) {
        clauses.iter_mut().for_each(|clause| clause.needed = true);
    }
    let WordParser { terms, is_corrected, .. } = parser.words;
    let corrected = is_corrected.then(|| spelled.join(" "));
    Ok(QueryPlan { clauses, corrected, terms })
}

/// The text between two spaces: a word, or words joined by marks such as `usb-c`,
/// which may also be a model number.
struct Chunk<'a> {
    typed: &'a str,
    words: Vec<String>,
}

struct QueryParser<'a> {
    words: WordParser<'a>,
}

impl QueryParser<'_> {
    /// Adjacent words that a product writes as one: `smart watch`, `mx 500`.
    fn joined(&mut self, chunks: &[Chunk<'_>], ways: &mut [Vec<Matching>]) -> Result<(), Error> {
        for (place, pair) in chunks.windows(2).enumerate() {
            let (first, second) = (compact(pair[0].typed), compact(pair[1].typed));
            if ends_and_begins_with_digit(&first, &second) || is_unspaced(&first) {
                continue;
            }
            let joined = first + &second;
            if self.words.find(&joined)?.is_known() {
                let matching = self.words.as_typed(&joined)?;
                for ways in &mut ways[place..place + 2] {
                    ways.push(matching.clone().boosted(JOINED));
                }
            }
        }
        Ok(())
    }

    /// The synonyms of these words. Rules are compared without marks, so that one of
    /// `wi-fi` holds for `wifi` as well.
    fn synonyms(
        &mut self,
        synonyms: &Synonyms,
        chunks: &[Chunk<'_>],
        ways: &mut [Vec<Matching>],
    ) -> Result<(), Error> {
        if synonyms.is_empty() {
            return Ok(());
        }
        let stems: Vec<String> = chunks
            .iter()
            .map(|chunk| stem(&chunk.words.concat()))
            .collect();
        for from in 0..stems.len() {
            for to in from + 1..=stems.len().min(from + PHRASE_WORDS_MAX) {
                for phrase in synonyms.of(&stems[from..to]) {
                    let matching = self.words.phrase(phrase)?;
                    // Each word of the phrase carries its share of the boost.
                    let part = SYNONYM / (to - from) as Score;
                    for ways in &mut ways[from..to] {
                        ways.push(matching.clone().boosted(part));
                    }
                }
            }
        }
        Ok(())
    }

    /// What a chunk matches, alternatives included, and its best spelling.
    fn chunk(
        &mut self,
        chunk: &Chunk<'_>,
        extent: Extent,
        mut ways: Vec<Matching>,
    ) -> Result<(Matching, String), Error> {
        let parser = &mut self.words;
        if let [word] = chunk.words.as_slice() {
            let (matching, spelling) = parser.word(word, extent, ways)?;
            let is_typed = spelling == *word;
            return Ok((
                matching,
                if is_typed { chunk.typed.to_owned() } else { spelling },
            ));
        }
        let joined = chunk.words.concat();
        let whole = parser.find(&joined)?;
        if whole.is_known() {
            ways.push(parser.as_typed(&joined)?);
        }
        if extent == Extent::Prefix {
            ways.extend(parser.completed(&joined, whole.is_known())?);
        }
        let parts = parser.pairs(&chunk.words)?;
        let (mut apart, mut is_known) = (Vec::new(), true);
        for part in &parts {
            is_known &= is_unspaced(part) || parser.find(part)?.is_known();
        }
        if is_known || !ways.is_empty() {
            for part in &parts {
                apart.push(parser.exactly(part)?);
            }
            ways.push(Matching::All(apart).boosted(APART));
            return Ok((Matching::Best(ways), chunk.typed.to_owned()));
        }
        if let Some(corrected) = parser.respelled(&joined, extent)? {
            return Ok(corrected);
        }
        let mut spelled = Vec::new();
        for (place, part) in parts.iter().enumerate() {
            let is_last = place + 1 == parts.len();
            let extent = if is_last { extent } else { Extent::Whole };
            let (matching, spelling) = parser.word(part, extent, Vec::new())?;
            apart.push(matching);
            spelled.push(spelling);
        }
        let spelling = if spelled == parts {
            chunk.typed.to_owned()
        } else {
            spelled.join(" ")
        };
        Ok((Matching::All(apart), spelling))
    }

    /// The rarity of a chunk's rarest word.
    fn rarity(&mut self, searcher: &Searcher, chunk: &Chunk<'_>) -> Result<Score, Error> {
        let mut rarity: Score = 0.0;
        for word in &chunk.words {
            let documents = self.words.find(word)?.text.documents;
            rarity = rarity.max(vocabulary::rarity(searcher, documents));
        }
        Ok(rarity)
    }
}
