//! Title order: the collation of titles, as people sort names.
//!
//! The root collation of CLDR (UTS #10) orders by letter, then by accent, then by case, in
//! every script, and digits by the number that they write: `Kabel 2` comes before `Kabel 10`,
//! and `Äpfel` beside `Apfel`. A sort key is computed once for each title; titles are in the
//! order of the bytes of their keys.
//!
//! **Invariant:** sort keys are stored, in the index and in the lists of the catalogue, and
//! keys of different data of the collation do not compare. An update of the library that
//! changes a key of the test below raises the schema's version and gives the catalogue's
//! lists a new table.

use std::sync::LazyLock;

use icu_collator::options::CollatorOptions;
use icu_collator::preferences::CollationNumericOrdering;
use icu_collator::{Collator, CollatorBorrowed, CollatorPreferences};

/// The characters of a title that order it; titles that differ after them are in the order
/// of their ids.
const TITLE_CHARS_SORTED: usize = 64;

/// Without a language: shoppers of several languages see one order, and no order of a single
/// language changes it for letters of others.
static COLLATOR: LazyLock<CollatorBorrowed<'static>> = LazyLock::new(|| {
    let mut preferences = CollatorPreferences::default();
    preferences.numeric_ordering = Some(CollationNumericOrdering::True);
    Collator::try_new(preferences, CollatorOptions::default())
        .expect("the root collation is compiled in")
});

/// The bytes by which a title is ordered: titles that are equal but for accents or case differ
/// in their last bytes only.
pub fn title_sort_key(title: &str) -> Vec<u8> {
    let end = title.char_indices().nth(TITLE_CHARS_SORTED);
    let title = end.map_or(title, |(end, _)| &title[..end]);
    let mut key = Vec::with_capacity(2 * title.len());
    let Ok(()) = COLLATOR.write_sort_key_to(title, &mut key);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_in_the_order_of_names() {
        let ordered = [
            "(Sale) Lamp",
            "3.5 mm jack",
            "10 mm spacer",
            "apfel",
            "Apfel",
            "Äpfel",
            "Apfelsaft",
            "eclair",
            "Éclair",
            "iPhone 9",
            "iPhone 15",
            "iPhone 15 Pro",
            "Kabel 2",
            "Kabel 10",
            "Kabel rot",
            "Łóżko",
            "Œuf",
            "oz",
            "Zebra",
            "чайник",
            "אגרטל",
            "かばん",
            "カバン 2",
            "财布",
        ];
        let mut sorted = ordered;
        sorted.reverse();
        sorted.sort_by_key(|title| title_sort_key(title));
        assert_eq!(sorted, ordered);
    }

    /// Stored bytes: see the invariant of the module.
    #[test]
    fn golden_keys() {
        for (title, key) in [
            ("Äpfel 10", "2b4935334104100c0145960a01dc0b"),
            (
                "Łóżko カバン",
                "41475d3f47047d123a6c0145b24588459c41ae0501dcbed8d8c5db",
            ),
        ] {
            let bytes: String = title_sort_key(title)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            assert_eq!(bytes, key, "{title}");
        }
        let (long, longer) = ("a".repeat(TITLE_CHARS_SORTED), "a".repeat(300));
        assert_eq!(title_sort_key(&long), title_sort_key(&longer));
    }
}
