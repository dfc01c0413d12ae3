//! Head-noun extraction: the kind of a product, and the kinds it only mentions.
//!
//! A laptop lock mentions laptops and is a lock, which the order of its title shows:
//! the last word of the title's first phrase, without colours, brands, numbers and
//! other attributes, is the head noun. The word before it, and the words after a "for"
//! or a "with", are modifiers. The last step of a category path names the kind
//! outright. A search for a bare noun ranks products of that kind before products
//! that mention it.
//!
//! **Invariant:** the rules contain no vocabulary of any trade, only the words and
//! marks that divide a title.

use crate::analysis::{each_word, stem, words};
use crate::document::leaf;
use crate::terms::Initials;
use crate::{Document, identity};

/// Words that end a title's first phrase; modifiers follow.
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

/// The relation of a word to a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TermRole {
    /// The last step of one of its categories.
    Category = 0,
    /// The head noun of its title.
    Title = 1,
    /// A modifier: the product is of another kind.
    About = 2,
}

/// Bits of a mark beside its role. A product has about ten marks, and the effect of a
/// rare collision is one product ranked a little differently.
const MARK_BITS: u32 = 22;

/// A word in its role, as one number for a column of the index.
pub(crate) fn mark(stem: &str, role: TermRole) -> u64 {
    let hash = identity::hash(stem) >> (u64::BITS - MARK_BITS);
    (hash << 2) | role as u64
}

/// The role of a mark.
pub(crate) fn role(mark: u64) -> TermRole {
    match mark & 3 {
        0 => TermRole::Category,
        1 => TermRole::Title,
        _ => TermRole::About,
    }
}

/// A product's words in their roles.
pub(crate) fn marks(product: &Document<'_>) -> Vec<u64> {
    let mut marks = Vec::new();
    for path in product.categories {
        // "Phones & Tablets" is two kinds in one.
        for part in leaf(path).split(['&', ',', '/']) {
            if let Some((is, about)) = words(part).split_last() {
                marks.push(mark(&stem(is), TermRole::Category));
                marks.extend(about.iter().map(|word| mark(&stem(word), TermRole::About)));
            }
        }
    }
    if let Some(phrase) = first_phrase(product) {
        marks.push(mark(&stem(&phrase.is), TermRole::Title));
        let about = phrase.about.iter();
        marks.extend(about.map(|word| mark(&stem(word), TermRole::About)));
    }
    marks.sort_unstable();
    marks.dedup();
    marks
}

struct Phrase {
    is: String,
    about: Vec<String>,
}

/// The head noun and the modifiers of a title.
fn first_phrase(product: &Document<'_>) -> Option<Phrase> {
    let attributes = words_of_attributes(product);
    let brand = words(product.brand);
    let mut is: Option<String> = None;
    let (mut before, mut about) = (None, Vec::new());
    let mut previous: Option<String> = None;
    let (mut over, mut after_number) = (false, false);
    for chunk in product.title.split_whitespace() {
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
fn words_of_attributes(product: &Document<'_>) -> Vec<String> {
    let mut others = words(product.title);
    others.sort_unstable();
    others.dedup();
    let initials = Initials::of(others.iter());
    let mut found = Vec::new();
    for value in product.attributes.values() {
        each_word(value, &initials, |word| {
            let place = others.iter().position(|other| other == word);
            found.extend(place.map(|place| others.swap_remove(place)));
        });
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
    use std::collections::BTreeMap;

    use super::*;
    use crate::ProductId;

    fn with_product<T>(
        title: &str,
        categories: &[&str],
        check: impl FnOnce(&Document<'_>) -> T,
    ) -> T {
        let categories: Vec<String> = categories.iter().map(|&path| path.into()).collect();
        let attributes = BTreeMap::from([("colour".to_owned(), "Night Blue".to_owned())]);
        check(&Document {
            id: ProductId::new(),
            sku: "A1",
            title,
            description: "",
            brand: "Acme",
            categories: &categories,
            tags: &[],
            attributes: &attributes,
            price: 1,
            available: true,
            created: 0,
            rating: None,
        })
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
            let phrase = with_product(title, &[], first_phrase);
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
        let categories = ["Computers > Laptop Bags", "Cases & Covers"];
        let marks = with_product("Acme Sleeve", &categories, marks);
        for (word, role) in [
            ("bag", TermRole::Category),
            ("laptop", TermRole::About),
            ("case", TermRole::Category),
            ("cover", TermRole::Category),
            ("sleev", TermRole::Title),
        ] {
            assert!(marks.contains(&mark(word, role)), "{word}");
        }
    }
}
