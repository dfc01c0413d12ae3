//! Index terms: the words of a text, and what else it is found by.
//!
//! | text | words | terms besides |
//! | --- | --- | --- |
//! | `Wi-Fi` | wi, fi | wifi |
//! | `iPhone 15` | iphone, 15 | iphone15 |
//! | `3,5 mm` | 3.5, mm | 3.5mm |
//! | `Bluetooth5.3` | bluetooth5.3 | bluetooth |
//! | `長財布` | | 長, 財, 布, 長財, 財布 |
//!
//! What a shopper may write as one word is a term of its own, so that a query needs one
//! term for it and never a phrase. Runs without blanks are indexed by bigrams.
//!
//! **Invariant:** every term names the range of the text that it stands for.

use std::ops::Range;

use crate::folding::fold;
use crate::tokenizer::{
    FUNCTION_WORDS, Gap, WORD_BYTES_MAX, Word, characters, is_joining, is_word_alone, words,
};

/// Letters of a unit, and of a name, that is joined with the number beside it.
const UNIT_CHARS_MAX: usize = 6;
const NAME_CHARS_MAX: usize = 12;
/// Digits of a number that is joined with the name before it.
const NAME_DIGITS_MAX: usize = 5;
/// Words between marks that are joined into one: `4-in-1`, and no sentence.
const CHAIN_WORDS_MAX: usize = 4;
/// Letters of a word before a number that are a term of their own: `Bluetooth5`.
const HEAD_CHARS_MIN: usize = 3;
/// A slash joins only short words, such as `AC/DC`: others are two things.
const SLASH_CHARS_MAX: usize = 2;

/// The relation of a term to the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TermKind {
    /// A word as it is written.
    Word,
    /// The beginning of one.
    Head,
    /// Several words as one.
    Joined,
    /// One or two characters of a script without blanks.
    Gram,
}

/// A term that a text is found by.
#[derive(Debug)]
pub(crate) struct IndexTerm<'a> {
    pub(crate) text: &'a str,
    pub(crate) range: Range<usize>,
    pub(crate) kind: TermKind,
}

/// The letters that the terms looked for begin with, folded. A term begins as its first word
/// does, so most words of a text need not be folded for a few terms to be found in it.
#[derive(Debug)]
pub(crate) struct Initials([bool; 256]);

impl Initials {
    pub(crate) const ALL: Self = Self([true; 256]);

    pub(crate) fn of<'a>(terms: impl Iterator<Item = &'a String>) -> Self {
        let mut initials = [false; 256];
        for first in terms.filter_map(|term| term.bytes().next()) {
            initials[usize::from(first)] = true;
        }
        Self(initials)
    }

    /// Whether a word of a text may begin a term. Only letters of ASCII are folded by byte.
    pub(crate) fn begin(&self, word: &str) -> bool {
        let first = word.bytes().next().unwrap_or_default();
        !first.is_ascii() || self.has(first.to_ascii_lowercase())
    }

    /// Whether a term that begins with this byte is looked for.
    pub(crate) fn has(&self, first: u8) -> bool {
        self.0[usize::from(first)]
    }
}

/// Buffers of [`terms`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Buffers {
    word: String,
    previous: String,
    joined: String,
    chain: String,
    gram: String,
}

/// Words between marks, as far as they were read.
#[derive(Default)]
struct Chain {
    start: usize,
    words: usize,
    /// Whether they can be one word: no digits meet in it.
    joins: bool,
}

impl Chain {
    fn begun(start: usize) -> Self {
        Self { start, words: 1, joins: true }
    }

    /// Whether the words are one: as many as a word has, and no mark goes on from there.
    fn is_word(&self, rest: &str) -> bool {
        (3..=CHAIN_WORDS_MAX).contains(&self.words) && self.joins && !rest.starts_with(is_joining)
    }
}

/// Calls `seen` with each term of a text that begins so, until it returns `false`. Other
/// terms may be left out.
pub(crate) fn terms(
    text: &str,
    initials: &Initials,
    buffers: &mut Buffers,
    mut seen: impl FnMut(IndexTerm<'_>) -> bool,
) {
    let Buffers { word, previous, joined, chain, gram } = buffers;
    let (mut before, mut chained) = (0..0, Chain::default());
    let mut is_begun = false;
    previous.clear();
    for Word { range, before: gap, is_unspaced } in words(text) {
        word.clear();
        if is_unspaced {
            let run = &text[range.clone()];
            if !grams(run, range.start, [&mut *word, &mut *gram], &mut seen) {
                return;
            }
            previous.clear();
            chained.words = 0;
            continue;
        }
        let begins = initials.begin(&text[range.clone()]);
        let goes_on = is_begun || matches!(gap, Gap::Mark(_)) && chained.joins;
        is_begun = begins;
        if !begins && !goes_on {
            previous.clear();
            chained = Chain { joins: false, ..Chain::begun(range.start) };
            before = range;
            continue;
        }
        fold(&text[range.clone()], word);
        if !see(word, &range, TermKind::Word, &mut seen) {
            return;
        }
        if let Some(head) = head(word)
            && !see(head, &range, TermKind::Head, &mut seen)
        {
            return;
        }
        let pair = Pair {
            first: previous,
            second: word,
            capital: is_capital(&text[before.clone()]) || is_capital(&text[range.clone()]),
        };
        let joins = !previous.is_empty() && pair.joins(gap);
        if joins {
            joined.clear();
            joined.push_str(previous);
            joined.push_str(word);
            let both = before.start..range.end;
            if !see(joined, &both, TermKind::Joined, &mut seen) {
                return;
            }
        }
        if matches!(gap, Gap::Mark(_)) && chained.words > 0 {
            chained.joins &= joins;
            chained.words += 1;
            chain.push_str(word);
            let whole = chained.start..range.end;
            if chained.is_word(&text[range.end..])
                && !see(chain, &whole, TermKind::Joined, &mut seen)
            {
                return;
            }
        } else {
            chained = Chain::begun(range.start);
            chain.clear();
            chain.push_str(word);
        }
        std::mem::swap(previous, word);
        before = range;
    }
}

fn see(
    term: &str,
    range: &Range<usize>,
    kind: TermKind,
    seen: &mut impl FnMut(IndexTerm<'_>) -> bool,
) -> bool {
    // Longer words are noise: hashes, addresses.
    term.is_empty()
        || term.len() > WORD_BYTES_MAX
        || seen(IndexTerm { text: term, range: range.clone(), kind })
}

/// Two neighbouring words, folded.
struct Pair<'a> {
    first: &'a str,
    second: &'a str,
    /// Whether one of them is a single capital: `USB C`, `T Shirt`.
    capital: bool,
}

impl Pair<'_> {
    /// Whether they may be written as one.
    fn joins(&self, gap: Gap) -> bool {
        let Self { first, second, capital } = *self;
        if ends_and_begins_with_digit(first, second) {
            return false;
        }
        match gap {
            Gap::Mark('/') => first.len().min(second.len()) <= SLASH_CHARS_MAX,
            Gap::Mark(_) => true,
            Gap::Blank if is_number(first) => is_word(second) && second.len() <= UNIT_CHARS_MAX,
            Gap::Blank if is_number(second) => {
                (2..=NAME_CHARS_MAX).contains(&first.len())
                    && second.len() <= NAME_DIGITS_MAX
                    && is_word(first)
            }
            Gap::Blank => capital && is_word(first) && is_word(second),
            Gap::Apart => false,
        }
    }
}

/// Whether the digits of two words would become one number.
pub(crate) fn ends_and_begins_with_digit(first: &str, second: &str) -> bool {
    first.ends_with(|letter: char| letter.is_ascii_digit())
        && second.starts_with(|letter: char| letter.is_ascii_digit())
}

fn is_number(word: &str) -> bool {
    word.bytes()
        .all(|letter| letter.is_ascii_digit() || letter == b'.')
}

/// Whether a word has letters only and a meaning of its own.
fn is_word(word: &str) -> bool {
    word.chars().all(char::is_alphabetic) && !FUNCTION_WORDS.contains(&word)
}

fn is_capital(word: &str) -> bool {
    word.len() == 1 && word.bytes().all(|letter| letter.is_ascii_uppercase())
}

/// The letters before a word's digits, `2` of `2.0`.
fn head(word: &str) -> Option<&str> {
    let digits = word.find(|letter: char| letter.is_ascii_digit())?;
    if digits >= HEAD_CHARS_MIN {
        return Some(&word[..digits]);
    }
    word.strip_suffix(".0").filter(|whole| is_number(whole))
}

/// The bigrams of a run, and the characters that are words alone.
fn grams(
    run: &str,
    offset: usize,
    [previous, gram]: [&mut String; 2],
    seen: &mut impl FnMut(IndexTerm<'_>) -> bool,
) -> bool {
    let mut before: Option<Range<usize>> = None;
    let is_alone = characters(run).nth(1).is_none();
    for place in characters(run) {
        let range = offset + place.start..offset + place.end;
        gram.clear();
        fold(&run[place], gram);
        if (is_alone || is_word_alone(gram)) && !see(gram, &range, TermKind::Gram, seen) {
            return false;
        }
        if let Some(before) = before {
            let letters = previous.len();
            previous.push_str(gram);
            if !see(previous, &(before.start..range.end), TermKind::Gram, seen) {
                return false;
            }
            previous.drain(..letters);
        } else {
            previous.clear();
            previous.push_str(gram);
        }
        before = Some(range);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        terms(text, &Initials::ALL, &mut Buffers::default(), |term| {
            all.push(term.text.to_owned());
            assert!(text.get(term.range).is_some_and(|place| !place.is_empty()));
            true
        });
        all
    }

    #[test]
    fn terms_that_begin_otherwise_are_all_that_is_left_out() {
        let text =
            "Big-T-Shirt with T-Shirt-Logo 3-in-1, USB C 16 GB Écru top-up x-t-shirt-logo 長財布";
        for initial in ["t", "b", "1", "u", "e", "g", "x"] {
            let initials = Initials::of([initial.to_owned()].iter());
            let mut found = Vec::new();
            terms(text, &initials, &mut Buffers::default(), |term| {
                found.extend(term.text.starts_with(initial).then(|| term.text.to_owned()));
                true
            });
            let mut expected = all(text);
            expected.retain(|term| term.starts_with(initial));
            assert!(
                !expected.is_empty() && found == expected,
                "{initial}: {found:?}"
            );
        }
    }

    #[test]
    fn a_text_is_found_by_each_of_its_spellings() {
        for (text, terms) in [
            ("Crème-brûlée", &["creme", "brulee", "cremebrulee"] as &[_]),
            ("Wi-Fi 6", &["wi", "fi", "wifi", "6", "fi6"]),
            (
                "iPhone 15 128 GB",
                &["iphone", "15", "iphone15", "128", "gb", "128gb"],
            ),
            ("16GB", &["16gb"]),
            ("USB C, of 4", &["usb", "c", "usbc", "of", "4"]),
            ("H&M", &["h", "m", "hm"]),
            (
                "f/2.8, black/white",
                &["f", "2.8", "f2.8", "black", "white"],
            ),
            ("3,5mm", &["3.5mm"]),
            ("3.5 mm", &["3.5", "mm", "3.5mm"]),
            ("in 38,39,40", &["in", "38", "39", "40"]),
            ("1,000 W", &["1000", "w", "1000w"]),
            ("USB 2.0", &["usb", "2.0", "2", "usb2.0"]),
            ("Bluetooth5.3", &["bluetooth5.3", "bluetooth"]),
            ("7-in-1", &["7", "in", "7in", "1", "in1", "7in1"]),
            ("70-200mm", &["70", "200mm"]),
            (
                "長財布 USBケーブル",
                &[
                    "長", "財", "長財", "布", "財布", "usb", "けー", "ーぶ", "ぶる",
                ],
            ),
            ("ﾌﾟﾗ", &["ぷら"]),
            ("เสื้อ", &["เสื้", "สื้อ"]),
            ("!!! 🎁", &[]),
        ] {
            assert_eq!(all(text), terms, "{text}");
        }
    }
}
