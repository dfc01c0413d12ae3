//! Words of a query: what each of them matches, as typed, completed or respelled.
//!
//! **Invariant:** a word that is in the index is never replaced, and a correction is
//! within the edits that [`vocabulary`] allows.

use std::collections::BTreeSet;
use std::rc::Rc;

use tantivy::{Score, Searcher};

use crate::Error;
use crate::analysis::{compact, runs, stem};
use crate::compound;
use crate::lookup::{Lookup, Lookups};
use crate::names;
use crate::plan::{MatchedTerms, Matching};
use crate::schema::{SCHEMA, SchemaFields};
use crate::spelling;
use crate::synonyms::Phrase;
use crate::terms::ends_and_begins_with_digit;
use crate::tokenizer::is_unspaced;
use crate::vocabulary::{self, Extent, Misspelling};

/// Completions of one prefix.
pub(crate) const COMPLETIONS_MAX: usize = 10;
/// Letters from which a prefix is completed: of an unknown word, and of a known one.
const PREFIX_CHARS_MIN: usize = 2;
const KNOWN_PREFIX_CHARS_MIN: usize = 3;
/// A word in so few documents may be misspelt in the catalogue…
const RARE_DOCUMENTS_MAX: u64 = 2;
/// …if the correction is this many times as frequent.
const TIMES_AS_FREQUENT: u64 = 50;
/// Letters of each part where a word is split in two.
const PART_CHARS_MIN: usize = 3;
/// The same where the word is English: a kitten is no kit of ten.
const ENGLISH_PART_CHARS_MIN: usize = 4;

/// The boost of a match by field.
pub(crate) const TEXT: Score = 1.0;
pub(crate) const ATTRIBUTE: Score = 0.15;
const MODEL: Score = 1.0;
const EXACT: Score = 0.1;
/// The boost of an alternative.
const COMPLETED: Score = 0.05;
const CORRECTED: Score = 0.5;
const COMPOUND: Score = 0.1;

/// What a word matches, and its best spelling.
pub(crate) type Spelled = (Matching, String);

/// Parses the words of one query.
pub(crate) struct WordParser<'a> {
    pub(crate) lookups: Lookups<'a>,
    pub(crate) fields: &'static SchemaFields,
    /// All words typed.
    typed: Vec<String>,
    pub(crate) terms: MatchedTerms,
    /// Whether a word was corrected.
    pub(crate) is_corrected: bool,
}

impl<'a> WordParser<'a> {
    pub(crate) fn new(searcher: &'a Searcher, typed: Vec<String>) -> Self {
        Self {
            lookups: Lookups::new(searcher),
            fields: &SCHEMA.1,
            typed,
            terms: MatchedTerms::default(),
            is_corrected: false,
        }
    }

    pub(crate) fn searcher(&self) -> &'a Searcher {
        self.lookups.searcher
    }

    /// How many documents have a word.
    pub(crate) fn find(&mut self, word: &str) -> Result<Rc<Lookup>, Error> {
        self.lookups.find(word)
    }

    /// A word as typed, completed or, if it is unknown, respelled.
    pub(crate) fn word(
        &mut self,
        word: &str,
        extent: Extent,
        mut ways: Vec<Matching>,
    ) -> Result<Spelled, Error> {
        if is_unspaced(word) {
            ways.push(self.unspaced(word)?);
            return Ok((Matching::Best(ways), word.to_owned()));
        }
        let is_known = self.find(word)?.is_known();
        if is_known {
            ways.push(self.as_typed(word)?);
        }
        if extent == Extent::Prefix {
            ways.extend(self.completed(word, is_known)?);
        }
        ways.extend(self.compounds(word)?);
        if ways.is_empty() {
            let respelled = self.respelled(word, extent)?;
            return Ok(respelled.unwrap_or_else(|| (Matching::NOTHING, word.to_owned())));
        }
        if is_known && let Some(meant) = self.frequent_correction(word)? {
            ways.push(self.as_typed(&meant)?.boosted(CORRECTED));
        }
        Ok((Matching::Best(ways), word.to_owned()))
    }

    /// A word in every field.
    pub(crate) fn as_typed(&mut self, word: &str) -> Result<Matching, Error> {
        let found = self.find(word)?;
        let places = [
            (&found.text, TEXT),
            (&found.attributes, ATTRIBUTE),
            (&found.words, EXACT),
            (&found.model, MODEL),
        ];
        let known = places.into_iter().filter(|(term, _)| term.documents > 0);
        let places = known.map(|(term, boost)| self.lookups.scored(Rc::clone(term), boost));
        let matching = Matching::Any(places.collect::<Result<_, _>>()?);
        self.terms.stems.insert(stem(word));
        Ok(matching)
    }

    /// A word without alternatives.
    pub(crate) fn exactly(&mut self, word: &str) -> Result<Matching, Error> {
        if is_unspaced(word) {
            self.unspaced(word)
        } else {
            self.as_typed(word)
        }
    }

    pub(crate) fn phrase(&mut self, words: &Phrase) -> Result<Matching, Error> {
        let words = words.iter().map(|word| self.exactly(word));
        Ok(Matching::All(words.collect::<Result<_, _>>()?))
    }

    /// Words that were typed as one, those joined that the catalogue writes as one.
    pub(crate) fn pairs(&mut self, words: &[String]) -> Result<Vec<String>, Error> {
        let (mut parts, mut words) = (Vec::new(), words.iter().peekable());
        while let Some(word) = words.next() {
            if let Some(next) = words.peek()
                && !ends_and_begins_with_digit(word, next)
                && !is_unspaced(word)
                && !is_unspaced(next)
            {
                let joined = format!("{word}{next}");
                if self.find(&joined)?.is_known() {
                    parts.push(joined);
                    words.next();
                    continue;
                }
            }
            parts.push(word.clone());
        }
        Ok(parts)
    }

    /// The completions of a word.
    pub(crate) fn completed(&mut self, word: &str, is_known: bool) -> Result<Vec<Matching>, Error> {
        let chars_min = if is_known {
            KNOWN_PREFIX_CHARS_MIN
        } else {
            PREFIX_CHARS_MIN
        };
        let mut ways = self.models_beginning(&compact(word))?;
        if word.chars().count() < chars_min {
            return Ok(ways);
        }
        let SchemaFields { text, attributes, words, .. } = *self.fields;
        let own = stem(word);
        let full = vocabulary::completions(self.searcher(), words, word, COMPLETIONS_MAX)?;
        let stems: BTreeSet<String> = full
            .iter()
            .map(|(full, _)| stem(full))
            .filter(|stem| *stem != own)
            .collect();
        if !full.is_empty() {
            self.terms.prefix = Some(word.to_owned());
        }
        for stem in stems {
            ways.push(self.lookups.matching(text, &stem, COMPLETED)?);
            if !is_known {
                let boost = COMPLETED * ATTRIBUTE;
                ways.push(self.lookups.matching(attributes, &stem, boost)?);
            }
            self.terms.stems.insert(stem);
        }
        Ok(ways)
    }

    /// The compounds that end in a word.
    fn compounds(&mut self, word: &str) -> Result<Vec<Matching>, Error> {
        let searcher = self.searcher();
        let compounds = compound::compounds(searcher, &mut self.lookups, word)?;
        let ways = compounds.iter().map(|compound| self.as_typed(compound));
        ways.map(|way| Ok(way?.boosted(COMPOUND))).collect()
    }

    /// An unknown word in another spelling: its letters and digits apart, a near word,
    /// or two words written as one.
    pub(crate) fn respelled(
        &mut self,
        word: &str,
        extent: Extent,
    ) -> Result<Option<Spelled>, Error> {
        let runs: Vec<String> = runs(word)
            .into_iter()
            .map(|run| word[run].to_owned())
            .collect();
        if runs.len() > 1 {
            let parts = self.pairs(&runs)?;
            let (mut found, mut spelled) = (Vec::new(), String::new());
            for part in &parts {
                let (matching, spelling) = self.word(part, Extent::Whole, Vec::new())?;
                found.push(matching);
                spelled.push_str(&spelling);
            }
            return Ok(Some((Matching::All(found), spelled)));
        }
        let tried: &[Extent] = match extent {
            _ if spelling::is_english(word) => &[],
            Extent::Whole => &[Extent::Whole],
            Extent::Prefix => &[Extent::Whole, Extent::Prefix],
        };
        for extent in tried {
            if let Some((meant, _)) = self.corrections(word, *extent)?.into_iter().next() {
                self.is_corrected = true;
                let name = names::name(self.searcher(), &meant)?;
                let shown = name.map_or_else(|| meant.clone(), |name| name.shown().to_owned());
                return Ok(Some((self.as_typed(&meant)?, shown)));
            }
        }
        if let Some(parts) = self.parts(word)? {
            self.is_corrected = true;
            return Ok(Some((self.phrase(&parts)?, parts.join(" "))));
        }
        Ok(None)
    }

    /// The far more frequent word that a rare one may be a misspelling of.
    fn frequent_correction(&mut self, word: &str) -> Result<Option<String>, Error> {
        let documents = self.find(word)?.text.documents;
        if documents > RARE_DOCUMENTS_MAX {
            return Ok(None);
        }
        let nearest = self.corrections(word, Extent::Whole)?.into_iter().next();
        let frequent =
            |(_, found): &(String, u32)| u64::from(*found) >= documents.max(1) * TIMES_AS_FREQUENT;
        Ok(nearest.filter(frequent).map(|(meant, _)| meant))
    }

    fn corrections(&self, word: &str, extent: Extent) -> Result<Vec<(String, u32)>, Error> {
        let typed = self.typed.iter().map(String::as_str);
        let beside: Vec<&str> = typed.filter(|other| *other != word).collect();
        let misspelling = Misspelling { word, extent, beside: &beside };
        vocabulary::corrections(self.searcher(), self.fields.words, &misspelling)
    }

    /// The split of a word in two that most products have both parts of.
    fn parts(&self, word: &str) -> Result<Option<Phrase>, Error> {
        let mut best: Option<(u32, Phrase)> = None;
        let words = self.fields.words;
        let is_english = spelling::is_english(word);
        let chars_min = if is_english {
            ENGLISH_PART_CHARS_MIN
        } else {
            PART_CHARS_MIN
        };
        for (cut, _) in word.char_indices() {
            let (one, other) = word.split_at(cut);
            if one.chars().count().min(other.chars().count()) < chars_min {
                continue;
            }
            let together = vocabulary::together(self.searcher(), (words, one), (words, other))?;
            if together > best.as_ref().map_or(0, |(most, _)| *most) {
                best = Some((together, vec![one.to_owned(), other.to_owned()]));
            }
        }
        Ok(best.map(|(_, parts)| parts))
    }

    fn models_beginning(&self, prefix: &str) -> Result<Vec<Matching>, Error> {
        // A short prefix, or one of letters only, belongs to a word.
        let likely = prefix.chars().count() > PREFIX_CHARS_MIN
            && prefix.contains(|letter: char| letter.is_ascii_digit());
        if !likely {
            return Ok(Vec::new());
        }
        let field = self.fields.model;
        let models = vocabulary::completions(self.searcher(), field, prefix, COMPLETIONS_MAX)?;
        let models = models.iter();
        models
            .map(|(model, _)| self.lookups.matching(field, model, COMPLETED * MODEL))
            .collect()
    }
}
