//! Runs of scripts without blanks between words, in a query: what each of them matches.
//!
//! **Invariant:** each character of a run is in a bigram that a product has, or is a word
//! alone that it has.

use std::ops::Range;
use std::rc::Rc;

use tantivy::Score;

use crate::Error;
use crate::folding::folded;
use crate::plan::Matching;
use crate::tokenizer::{self, is_kana, is_word_alone};
use crate::vocabulary;
use crate::word::{ATTRIBUTE, COMPLETIONS_MAX, TEXT, WordParser};

/// Characters used of a run.
const CHARACTERS_MAX: usize = 32;
/// The boost of a character alone, beside bigrams.
const CHARACTER: Score = 0.3;
/// Characters of kana that stand together in a product: fewer do so by chance.
const KANA_TOGETHER: usize = 3;

impl WordParser<'_> {
    /// A run of a script without blanks: each of its characters in a bigram of the text.
    ///
    /// A bigram across two words of the run need not be in the text, so one may lack
    /// between two that are there. A first or last character that is a word alone may
    /// stand anywhere: 革財布 finds 本革長財布. Of kana three characters have to stand
    /// together, because ブルケー has both bigrams of ケーブル. Alphabets have even fewer
    /// letters, so of theirs all bigrams are needed.
    pub(crate) fn unspaced(&mut self, run: &str) -> Result<Matching, Error> {
        let characters: Vec<String> = tokenizer::characters(run)
            .map(|character| folded(&run[character]))
            .take(CHARACTERS_MAX)
            .collect();
        let [first, .., _] = characters.as_slice() else {
            return self.character(&characters.concat());
        };
        let is_alphabet = tokenizer::is_alphabetic_script(first);
        let mut bigrams = Vec::new();
        for pair in characters.windows(2) {
            bigrams.push(self.gram(&pair.concat(), TEXT)?);
        }
        if is_alphabet {
            let all = bigrams.into_iter().collect::<Option<_>>();
            return Ok(all.map_or(Matching::NOTHING, Matching::All));
        }
        let last = characters.len() - 1;
        let mut all = Vec::new();
        for (place, character) in characters.iter().enumerate() {
            let mut ways = together(&bigrams, place, &kana_around(&characters, place));
            let is_outer = place == 0 || place == last;
            if is_outer && characters.len() > 2 && is_word_alone(character) {
                ways.extend(self.gram(character, CHARACTER)?);
            }
            if ways.is_empty() {
                return Ok(Matching::NOTHING);
            }
            all.push(Matching::Best(ways));
        }
        Ok(Matching::All(all))
    }

    /// A single character: alone, or as the beginning of bigrams.
    fn character(&mut self, character: &str) -> Result<Matching, Error> {
        if let Some(alone) = self.gram(character, TEXT)? {
            return Ok(alone);
        }
        let words = self.fields.words;
        let bigrams = vocabulary::completions(self.searcher(), words, character, COMPLETIONS_MAX)?;
        let mut ways = Vec::new();
        for (bigram, _) in bigrams {
            ways.extend(self.gram(&bigram, TEXT)?);
        }
        Ok(Matching::Best(ways))
    }

    /// A character or bigram, if any product has it.
    fn gram(&mut self, gram: &str, boost: Score) -> Result<Option<Matching>, Error> {
        let found = self.find(gram)?;
        if !found.is_known() {
            return Ok(None);
        }
        self.terms.stems.insert(gram.to_owned());
        let scored = |term, by| self.lookups.scored(Rc::clone(term), boost * by);
        Ok(Some(Matching::Any(vec![
            scored(&found.text, TEXT)?,
            scored(&found.attributes, ATTRIBUTE)?,
        ])))
    }
}

/// The characters of kana that stand together around a place.
fn kana_around(characters: &[String], place: usize) -> Range<usize> {
    let is_kana = |character: &&String| is_kana(character);
    let (before, after) = characters.split_at(place);
    let before = before.iter().rev().take_while(is_kana).count();
    let after = after.iter().take_while(is_kana).count();
    if after == 0 {
        place..place
    } else {
        place - before..place + after
    }
}

/// What a character may stand in: the bigram before or after it, or, in enough kana, one of
/// the pairs of bigrams that are three characters of it.
fn together(bigrams: &[Option<Matching>], place: usize, kana: &Range<usize>) -> Vec<Matching> {
    let bigram = |at: usize| bigrams.get(at).cloned().flatten();
    if kana.len() < KANA_TOGETHER {
        let before = place.checked_sub(1).and_then(bigram);
        return before.into_iter().chain(bigram(place)).collect();
    }
    let starts = place.saturating_sub(KANA_TOGETHER - 1).max(kana.start)..=place;
    let whole = starts.filter(|start| start + KANA_TOGETHER <= kana.end);
    let ways = whole.filter_map(|start| Some(vec![bigram(start)?, bigram(start + 1)?]));
    ways.map(|pair| Matching::All(pair).boosted(1.0 / 2.0))
        .collect()
}
