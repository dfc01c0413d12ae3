//! Tokenizer: the words of a text.
//!
//! A word is a run of letters and digits. A decimal point or comma belongs to its number.
//! Scripts without blanks between words (Chinese, Japanese, Korean, Thai and their neighbours)
//! have no rule for where a word ends, so a run of their letters counts as one word.
//!
//! **Invariant:** words are in the order of the text, do not overlap, and are not empty.

use std::ops::Range;

use unicode_normalization::char::is_combining_mark;
use unicode_script::{Script, UnicodeScript};

use crate::folding::{is_invisible, is_thousands};

/// Longer words are noise: hashes, addresses.
pub(crate) const WORD_BYTES_MAX: usize = 64;

/// Function words, which need not match.
pub(crate) const FUNCTION_WORDS: &[&str] = &[
    "a", "an", "and", "for", "from", "in", "of", "on", "or", "the", "to", "with",
];

/// What stands between two words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gap {
    /// One mark that may stand within a word.
    Mark(char),
    /// Blanks only.
    Blank,
    /// Anything else.
    Apart,
}

/// A run of letters and digits.
#[derive(Debug)]
pub(crate) struct Word {
    pub(crate) range: Range<usize>,
    pub(crate) before: Gap,
    /// Whether its script has no blanks between words.
    pub(crate) is_unspaced: bool,
}

/// The words of a text, in its order.
pub(crate) struct Words<'a> {
    text: &'a str,
    at: usize,
    /// The end of the word before.
    end: usize,
    /// The end of a list of numbers: its commas are no decimal ones.
    list_end: usize,
}

pub(crate) fn words(text: &str) -> Words<'_> {
    Words { text, at: 0, end: 0, list_end: 0 }
}

impl Iterator for Words<'_> {
    type Item = Word;

    fn next(&mut self) -> Option<Word> {
        let bytes = self.text.as_bytes();
        let mut start = self.at;
        let first = loop {
            match self.class(start)? {
                (Class::Gap | Class::Silent, length) => start += length,
                (class, _) => break class,
            }
        };
        let is_unspaced = first == Class::Unspaced;
        let mut end = start;
        loop {
            while !is_unspaced && bytes.get(end).is_some_and(u8::is_ascii_alphabetic) {
                end += 1;
            }
            match self.class(end) {
                Some((Class::Silent, length)) => end += length,
                Some((Class::Unspaced, length)) if is_unspaced => end += length,
                Some((Class::Letter, length)) if !is_unspaced => end += length,
                Some((Class::Digit, _)) if !is_unspaced => end = self.number_end(end),
                _ => break,
            }
        }
        let before = if self.end == 0 {
            Gap::Apart
        } else {
            gap(&self.text[self.end..start])
        };
        (self.at, self.end) = (end, end);
        Some(Word { range: start..end, before, is_unspaced })
    }
}

impl Words<'_> {
    /// The class of a character, and its bytes.
    #[inline]
    fn class(&self, at: usize) -> Option<(Class, usize)> {
        let byte = *self.text.as_bytes().get(at)?;
        if byte.is_ascii() {
            return Some((ascii_class(byte), 1));
        }
        self.wide_class(at)
    }

    /// The same of a character that is not ASCII, which is rare in most texts.
    #[inline(never)]
    fn wide_class(&self, at: usize) -> Option<(Class, usize)> {
        let letter = self.text[at..].chars().next()?;
        Some((class(letter), letter.len_utf8()))
    }

    /// The end of the number that begins at a digit. A point, or a comma that is clearly
    /// a decimal one or parts thousands, belongs to it.
    fn number_end(&mut self, start: usize) -> usize {
        let bytes = self.text.as_bytes();
        let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
        let mut end = start;
        while is_digit(end) || (matches!(bytes.get(end), Some(b'.' | b',')) && is_digit(end + 1)) {
            end += 1;
        }
        let number = &self.text[start..end];
        let Some(comma) = number.find(',') else {
            return end;
        };
        if start >= self.list_end && (is_thousands(number) || is_decimal(number)) {
            return end;
        }
        self.list_end = end;
        start + comma
    }
}

/// Whether the comma of a number is a decimal one: `5,5`, `0,125`.
fn is_decimal(number: &str) -> bool {
    !number.contains('.') && number.matches(',').count() == 1
}

/// How the tokenizer treats a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Digit,
    /// Of a script without blanks between words.
    Unspaced,
    /// Part of a word that it does not begin.
    Silent,
    Gap,
}

fn ascii_class(letter: u8) -> Class {
    match letter {
        b'a'..=b'z' | b'A'..=b'Z' => Class::Letter,
        b'0'..=b'9' => Class::Digit,
        _ => Class::Gap,
    }
}

fn class(letter: char) -> Class {
    match letter {
        _ if is_mark(letter) || is_invisible(letter) => Class::Silent,
        _ if !letter.is_alphanumeric() => Class::Gap,
        _ if is_of_unspaced_script(letter) => Class::Unspaced,
        _ => Class::Letter,
    }
}

/// Marks belong to the character before them; two of kana have a narrow form.
fn is_mark(letter: char) -> bool {
    is_combining_mark(letter) || matches!(letter, '\u{ff9e}' | '\u{ff9f}')
}

fn is_of_unspaced_script(letter: char) -> bool {
    // The sign that lengthens a vowel of kana belongs to no script.
    matches!(letter, 'ー' | 'ｰ')
        || matches!(
            letter.script(),
            Script::Han
                | Script::Hiragana
                | Script::Katakana
                | Script::Hangul
                | Script::Thai
                | Script::Lao
                | Script::Khmer
                | Script::Myanmar
        )
}

/// Whether a word is of a script without blanks between words.
pub(crate) fn is_unspaced(word: &str) -> bool {
    let first = word.chars().next();
    first.is_some_and(|letter| !letter.is_ascii() && is_of_unspaced_script(letter))
}

/// Whether one character of this script is a word: 傘, 책.
pub(crate) fn is_word_alone(character: &str) -> bool {
    let first = character.chars().next();
    first.is_some_and(|letter| matches!(letter.script(), Script::Han | Script::Hangul))
}

/// Whether a folded character is of kana.
pub(crate) fn is_kana(character: &str) -> bool {
    let first = character.chars().next();
    first.is_some_and(|letter| letter == 'ー' || letter.script() == Script::Hiragana)
}

/// Whether a word is of a script whose letters are sounds, and without blanks.
pub(crate) fn is_alphabetic_script(word: &str) -> bool {
    let first = word.chars().next();
    first.is_some_and(|letter| {
        matches!(
            letter.script(),
            Script::Thai | Script::Lao | Script::Khmer | Script::Myanmar
        )
    })
}

/// Marks that may stand within a word.
pub(crate) fn is_joining(mark: char) -> bool {
    matches!(
        mark,
        '-' | '&' | '/' | '\'' | '+' | '_' | '.' | '·' | '’' | '‐' | '‑' | '–' | '－' | '＆'
    )
}

fn gap(between: &str) -> Gap {
    if between == " " {
        return Gap::Blank;
    }
    let mut letters = between.chars();
    match (letters.next(), letters.next()) {
        (Some(mark), None) if is_joining(mark) => Gap::Mark(mark),
        (Some(_), _) if between.chars().all(char::is_whitespace) => Gap::Blank,
        _ => Gap::Apart,
    }
}

/// The characters of a script without blanks, each with its marks.
pub(crate) fn characters(run: &str) -> impl Iterator<Item = Range<usize>> {
    let starts = run
        .char_indices()
        .filter(|(at, letter)| *at == 0 || !is_silent(*letter));
    let starts: Vec<usize> = starts.map(|(at, _)| at).chain([run.len()]).collect();
    (1..starts.len()).map(move |next| starts[next - 1]..starts[next])
}

fn is_silent(letter: char) -> bool {
    is_mark(letter) || is_invisible(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_whole() {
        for (text, expected) in [
            ("Wi-Fi 6", &["Wi", "Fi", "6"] as &[_]),
            ("3.5mm, 5,5 mm", &["3.5mm", "5,5", "mm"]),
            ("sizes 38,39,40.", &["sizes", "38", "39", "40"]),
            ("1,000 or 1,250,000.50", &["1,000", "or", "1,250,000.50"]),
            ("USBケーブル 3個", &["USB", "ケーブル", "3", "個"]),
            ("Kaffee\u{ad}maschine", &["Kaffee\u{ad}maschine"]),
            ("!!! 🎁", &[]),
        ] {
            let found: Vec<&str> = words(text).map(|word| &text[word.range]).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
