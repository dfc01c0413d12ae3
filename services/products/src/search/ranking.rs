//! The order of what is found: what the words say, corrected by what the product
//! is.

use std::collections::BTreeSet;

use tantivy::{DocId, Score, SegmentReader};

use super::kind::{self, Role};
use super::schema::column;

/// What it is worth to be in a category that is called like a word typed.
const IS: Score = 1.3;
/// And to be about what was typed while being something else.
const IS_ABOUT: Score = 0.6;

/// Weighs a score by how the words typed stand to the product.
pub(super) fn by_kind<'a>(
    stems: impl IntoIterator<Item = &'a String>,
) -> impl Fn(&SegmentReader) -> Box<dyn Fn(DocId, Score) -> Score> + Send + Sync + 'static {
    let roles = [Role::Category, Role::Title, Role::About];
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
            score * found.min().map_or(1.0, worth)
        })
    }
}

fn worth(role: Role) -> Score {
    match role {
        Role::Category => IS,
        Role::Title => 1.0,
        Role::About => IS_ABOUT,
    }
}
