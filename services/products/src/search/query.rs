//! From what a person typed to a query over the index.
//!
//! Every word must match somewhere; where, decides how much it counts: exact
//! beats stemmed beats completed beats corrected. A word the index knows is taken
//! as it is, unless a far more frequent one is a slip away; only if that finds
//! nothing are all words doubted, and only if that finds nothing may words be
//! missing.

use std::collections::BTreeSet;

use tantivy::query::{BooleanQuery, BoostQuery, DisjunctionMaxQuery, Occur, Query, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{Score, Searcher, Term};

use super::schema::{Fields, SCHEMA, compact, plain, stemmed, words_of};
use super::vocabulary::{self, Doubted};
use crate::Error;

/// Words looked at; the rest of a longer query is ignored.
const WORDS_MAX: usize = 16;
/// Words a typo may be corrected to, or a beginning completed to.
const CORRECTIONS_MAX: usize = 6;
const COMPLETIONS_MAX: usize = 30;
/// Letters from which a beginning is completed.
const PREFIX_CHARS_MIN: usize = 2;

/// A known word is doubted beside a likely one this many times as frequent: other
/// people's typos are in the catalogue too.
const TIMES_AS_FREQUENT: u64 = 20;

/// What a match is worth, by where the word stands.
const MODEL: Score = 6.0;
const TITLE_EXACT: Score = 4.0;
const TITLE: Score = 3.0;
const BRAND: Score = 2.5;
const CATEGORY: Score = 1.5;
const DESCRIPTION: Score = 1.0;
const ATTRIBUTES: Score = 0.6;
/// What a guessed word is worth beside one that was typed.
const COMPLETED: Score = 0.5;
const CORRECTED: Score = 0.25;
/// What a word's lesser matches add to its best one.
const TIE_BREAKER: Score = 0.1;

/// A clause of the query, and the best spelling of what it stands for.
type Clause = (Box<dyn Query>, String);

/// How much doubt a query is read with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Words the index knows mean what they say.
    UnknownWords,
    /// Any word may be a typo.
    EveryWord,
    /// And any word may be missing.
    AnyWord,
}

/// A query ready to be run.
pub(super) struct Plan {
    /// `None`: everything matches.
    pub(super) query: Option<Box<dyn Query>>,
    /// The text with typos corrected, if there were any.
    pub(super) corrected: Option<String>,
    /// What to mark in the texts found.
    pub(super) marks: Marks,
}

/// The words that a match is recognised by.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Stems.
    pub(super) stems: BTreeSet<String>,
    /// The beginning of a word that was still being typed.
    pub(super) prefix: Option<String>,
}

/// Reads a text with some doubt.
pub(super) fn plan(searcher: &Searcher, text: &str, doubt: Doubt) -> Result<Plan, Error> {
    let chunks: Vec<&str> = text.split_whitespace().take(WORDS_MAX).collect();
    let mut reading = Reading {
        searcher,
        fields: &SCHEMA.1,
        doubt,
        marks: Marks::default(),
        corrected: false,
    };
    // Whoever ended with a space has finished the last word.
    let typing = !text.ends_with(char::is_whitespace);
    let mut clauses = Vec::new();
    let mut spelled = Vec::new();
    for (place, chunk) in chunks.iter().enumerate() {
        let last = typing && place + 1 == chunks.len();
        if let Some((query, spelling)) = reading.chunk(chunk, last)? {
            clauses.push(query);
            spelled.push(spelling);
        }
    }
    let occur = match doubt {
        Doubt::AnyWord => Occur::Should,
        Doubt::UnknownWords | Doubt::EveryWord => Occur::Must,
    };
    let query = (!clauses.is_empty()).then(|| -> Box<dyn Query> {
        let clauses = clauses.into_iter().map(|query| (occur, query));
        Box::new(BooleanQuery::new(clauses.collect()))
    });
    let corrected = reading.corrected.then(|| spelled.join(" "));
    Ok(Plan { query, corrected, marks: reading.marks })
}

struct Reading<'a> {
    searcher: &'a Searcher,
    fields: &'a Fields,
    doubt: Doubt,
    marks: Marks,
    corrected: bool,
}

impl Reading<'_> {
    /// What stands between two spaces: a word, or words joined by marks such as
    /// `usb-c`, which may also be a model number. With its corrected spelling.
    fn chunk(&mut self, chunk: &str, last: bool) -> Result<Option<Clause>, Error> {
        let parts = words_of(&mut plain(), chunk);
        let whole = compact(chunk);
        let is_model = vocabulary::documents(self.searcher, self.fields.model, &whole)? > 0;
        match parts.as_slice() {
            [] => return Ok(None),
            [word] => return self.word(word, last, is_model).map(Some),
            _ => {}
        }
        let (mut clauses, mut spelled) = (Vec::new(), Vec::new());
        for (place, part) in parts.iter().enumerate() {
            let last = last && place + 1 == parts.len();
            let (query, spelling) = self.word(part, last, is_model)?;
            clauses.push(query);
            spelled.push(spelling);
        }
        let mut ways: Vec<Box<dyn Query>> = vec![
            Box::new(BooleanQuery::intersection(clauses)),
            self.boosted(self.fields.model, &whole, MODEL * 2.0),
        ];
        if last {
            ways.extend(self.models_beginning(&whole)?);
        }
        let spelling = if spelled == parts {
            chunk.to_owned()
        } else {
            spelled.join(" ")
        };
        Ok(Some((best_of(ways), spelling)))
    }

    /// A word as typed, completed or corrected, and how it was spelled best.
    fn word(&mut self, word: &str, last: bool, is_model: bool) -> Result<Clause, Error> {
        let mut ways = vec![self.as_typed(word)];
        let known = self.documents(word)?.max(u64::from(is_model));
        let mut completed = false;
        if last && word.chars().count() >= PREFIX_CHARS_MIN {
            let words = self.fields.words;
            for full in vocabulary::completions(self.searcher, words, word, COMPLETIONS_MAX)? {
                if full != word {
                    completed = true;
                    ways.push(Box::new(BoostQuery::new(self.as_typed(&full), COMPLETED)));
                }
            }
            ways.extend(self.models_beginning(&compact(word))?);
            self.marks.prefix = Some(word.to_owned());
        }
        let mut spelling = word.to_owned();
        let certain = completed || is_model;
        if self.doubt != Doubt::UnknownWords || !certain {
            let near = self.near(word, last, known)?;
            if let (0, false, Some(best)) = (known, completed, near.first()) {
                spelling.clone_from(best);
                self.corrected = true;
            }
            for meant in near {
                ways.push(Box::new(BoostQuery::new(self.as_typed(&meant), CORRECTED)));
            }
        }
        Ok((best_of(ways), spelling))
    }

    /// What a word that so many documents have may be a typo of.
    fn near(&self, word: &str, last: bool, known: u64) -> Result<Vec<String>, Error> {
        let documents_min = match self.doubt {
            Doubt::UnknownWords => known * TIMES_AS_FREQUENT,
            Doubt::EveryWord | Doubt::AnyWord => 0,
        };
        let look = |as_prefix| {
            let doubted = Doubted { word, as_prefix, documents_min };
            vocabulary::corrections(self.searcher, self.fields.words, &doubted, CORRECTIONS_MAX)
        };
        let near = look(false)?;
        if near.is_empty() && last && known == 0 {
            look(true)
        } else {
            Ok(near)
        }
    }

    /// How many documents have the word, or another word of its stem.
    fn documents(&self, word: &str) -> Result<u64, Error> {
        let mut most = vocabulary::documents(self.searcher, self.fields.words, word)?;
        let stem = stem(word);
        for (field, _) in self.stemmed_fields() {
            most = most.max(vocabulary::documents(self.searcher, field, &stem)?);
        }
        Ok(most)
    }

    fn stemmed_fields(&self) -> [(Field, Score); 5] {
        [
            (self.fields.title, TITLE),
            (self.fields.brand_words, BRAND),
            (self.fields.category_words, CATEGORY),
            (self.fields.description, DESCRIPTION),
            (self.fields.attribute_words, ATTRIBUTES),
        ]
    }

    /// A word where it is worth most.
    fn as_typed(&mut self, word: &str) -> Box<dyn Query> {
        let stem = stem(word);
        let mut places: Vec<Box<dyn Query>> = self
            .stemmed_fields()
            .into_iter()
            .map(|(field, worth)| self.boosted(field, &stem, worth))
            .collect();
        places.push(self.boosted(self.fields.title_exact, word, TITLE_EXACT));
        places.push(self.boosted(self.fields.model, word, MODEL));
        self.marks.stems.insert(stem);
        best_of(places)
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
        let worth = MODEL * COMPLETED;
        let query = |model: &String| self.boosted(field, model, worth);
        Ok(models.iter().map(query).collect())
    }

    fn boosted(&self, field: Field, word: &str, worth: Score) -> Box<dyn Query> {
        let term = Term::from_field_text(field, word);
        let query = TermQuery::new(term, IndexRecordOption::WithFreqs);
        Box::new(BoostQuery::new(Box::new(query), worth))
    }
}

fn best_of(ways: Vec<Box<dyn Query>>) -> Box<dyn Query> {
    Box::new(DisjunctionMaxQuery::with_tie_breaker(ways, TIE_BREAKER))
}

pub(super) fn stem(word: &str) -> String {
    let stems = words_of(&mut stemmed(), word);
    stems.into_iter().next().unwrap_or_else(|| word.to_owned())
}
