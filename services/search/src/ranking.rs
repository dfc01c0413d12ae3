//! Ranking: the BM25 score, weighed by the product's kind.
//!
//! **Invariant:** the weight multiplies the score, so a product without marks of its
//! kind keeps the score it has.

use std::collections::BTreeSet;

use tantivy::{DocId, Score, SegmentReader};

use crate::kind::{self, TermRole};
use crate::schema::column;

/// The weight of a product whose category is named by a word of the query.
const SAME_KIND: Score = 1.3;
/// The weight of a product of another kind that the word only modifies.
const MODIFIER: Score = 0.6;

/// Weighs a score by the role of the query's words in the product's kind.
pub(crate) fn by_kind<'a>(
    stems: impl IntoIterator<Item = &'a String>,
) -> impl Fn(&SegmentReader) -> Box<dyn Fn(DocId, Score) -> Score> + Send + Sync + 'static {
    let roles = [TermRole::Category, TermRole::Title, TermRole::About];
    let marks: BTreeSet<u64> = stems
        .into_iter()
        .flat_map(|stem| roles.map(|role| kind::mark(stem, role)))
        .collect();
    let marks: Vec<u64> = marks.into_iter().collect();
    move |segment| {
        let marks = marks.clone();
        let Ok(kinds) = segment.fast_fields().u64(column::KIND) else {
            return Box::new(|_, score| score);
        };
        Box::new(move |document, score| {
            let found = kinds
                .values_for_doc(document)
                .filter(|mark| marks.binary_search(mark).is_ok())
                .map(kind::role);
            score * found.min().map_or(1.0, weight)
        })
    }
}

fn weight(role: TermRole) -> Score {
    match role {
        TermRole::Category => SAME_KIND,
        TermRole::Title => 1.0,
        TermRole::About => MODIFIER,
    }
}
