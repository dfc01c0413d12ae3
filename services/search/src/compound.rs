//! Compounds: long words that end in the word typed, as German, Dutch and the Nordic
//! languages make them: `lampe` finds `Stehlampe`, and `regal` finds `Bücherregal`.
//!
//! Compounds are found when they are searched for, in a dictionary of words written
//! backwards, and not split when they are indexed: which words a shop has is known only
//! when all of them are indexed, and a document must not depend on those before it.
//!
//! **Invariant:** what stands before the word typed is a word of the shop, too; only for a
//! word that the shop does not have by itself, something long enough is sufficient.

use std::collections::BTreeSet;

use tantivy::Searcher;

use crate::analysis::words;
use crate::document::leaf;
use crate::lookup::Lookups;
use crate::schema::SCHEMA;
use crate::spelling;
use crate::tokenizer::is_unspaced;
use crate::vocabulary::{completions, documents};
use crate::{Document, Error};

/// Letters of a compound, of its last word, and of what stands before.
const COMPOUND_CHARS_MIN: usize = 7;
const HEAD_CHARS_MIN: usize = 4;
const MODIFIER_CHARS_MIN: usize = 3;
/// The same of an English word that the shop does not have by itself: English writes few
/// compounds as one, and many words end in another by chance.
const ENGLISH_HEAD_CHARS_MIN: usize = 5;
const ENGLISH_MODIFIER_CHARS_MIN: usize = 4;
/// A word in so many documents by itself fills a page, and its compounds would follow.
const DOCUMENTS_MAX: u64 = 100;
/// Compounds tried and used of one word.
const TRIED_MAX: usize = 64;
const COMPOUNDS_MAX: usize = 16;

/// Endings that the last word may have or lack: plurals. The first few are tried of words
/// that the shop has by themselves, too.
const ENDINGS: &[&str] = &["", "s", "n", "e", "en", "er"];
const ENDINGS_KNOWN: usize = 2;
/// What may stand between two words.
const LINKS: &[&str] = &["", "s", "n", "en", "es", "er", "e"];
/// English endings that are words by chance: `adjustable` is no table.
const SUFFIXES: &[&str] = &[
    "able", "ible", "tion", "sion", "ment", "ness", "ship", "less",
];

/// The words of a product that may be compounds, written backwards.
pub(crate) fn endings(product: &Document<'_>) -> Vec<String> {
    let categories = product.categories.iter().map(|path| leaf(path));
    let texts = categories.chain([product.title]);
    let mut endings: Vec<String> = texts
        .flat_map(words)
        .filter(|word| is_long(word, COMPOUND_CHARS_MIN) && !is_unspaced(word))
        .map(|word| word.chars().rev().collect())
        .collect();
    endings.sort_unstable();
    endings.dedup();
    endings
}

fn is_long(word: &str, chars_min: usize) -> bool {
    word.chars().count() >= chars_min && word.chars().all(char::is_alphabetic)
}

/// The compounds that end in a word, the most frequent first.
pub(crate) fn compounds(
    searcher: &Searcher,
    lookups: &mut Lookups<'_>,
    word: &str,
) -> Result<Vec<String>, Error> {
    if !is_long(word, HEAD_CHARS_MIN) || SUFFIXES.iter().any(|suffix| word.ends_with(suffix)) {
        return Ok(Vec::new());
    }
    let found = lookups.find(word)?;
    if found.text.documents >= DOCUMENTS_MAX {
        return Ok(Vec::new());
    }
    let is_known = found.is_known();
    let (head_min, modifier_min) = if spelling::is_english(word) {
        (ENGLISH_HEAD_CHARS_MIN, ENGLISH_MODIFIER_CHARS_MIN)
    } else {
        (HEAD_CHARS_MIN, MODIFIER_CHARS_MIN)
    };
    let endings = if is_known { &ENDINGS[..ENDINGS_KNOWN] } else { ENDINGS };
    let mut found: Vec<(String, u32)> = Vec::new();
    for head in heads(word, endings) {
        let backwards: String = head.chars().rev().collect();
        let candidates = completions(searcher, SCHEMA.1.endings, &backwards, TRIED_MAX)?;
        for (candidate, documents) in candidates {
            let compound: String = candidate.chars().rev().collect();
            let modifier = compound.strip_suffix(&head).unwrap_or_default();
            let is_likely = !is_known && is_long(word, head_min) && is_long(modifier, modifier_min);
            if is_likely || is_modifier(searcher, modifier)? {
                found.push((compound, documents));
            }
        }
    }
    found.sort_by_key(|(compound, documents)| (std::cmp::Reverse(*documents), compound.clone()));
    found.dedup();
    found.truncate(COMPOUNDS_MAX);
    Ok(found.into_iter().map(|(compound, _)| compound).collect())
}

/// A word with each of these endings, in place of one that it has.
fn heads(word: &str, endings: &[&str]) -> BTreeSet<String> {
    let bare = endings
        .iter()
        .filter_map(|ending| word.strip_suffix(ending));
    let bare = bare.filter(|bare| bare.chars().count() >= HEAD_CHARS_MIN);
    bare.flat_map(|bare| endings.iter().map(move |ending| format!("{bare}{ending}")))
        .collect()
}

/// Whether this is a word of the shop, or one with a link to the next.
fn is_modifier(searcher: &Searcher, modifier: &str) -> Result<bool, Error> {
    for link in LINKS {
        if let Some(word) = modifier.strip_suffix(link)
            && word.chars().count() >= MODIFIER_CHARS_MIN
            && documents(searcher, SCHEMA.1.words, word)? > 0
        {
            return Ok(true);
        }
    }
    Ok(false)
}
