//! What a product is, as far as its own texts tell, and what it only mentions.
//!
//! A laptop lock mentions laptops and is a lock. Its title says so by its order:
//! the last word of the title's first phrase, once colours, brands, numbers and
//! other attributes are set aside, is what the thing is, and the word just before
//! it, or whatever follows a "for" or a "with", is what it is about. The last step
//! of a category path says it outright. Somebody who searches for a bare noun
//! wants the things that are it before the things that are about it.
//!
//! **Invariant:** nothing here knows a word of any trade; only what parts a title.

use std::collections::HashSet;

use super::identity;
use super::words::{each_word, stem, words};
use crate::domain::{CATEGORY_SEPARATOR, Content};

/// Words that end a title's first phrase; what follows is what it is about.
const PARTING_WORDS: &[&str] = &[
    "for",
    "with",
    "without",
    "and",
    "or",
    "from",
    "in",
    "of",
    "on",
    "to",
    "by",
    "plus",
    "incl",
    "including",
    "featuring",
    "w/",
    "f/",
    "-",
    "–",
    "—",
    "&",
    "|",
    "/",
    "+",
];
/// Marks that end it where they stand at the edge of a word.
const PARTING_MARKS: &[char] = &[',', ';', ':', '(', ')', '[', ']'];
/// Shorter words are units, sizes and articles.
const NOUN_CHARS_MIN: usize = 3;
/// Words taken from what follows the first phrase.
const ABOUT_MAX: usize = 6;

/// How a word of the query stands to a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// The last step of one of its categories is called so.
    Category = 0,
    /// Its title says that it is one.
    Title = 1,
    /// It is about it, and is something else.
    About = 2,
}

/// Bits of a mark beside its role. Every product has about ten marks, and a rare
/// collision costs one of them a place in the order.
const MARK_BITS: u32 = 22;

/// A word in its role, as one number for a column of the index.
pub(super) fn mark(stem: &str, role: Role) -> u64 {
    let hash = identity::hash(stem) >> (u64::BITS - MARK_BITS);
    (hash << 2) | role as u64
}

/// The role of a mark.
pub(super) fn role(mark: u64) -> Role {
    match mark & 3 {
        0 => Role::Category,
        1 => Role::Title,
        _ => Role::About,
    }
}

/// A product's words in their roles.
pub(super) fn marks(content: &Content) -> Vec<u64> {
    let mut marks = Vec::new();
    for path in &content.categories {
        let leaf = path.rsplit(CATEGORY_SEPARATOR).next().unwrap_or(path);
        // "Phones & Tablets" is two kinds in one.
        for part in leaf.split(['&', ',', '/']) {
            if let Some((is, about)) = words(part).split_last() {
                marks.push(mark(&stem(is), Role::Category));
                marks.extend(about.iter().map(|word| mark(&stem(word), Role::About)));
            }
        }
    }
    if let Some(phrase) = first_phrase(content) {
        marks.push(mark(&stem(&phrase.is), Role::Title));
        let about = phrase.about.iter();
        marks.extend(about.map(|word| mark(&stem(word), Role::About)));
    }
    marks.sort_unstable();
    marks.dedup();
    marks
}

struct Phrase {
    is: String,
    about: Vec<String>,
}

/// What the title's first phrase says, and what follows it.
fn first_phrase(content: &Content) -> Option<Phrase> {
    let attributes = words_of_attributes(content);
    let brand = words(&content.brand);
    let mut is: Option<String> = None;
    let (mut before, mut about) = (None, Vec::new());
    let mut previous: Option<String> = None;
    let (mut over, mut after_number) = (false, false);
    for chunk in content.title.split_whitespace() {
        let parts = is_parting(chunk) || chunk.starts_with(PARTING_MARKS);
        if parts && is.is_some() {
            over = true;
        }
        let words = words(chunk);
        let Some(word) = words.last().filter(|_| !is_parting(chunk)) else {
            previous = None;
            continue;
        };
        if over {
            if word.chars().count() >= NOUN_CHARS_MIN && word.chars().all(char::is_alphabetic) {
                about.push(word.clone());
            }
            if about.len() == ABOUT_MAX {
                break;
            }
            continue;
        }
        let number = chunk.contains(|letter: char| letter.is_ascii_digit());
        let is_unit = after_number && (word.len() <= NOUN_CHARS_MIN || chunk == word);
        after_number = number && !chunk.contains(char::is_alphabetic);
        let set_aside = number
            || is_unit
            || word.chars().count() < NOUN_CHARS_MIN
            || words.iter().all(|word| attributes.contains(word))
            || words.iter().all(|word| brand.contains(word));
        if !set_aside {
            is = Some(word.clone());
            before = previous.take().filter(|word| !brand.contains(word));
        }
        previous = (!number).then(|| word.clone());
        over = is.is_some() && chunk.ends_with(PARTING_MARKS);
    }
    about.extend(before);
    Some(Phrase { is: is?, about })
}

/// The words of the title that are words of an attribute as well.
fn words_of_attributes(content: &Content) -> HashSet<String> {
    let mut others: HashSet<String> = words(&content.title).into_iter().collect();
    let mut found = HashSet::new();
    for value in content.attributes.values() {
        each_word(value, |word| found.extend(others.take(word)));
    }
    found
}

fn is_parting(chunk: &str) -> bool {
    PARTING_WORDS
        .iter()
        .any(|parting| chunk.eq_ignore_ascii_case(parting))
}

#[cfg(test)]
mod tests {
    use model::{Money, PublicationStatus};

    use super::*;

    fn product(title: &str) -> Content {
        Content {
            sku: "A1".into(),
            title: title.into(),
            description: String::new(),
            brand: "Acme".into(),
            categories: Vec::new(),
            price: Money { amount: 1, currency: "EUR".parse().unwrap() },
            attributes: [("colour".to_owned(), "Night Blue".to_owned())].into(),
            images: Vec::new(),
            status: PublicationStatus::Published,
            rating: None,
        }
    }

    #[test]
    fn a_title_says_what_a_thing_is_and_what_it_is_about() {
        for (title, is, about) in [
            ("Acme Keyed Laptop Lock", "lock", &["laptop"] as &[_]),
            ("Acme 17\" Notebook Blue, 8 GB", "notebook", &[]),
            ("Acme M-400 optical mouse 800 dpi", "mouse", &["optical"]),
            ("Gel Mouse Pad Blue", "pad", &["mouse"]),
            ("Charger for Laptop", "charger", &["laptop"]),
            (
                "Acme Adjustable Desk Lamp with Dimmer",
                "lamp",
                &["dimmer", "desk"],
            ),
            ("Acme", "", &[]),
        ] {
            let phrase = first_phrase(&product(title));
            let (found, found_about) =
                phrase.map_or_else(Default::default, |found| (found.is, found.about));
            assert_eq!(
                (found.as_str(), found_about.as_slice()),
                (
                    is,
                    &*about
                        .iter()
                        .map(|word| (*word).to_owned())
                        .collect::<Vec<_>>()
                ),
                "{title}"
            );
        }
    }

    #[test]
    fn a_category_says_it_outright() {
        let mut bag = product("Acme Sleeve");
        bag.categories = vec!["Computers > Laptop Bags".into(), "Cases & Covers".into()];
        let marks = marks(&bag);
        for (word, role) in [
            ("bag", Role::Category),
            ("laptop", Role::About),
            ("case", Role::Category),
            ("cover", Role::Category),
            ("sleev", Role::Title),
        ] {
            assert!(marks.contains(&mark(word, role)), "{word}");
        }
    }
}
