//! From what a person typed to a query over the index.
//!
//! A word is looked for as its stem in the product's texts and, worth less, in
//! its attributes; the very word goes before others of its stem. What else a word
//! may stand for counts instead of it and never on top of it: a synonym, two
//! words written as one or one as two, the word whose beginning it is. Only a word
//! that nothing in the shop knows is corrected.
//!
//! **Invariant:** every word typed has its clause, so that fewer words found is
//! always told from all words found.

use std::collections::BTreeSet;

use tantivy::query::{BooleanQuery, EmptyQuery, Query, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{Score, Searcher, Term};

use super::plan::{Clause, Marks, Plan, all_of, best_of, worth};
use super::schema::{Fields, SCHEMA};
use super::synonyms::{PHRASE_WORDS_MAX, Phrase, Synonyms};
use super::vocabulary::{self, Doubted};
use super::words::{compact, stem, words};
use crate::Error;

/// Words looked at; the rest of a longer query is ignored.
const WORDS_MAX: usize = 16;
/// Words that a beginning is completed to.
const COMPLETIONS_MAX: usize = 10;
/// Letters from which a beginning is completed: of a word nobody knows, and of one
/// that is a word itself.
const PREFIX_CHARS_MIN: usize = 2;
const KNOWN_PREFIX_CHARS_MIN: usize = 3;
/// A word in so few documents may be somebody else's typo…
const RARE_DOCUMENTS_MAX: u64 = 2;
/// …of one this many times as frequent.
const TIMES_AS_FREQUENT: u64 = 50;
/// Letters on each side where a word is taken for two.
const PART_CHARS_MIN: usize = 3;

/// What a match is worth, by where the word stands.
const TEXT: Score = 1.0;
const ATTRIBUTE: Score = 0.15;
const MODEL: Score = 1.0;
const EXACT: Score = 0.1;
/// What another way to say it is worth.
const SYNONYM: Score = 0.9;
/// Of each of the two words that are one in the text.
const JOINED: Score = 0.5;
const COMPLETED: Score = 0.05;
const DOUBTED: Score = 0.5;

/// Words that are in a query for its grammar and need not be found.
const FUNCTION_WORDS: &[&str] = &[
    "a", "an", "and", "for", "from", "in", "of", "on", "or", "the", "to", "with",
];

/// Reads a text.
pub(super) fn plan(searcher: &Searcher, synonyms: &Synonyms, text: &str) -> Result<Plan, Error> {
    let fields = &SCHEMA.1;
    let chunks: Vec<Chunk<'_>> = text
        .split_whitespace()
        .take(WORDS_MAX)
        .map(|typed| Chunk { typed, words: words(typed) })
        .filter(|chunk| !chunk.words.is_empty())
        .collect();
    // Whoever ended with a space has finished the last word.
    let typing = !text.ends_with(char::is_whitespace);
    let mut reading = Reading {
        searcher,
        fields,
        words: chunks
            .iter()
            .flat_map(|chunk| chunk.words.iter().map(String::as_str))
            .collect(),
        marks: Marks::default(),
        corrected: false,
    };
    let mut ways: Vec<Vec<Box<dyn Query>>> = Vec::new();
    ways.resize_with(chunks.len(), Vec::new);
    reading.joined(&chunks, &mut ways)?;
    reading.synonyms(synonyms, &chunks, &mut ways)?;
    let (mut clauses, mut spelled) = (Vec::new(), Vec::new());
    for (place, (chunk, ways)) in chunks.iter().zip(ways).enumerate() {
        let last = typing && place + 1 == chunks.len();
        let (query, spelling) = reading.chunk(chunk, last, ways)?;
        let rarity = reading.rarity(&chunk.words)?;
        let needed = !FUNCTION_WORDS.contains(&chunk.words[0].as_str());
        clauses.push(Clause { query, rarity, needed });
        spelled.push(spelling);
    }
    if clauses.iter().all(|clause| !clause.needed) {
        clauses.iter_mut().for_each(|clause| clause.needed = true);
    }
    let corrected = reading.corrected.then(|| spelled.join(" "));
    Ok(Plan { clauses, corrected, marks: reading.marks })
}

/// What stands between two spaces: a word, or words joined by marks such as
/// `usb-c`, which may also be a model number.
struct Chunk<'a> {
    typed: &'a str,
    words: Vec<String>,
}

/// A query, and the spelling of what it stands for.
type Spelled = (Box<dyn Query>, String);

struct Reading<'a> {
    searcher: &'a Searcher,
    fields: &'a Fields,
    /// All words typed.
    words: Vec<&'a str>,
    marks: Marks,
    corrected: bool,
}

impl<'a> Reading<'a> {
    /// Neighbours that somewhere are written as one: `smart watch`, `mx 500`.
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
                    ways.push(worth(query.box_clone(), JOINED));
                }
            }
        }
        Ok(())
    }

    /// What else the owner calls these words.
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
                    // Each word of the phrase carries its part of the whole.
                    let part = SYNONYM / (to - from) as Score;
                    for ways in &mut ways[from..to] {
                        ways.push(worth(query.box_clone(), part));
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

    /// A chunk, with the other ways to say it, and how it is spelled best.
    fn chunk(
        &mut self,
        chunk: &Chunk<'_>,
        last: bool,
        mut ways: Vec<Box<dyn Query>>,
    ) -> Result<Spelled, Error> {
        let whole = compact(chunk.typed);
        if let [word] = chunk.words.as_slice() {
            return self.word(word, last, ways);
        }
        let is_model = vocabulary::documents(self.searcher, self.fields.model, &whole)? > 0;
        let (mut parts, mut spelled) = (Vec::new(), Vec::new());
        for (place, part) in chunk.words.iter().enumerate() {
            let last = last && place + 1 == chunk.words.len();
            let (query, spelling) = if is_model {
                (self.as_typed(part)?, part.clone())
            } else {
                self.word(part, last, Vec::new())?
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
        if last {
            ways.extend(self.models_beginning(&whole)?);
        }
        Ok((best_of(ways), spelling))
    }

    /// A word as typed, completed or, if nothing knows it, corrected; and how it
    /// is spelled best.
    fn word(
        &mut self,
        word: &str,
        last: bool,
        mut ways: Vec<Box<dyn Query>>,
    ) -> Result<Spelled, Error> {
        let known = self.knows(word)?;
        if known {
            ways.push(self.as_typed(word)?);
        }
        if last {
            ways.extend(self.completed(word, known)?);
        }
        let mut spelling = word.to_owned();
        if ways.is_empty() {
            if let Some((query, meant)) = self.meant(word, last)? {
                (spelling, self.corrected) = (meant, true);
                ways.push(query);
            }
        } else if known && let Some(meant) = self.doubted(word)? {
            ways.push(worth(self.as_typed(&meant)?, DOUBTED));
        }
        Ok((best_of(ways), spelling))
    }

    /// The words whose beginning it may be.
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
            self.marks.prefix = Some(word.to_owned());
        }
        for stem in stems {
            ways.push(self.term(self.fields.text, &stem, COMPLETED));
            ways.push(self.term(self.fields.attributes, &stem, COMPLETED * ATTRIBUTE));
            self.marks.stems.insert(stem);
        }
        Ok(ways)
    }

    /// What a word that nothing knows stands for: two words, or a typo of one.
    fn meant(&mut self, word: &str, last: bool) -> Result<Option<Spelled>, Error> {
        for as_prefix in [false, true] {
            if as_prefix && !last {
                break;
            }
            if let Some((meant, _)) = self.corrections(word, as_prefix)?.into_iter().next() {
                return Ok(Some((self.as_typed(&meant)?, meant)));
            }
        }
        if let Some(parts) = self.parts(word)? {
            return Ok(Some((self.phrase(&parts)?, parts.join(" "))));
        }
        Ok(None)
    }

    /// The far more frequent word that a rare one may be a typo of.
    fn doubted(&self, word: &str) -> Result<Option<String>, Error> {
        let documents = vocabulary::documents(self.searcher, self.fields.text, &stem(word))?;
        if documents > RARE_DOCUMENTS_MAX {
            return Ok(None);
        }
        let nearest = self.corrections(word, false)?.into_iter().next();
        let frequent =
            |(_, found): &(String, u32)| u64::from(*found) >= documents.max(1) * TIMES_AS_FREQUENT;
        Ok(nearest.filter(frequent).map(|(meant, _)| meant))
    }

    fn corrections(&self, word: &str, as_prefix: bool) -> Result<Vec<(String, u32)>, Error> {
        let beside: Vec<&str> = self
            .words
            .iter()
            .copied()
            .filter(|other| *other != word)
            .collect();
        let doubted = Doubted { word, as_prefix, beside: &beside };
        vocabulary::corrections(self.searcher, self.fields.words, &doubted)
    }

    /// Two words written as one, if products have both: those that most have.
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

    /// Whether any product has the word, or another of its stem.
    fn knows(&self, word: &str) -> Result<bool, Error> {
        let Fields { text, attributes, words, model, .. } = *self.fields;
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

    /// How much words tell together: the logarithm that BM25 weighs them by.
    fn rarity(&self, words: &[String]) -> Result<Score, Error> {
        let all = self.searcher.num_docs() as Score;
        let mut rarity: Score = 0.0;
        for word in words {
            let found =
                vocabulary::documents(self.searcher, self.fields.text, &stem(word))? as Score;
            rarity = rarity.max((1.0 + (all - found + 0.5).max(0.0) / (found + 0.5)).ln());
        }
        Ok(rarity)
    }

    /// A word wherever it may stand.
    fn as_typed(&mut self, word: &str) -> Result<Box<dyn Query>, Error> {
        let Fields { text, attributes, words, model, .. } = *self.fields;
        let stem = stem(word);
        let mut places = Vec::new();
        for (field, word, worth) in [
            (text, stem.as_str(), TEXT),
            (attributes, &stem, ATTRIBUTE),
            (words, word, EXACT),
            (model, word, MODEL),
        ] {
            if vocabulary::documents(self.searcher, field, word)? > 0 {
                places.push(self.term(field, word, worth));
            }
        }
        self.marks.stems.insert(stem);
        Ok(match places.len() {
            0 => Box::new(EmptyQuery),
            1 => places.remove(0),
            _ => Box::new(BooleanQuery::union(places)),
        })
    }

    fn models_beginning(&self, prefix: &str) -> Result<Vec<Box<dyn Query>>, Error> {
        // A short beginning, or one of letters only, is a word's.
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

    fn term(&self, field: Field, word: &str, value: Score) -> Box<dyn Query> {
        let term = Term::from_field_text(field, word);
        worth(
            Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs)),
            value,
        )
    }
}
