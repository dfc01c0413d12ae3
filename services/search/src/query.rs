//! Query parser: from the text typed to a query plan.
//!
//! A word matches as its stem in the product's texts and, with a lower boost, in its
//! attributes; the exact word ranks before others of its stem. Alternatives (a synonym,
//! two words written as one or one as two, a completion) replace the word's score and
//! never add to it. Only a word that is not in the index is corrected.
//!
//! **Invariant:** every word typed has one clause, so a match of all words is always
//! distinguished from a match of fewer.

use std::collections::BTreeSet;

use tantivy::query::{BooleanQuery, EmptyQuery, Query, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{Score, Searcher, Term};

use crate::Error;
use crate::analysis::{compact, stem, words};
use crate::plan::{Clause, MatchedTerms, QueryPlan, all_of, best_of, boosted};
use crate::schema::{SCHEMA, SchemaFields};
use crate::synonyms::{PHRASE_WORDS_MAX, Phrase, Synonyms};
use crate::vocabulary::{self, Extent, Misspelling};

/// Words used; the rest of a longer query is ignored.
const WORDS_MAX: usize = 16;
/// Completions of one prefix.
const COMPLETIONS_MAX: usize = 10;
/// Letters from which a prefix is completed: of an unknown word, and of a known one.
const PREFIX_CHARS_MIN: usize = 2;
const KNOWN_PREFIX_CHARS_MIN: usize = 3;
/// A word in so few documents may be misspelt in the catalogue…
const RARE_DOCUMENTS_MAX: u64 = 2;
/// …if the correction is this many times as frequent.
const TIMES_AS_FREQUENT: u64 = 50;
/// Letters of each part where a word is split in two.
const PART_CHARS_MIN: usize = 3;

/// The boost of a match by field.
const TEXT: Score = 1.0;
const ATTRIBUTE: Score = 0.15;
const MODEL: Score = 1.0;
const EXACT: Score = 0.1;
/// The boost of an alternative.
const SYNONYM: Score = 0.9;
/// Of each of two words that the text writes as one.
const JOINED: Score = 0.5;
const COMPLETED: Score = 0.05;
const CORRECTED: Score = 0.5;

/// Function words, which need not match.
const FUNCTION_WORDS: &[&str] = &[
    "a", "an", "and", "for", "from", "in", "of", "on", "or", "the", "to", "with",
];

/// Parses a query text.
pub(crate) fn plan(
    searcher: &Searcher,
    synonyms: &Synonyms,
    text: &str,
) -> Result<QueryPlan, Error> {
    let fields = &SCHEMA.1;
    let chunks: Vec<Chunk<'_>> = text
        .split_whitespace()
        .take(WORDS_MAX)
        .map(|typed| Chunk { typed, words: words(typed) })
        .filter(|chunk| !chunk.words.is_empty())
        .collect();
    // A space at the end completes the last word.
    let last_extent = if text.ends_with(char::is_whitespace) {
        Extent::Whole
    } else {
        Extent::Prefix
    };
    let mut parser = QueryParser {
        searcher,
        fields,
        words: chunks
            .iter()
            .flat_map(|chunk| chunk.words.iter().map(String::as_str))
            .collect(),
        terms: MatchedTerms::default(),
        corrected: false,
    };
    let mut ways: Vec<Vec<Box<dyn Query>>> = Vec::new();
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
        let (query, spelling) = parser.chunk(chunk, extent, ways)?;
        let rarity = vocabulary::rarity(searcher, fields.text, &chunk.words)?;
        let needed = !FUNCTION_WORDS.contains(&chunk.words[0].as_str());
        clauses.push(Clause { query, rarity, needed });
        spelled.push(spelling);
    }
    if clauses.iter().all(|clause| !clause.needed) {
        clauses.iter_mut().for_each(|clause| clause.needed = true);
    }
    let corrected = parser.corrected.then(|| spelled.join(" "));
    Ok(QueryPlan { clauses, corrected, terms: parser.terms })
}

/// The text between two spaces: a word, or words joined by marks such as `usb-c`,
/// which may also be a model number.
struct Chunk<'a> {
    typed: &'a str,
    words: Vec<String>,
}

/// A query and its corrected spelling.
type Spelled = (Box<dyn Query>, String);

struct QueryParser<'a> {
    searcher: &'a Searcher,
    fields: &'a SchemaFields,
    /// All words typed.
    words: Vec<&'a str>,
    terms: MatchedTerms,
    corrected: bool,
}

impl<'a> QueryParser<'a> {
    /// Adjacent words that a product writes as one: `smart watch`, `mx 500`.
    fn joined(
        &mut self,
        chunks: &[Chunk<'_>],
        ways: &mut [Vec<Box<dyn Query>>],
    ) -> Result<(), Error> {
        for (place, pair) in chunks.windows(2).enumerate() {
            let joined = format!("{}{}", compact(pair[0].typed), compact(pair[1].typed));
            if self.knows(&joined)? {
                let query = self.as_typed(&joined)?;
                for ways in &mut ways[place..place + 2] {
                    ways.push(boosted(query.box_clone(), JOINED));
                }
            }
        }
        Ok(())
    }

    /// The synonyms of these words.
    fn synonyms(
        &mut self,
        synonyms: &Synonyms,
        chunks: &[Chunk<'_>],
        ways: &mut [Vec<Box<dyn Query>>],
    ) -> Result<(), Error> {
        let stems: Vec<String> = chunks
            .iter()
            .map(|chunk| stem(&chunk.words.join("")))
            .collect();
        for from in 0..stems.len() {
            for to in from + 1..=stems.len().min(from + PHRASE_WORDS_MAX) {
                for phrase in synonyms.of(&stems[from..to]) {
                    let query = self.phrase(phrase)?;
                    // Each word of the phrase carries its share of the boost.
                    let part = SYNONYM / (to - from) as Score;
                    for ways in &mut ways[from..to] {
                        ways.push(boosted(query.box_clone(), part));
                    }
                }
            }
        }
        Ok(())
    }

    fn phrase(&mut self, words: &Phrase) -> Result<Box<dyn Query>, Error> {
        let queries = words
            .iter()
            .map(|word| self.as_typed(word))
            .collect::<Result<_, _>>()?;
        Ok(all_of(queries))
    }

    /// The query of a chunk and its alternatives, and its best spelling.
    fn chunk(
        &mut self,
        chunk: &Chunk<'_>,
        extent: Extent,
        mut ways: Vec<Box<dyn Query>>,
    ) -> Result<Spelled, Error> {
        let whole = compact(chunk.typed);
        if let [word] = chunk.words.as_slice() {
            return self.word(word, extent, ways);
        }
        let is_model = vocabulary::documents(self.searcher, self.fields.model, &whole)? > 0;
        let (mut parts, mut spelled) = (Vec::new(), Vec::new());
        for (place, part) in chunk.words.iter().enumerate() {
            let extent = if place + 1 == chunk.words.len() {
                extent
            } else {
                Extent::Whole
            };
            let (query, spelling) = if is_model {
                (self.as_typed(part)?, part.clone())
            } else {
                self.word(part, extent, Vec::new())?
            };
            parts.push(query);
            spelled.push(spelling);
        }
        let spelling = if spelled == chunk.words {
            chunk.typed.to_owned()
        } else {
            spelled.join(" ")
        };
        ways.push(all_of(parts));
        if is_model {
            ways.push(self.term(self.fields.model, &whole, MODEL));
        }
        if extent == Extent::Prefix {
            ways.extend(self.models_beginning(&whole)?);
        }
        Ok((best_of(ways), spelling))
    }

    /// The query of a word as typed, completed or, if it is unknown, corrected; and its
    /// best spelling.
    fn word(
        &mut self,
        word: &str,
        extent: Extent,
        mut ways: Vec<Box<dyn Query>>,
    ) -> Result<Spelled, Error> {
        let known = self.knows(word)?;
        if known {
            ways.push(self.as_typed(word)?);
        }
        if extent == Extent::Prefix {
            ways.extend(self.completed(word, known)?);
        }
        let mut spelling = word.to_owned();
        if ways.is_empty() {
            if let Some((query, meant)) = self.correction(word, extent)? {
                (spelling, self.corrected) = (meant, true);
                ways.push(query);
            }
        } else if known && let Some(meant) = self.frequent_correction(word)? {
            ways.push(boosted(self.as_typed(&meant)?, CORRECTED));
        }
        Ok((best_of(ways), spelling))
    }

    /// The completions of a word.
    fn completed(&mut self, word: &str, known: bool) -> Result<Vec<Box<dyn Query>>, Error> {
        let chars_min = if known {
            KNOWN_PREFIX_CHARS_MIN
        } else {
            PREFIX_CHARS_MIN
        };
        let mut ways = self.models_beginning(&compact(word))?;
        if word.chars().count() < chars_min {
            return Ok(ways);
        }
        let own = stem(word);
        let full =
            vocabulary::completions(self.searcher, self.fields.words, word, COMPLETIONS_MAX)?;
        let stems: BTreeSet<String> = full
            .iter()
            .map(|(full, _)| stem(full))
            .filter(|stem| *stem != own)
            .collect();
        if !full.is_empty() {
            self.terms.prefix = Some(word.to_owned());
        }
        for stem in stems {
            ways.push(self.term(self.fields.text, &stem, COMPLETED));
            ways.push(self.term(self.fields.attributes, &stem, COMPLETED * ATTRIBUTE));
            self.terms.stems.insert(stem);
        }
        Ok(ways)
    }

    /// The correction of an unknown word: a near word, or two words written as one.
    fn correction(&mut self, word: &str, extent: Extent) -> Result<Option<Spelled>, Error> {
        let tried: &[Extent] = match extent {
            Extent::Whole => &[Extent::Whole],
            Extent::Prefix => &[Extent::Whole, Extent::Prefix],
        };
        for extent in tried {
            if let Some((meant, _)) = self.corrections(word, *extent)?.into_iter().next() {
                return Ok(Some((self.as_typed(&meant)?, meant)));
            }
        }
        if let Some(parts) = self.parts(word)? {
            return Ok(Some((self.phrase(&parts)?, parts.join(" "))));
        }
        Ok(None)
    }

    /// The far more frequent word that a rare one may be a misspelling of.
    fn frequent_correction(&self, word: &str) -> Result<Option<String>, Error> {
        let documents = vocabulary::documents(self.searcher, self.fields.text, &stem(word))?;
        if documents > RARE_DOCUMENTS_MAX {
            return Ok(None);
        }
        let nearest = self.corrections(word, Extent::Whole)?.into_iter().next();
        let frequent =
            |(_, found): &(String, u32)| u64::from(*found) >= documents.max(1) * TIMES_AS_FREQUENT;
        Ok(nearest.filter(frequent).map(|(meant, _)| meant))
    }

    fn corrections(&self, word: &str, extent: Extent) -> Result<Vec<(String, u32)>, Error> {
        let beside: Vec<&str> = self
            .words
            .iter()
            .copied()
            .filter(|other| *other != word)
            .collect();
        let misspelling = Misspelling { word, extent, beside: &beside };
        vocabulary::corrections(self.searcher, self.fields.words, &misspelling)
    }

    /// The split of a word in two that most products have both parts of.
    fn parts(&self, word: &str) -> Result<Option<Phrase>, Error> {
        let mut best: Option<(u32, Phrase)> = None;
        for (cut, _) in word.char_indices() {
            let (one, other) = word.split_at(cut);
            if one.chars().count() < PART_CHARS_MIN || other.chars().count() < PART_CHARS_MIN {
                continue;
            }
            let together = vocabulary::together(self.searcher, self.fields.words, one, other)?;
            if together > best.as_ref().map_or(0, |(most, _)| *most) {
                best = Some((together, vec![one.to_owned(), other.to_owned()]));
            }
        }
        Ok(best.map(|(_, parts)| parts))
    }

    /// Whether any product has the word, or another one with its stem.
    fn knows(&self, word: &str) -> Result<bool, Error> {
        let SchemaFields { text, attributes, words, model, .. } = *self.fields;
        let stem = stem(word);
        for (field, word) in [
            (words, word),
            (text, &stem),
            (attributes, &stem),
            (model, word),
        ] {
            if vocabulary::documents(self.searcher, field, word)? > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A word in every field.
    fn as_typed(&mut self, word: &str) -> Result<Box<dyn Query>, Error> {
        let SchemaFields { text, attributes, words, model, .. } = *self.fields;
        let stem = stem(word);
        let mut places = Vec::new();
        for (field, word, boost) in [
            (text, stem.as_str(), TEXT),
            (attributes, &stem, ATTRIBUTE),
            (words, word, EXACT),
            (model, word, MODEL),
        ] {
            if vocabulary::documents(self.searcher, field, word)? > 0 {
                places.push(self.term(field, word, boost));
            }
        }
        self.terms.stems.insert(stem);
        Ok(match places.len() {
            0 => Box::new(EmptyQuery),
            1 => places.remove(0),
            _ => Box::new(BooleanQuery::union(places)),
        })
    }

    fn models_beginning(&self, prefix: &str) -> Result<Vec<Box<dyn Query>>, Error> {
        // A short prefix, or one of letters only, belongs to a word.
        let likely = prefix.chars().count() > PREFIX_CHARS_MIN
            && prefix.contains(|letter: char| letter.is_ascii_digit());
        if !likely {
            return Ok(Vec::new());
        }
        let field = self.fields.model;
        let models = vocabulary::completions(self.searcher, field, prefix, COMPLETIONS_MAX)?;
        let query = |(model, _): &(String, u32)| self.term(field, model, COMPLETED * MODEL);
        Ok(models.iter().map(query).collect())
    }

    fn term(&self, field: Field, word: &str, boost: Score) -> Box<dyn Query> {
        let term = Term::from_field_text(field, word);
        boosted(
            Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs)),
            boost,
        )
    }
}
