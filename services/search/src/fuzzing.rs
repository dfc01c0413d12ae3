//! Fuzz target of the query: from arbitrary text to a plan, its hits and its completions.
//!
//! The function takes arbitrary bytes and asserts an invariant. The fuzzer in `fuzz/` and
//! the property test below call the same function, so a crash that the fuzzer finds is
//! reproduced by a plain test.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use crate::{Document, Index, ProductId, SearchHits, SearchRequest, Synonyms};

/// Titles with words that are joined, shared, rare and close to one another.
const TITLES: &[&str] = &[
    "USB-C charging cable 2 m",
    "USB C charger 65 W",
    "Smartwatch with heart rate monitor",
    "Smart watch strap",
    "Desk lamp, dimmable",
    "Lampshade for desk lamps",
    "Écharpe en laine mérinos",
    "Wireless mouse MX-500",
    "Noise-cancelling headphones",
    "青い ランプ",
];

static CATALOGUE: LazyLock<(Index, Synonyms)> = LazyLock::new(|| {
    let index = Index::in_memory().expect("an index in memory opens");
    let mut writer = index.writer().expect("it has no other writer");
    for (number, title) in (0..).zip(TITLES) {
        let document = Document {
            id: ProductId::new(),
            sku: &format!("SKU-{number}00"),
            title,
            description: "Comes in a box with a cable.",
            brand: "Acme",
            categories: &["Home > Lighting".to_owned()],
            tags: &["sale".to_owned()],
            attributes: &BTreeMap::from([("Colour".to_owned(), "red".to_owned())]),
            price: 100 * number,
            available: true,
            created: number,
            rating: None,
        };
        writer.add(&document).expect("a document is added");
    }
    writer.commit(&()).expect("a commit in memory succeeds");
    let (synonyms, _) = Synonyms::parse("charger, power adapter\nmouse => trackball\n");
    (index, synonyms)
});

fn search(text: &str) -> SearchHits {
    let (index, synonyms) = &*CATALOGUE;
    let request = SearchRequest {
        text: text.to_owned(),
        limit: TITLES.len(),
        ..SearchRequest::default()
    };
    let hits = index.search(&request, synonyms);
    hits.expect("an index in memory can be read")
}

/// Every hit is one product with a finite score, `<em>` is the only markup of a highlighted
/// text, a correction is given only with hits, and every completion finds a product.
///
/// # Panics
/// When the invariant does not hold.
pub fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let hits = search(text);
    assert_eq!(hits.total, hits.page.len(), "{text:?}");
    let distinct: HashSet<_> = hits.page.iter().map(|(id, _)| *id).collect();
    assert_eq!(distinct.len(), hits.total, "{text:?}");
    assert!(
        hits.page.iter().all(|(_, score)| score.is_finite()),
        "{text:?}"
    );
    assert!(hits.corrected.is_none() || hits.total > 0, "{text:?}");
    for marked in TITLES.iter().chain([&text]) {
        let marked = hits.highlighter.mark(marked).unwrap_or_default();
        let plain = marked.replace("<em>", "").replace("</em>", "");
        assert!(!plain.contains(['<', '>']), "{marked}");
    }
    let completions = CATALOGUE.0.suggest(text);
    for completion in completions.expect("an index in memory can be read") {
        assert!(search(&completion).total > 0, "{text:?}: {completion:?}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    /// Words of the catalogue, changed and mixed with any characters.
    fn texts() -> impl Strategy<Value = String> {
        let words: Vec<&str> = super::TITLES
            .iter()
            .flat_map(|title| title.split(' '))
            .collect();
        let word = (proptest::sample::select(words), 0usize..12, ".{0,2}");
        let edited = word.prop_map(|(word, keep, other)| {
            let kept: String = word.chars().take(keep).collect();
            kept + &other
        });
        let piece = prop_oneof![edited, Just(" ".to_owned()), ".{0,8}"];
        proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn queries(text in texts(), data in any::<Vec<u8>>()) {
            super::query(text.as_bytes());
            super::query(&data);
        }
    }
}
