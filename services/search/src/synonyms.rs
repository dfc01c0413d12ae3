//! Synonym rules, as the shop's owner writes them.
//!
//! ```text
//! # Words that mean the same, in any direction:
//! tv, television, telly
//! # A search for the left also finds the right, not the other way round:
//! laptop bag => notebook case, sleeve
//! ```
//!
//! Synonyms are expanded in queries, so a change needs no rebuild of the index.
//!
//! **Invariant:** a line that cannot be parsed is reported and skipped; the others hold.

use std::collections::HashMap;

use crate::analysis::{compact, stem};

/// Synonyms of one phrase, and words of each.
const WAYS_MAX: usize = 32;
pub(crate) const PHRASE_WORDS_MAX: usize = 4;

/// A word or a few. A word with marks in it, such as `wi-fi`, is one without them.
pub(crate) type Phrase = Vec<String>;

/// The synonyms of each phrase. Keys are stems, values words as written.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Synonyms(HashMap<Phrase, Vec<Phrase>>);

impl Synonyms {
    /// The synonyms of a phrase of stems.
    pub(crate) fn of(&self, stems: &[String]) -> &[Phrase] {
        self.0.get(stems).map_or(&[], Vec::as_slice)
    }

    /// Parses rules, one a line; a fault is a line's number and the reason it was skipped.
    #[must_use]
    pub fn parse(text: &str) -> (Self, Vec<(usize, String)>) {
        let (mut synonyms, mut faults) = (Self::default(), Vec::new());
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            if let Err(why) = synonyms.add(line) {
                faults.push((number + 1, why));
            }
        }
        (synonyms, faults)
    }

    /// How many phrases have synonyms.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no rules.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        if let Some((from, to)) = line.split_once("=>") {
            let (from, to) = (phrases(from)?, phrases(to)?);
            for from in &from {
                self.put(from, &to);
            }
            return Ok(());
        }
        let ways = phrases(line)?;
        if ways.len() < 2 {
            return Err(
                "one word alone is no synonym; write `one, another` or `one => another`".into(),
            );
        }
        for from in &ways {
            self.put(from, &ways);
        }
        Ok(())
    }

    fn put(&mut self, from: &Phrase, to: &[Phrase]) {
        let key: Phrase = from.iter().map(|word| stem(word)).collect();
        let ways = self.0.entry(key).or_default();
        for way in to {
            if way != from && !ways.contains(way) && ways.len() < WAYS_MAX {
                ways.push(way.clone());
            }
        }
    }
}

fn phrases(text: &str) -> Result<Vec<Phrase>, String> {
    let phrases = text.split(',').map(|way| {
        let words = way.split_whitespace().map(compact);
        let words: Phrase = words.filter(|word| !word.is_empty()).collect();
        match words.len() {
            0 => Err("a word is missing before or after a comma or `=>`".to_owned()),
            1..=PHRASE_WORDS_MAX => Ok(words),
            _ => Err(format!(
                "`{}` has more than {PHRASE_WORDS_MAX} words",
                way.trim()
            )),
        }
    });
    let phrases = phrases.collect::<Result<Vec<_>, _>>()?;
    if phrases.len() > WAYS_MAX {
        return Err(format!("more than {WAYS_MAX} synonyms on a line"));
    }
    Ok(phrases)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(synonyms: &Synonyms, phrase: &str) -> Vec<String> {
        let stems: Vec<String> = phrase.split(' ').map(stem).collect();
        let ways = synonyms.of(&stems).iter();
        ways.map(|way| way.join(" ")).collect()
    }

    #[test]
    fn lines_are_read_and_faults_are_named() {
        let text = "# tellies\nTV, television , telly # any\n\nlaptop bag => notebook case, sleeve\nalone\na, b,\na b c d e, f\nWi-Fi, WLAN\n";
        let (synonyms, faults) = Synonyms::parse(text);
        assert_eq!(of(&synonyms, "tv"), ["television", "telly"]);
        assert_eq!(of(&synonyms, "telly"), ["tv", "television"]);
        assert_eq!(of(&synonyms, "laptop bags"), ["notebook case", "sleeve"]);
        assert!(of(&synonyms, "sleeve").is_empty());
        assert_eq!(of(&synonyms, "wifi"), ["wlan"]);
        let lines: Vec<usize> = faults.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [5, 6, 7], "{faults:?}");
    }
}
