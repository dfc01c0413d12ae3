//! Ranking: the BM25 score, weighed by the product's kind.
//!
//! **Invariant:** the weight multiplies the score, so a product without marks of its
//! kind keeps the score it has.

use tantivy::columnar::Column;
use tantivy::{DocId, Score, SegmentReader};

use crate::kind::{self, TermRole};
use crate::plan::MatchedTerms;
use crate::schema::column;

/// The weight of a product whose category is named by a word of the query.
const SAME_KIND: Score = 1.3;
/// The highest weight.
pub(crate) const WEIGHT_MAX: Score = SAME_KIND;
/// The weight of a product of another kind that the word only modifies.
const MODIFIER: Score = 0.6;

/// Weighs a score by the role of the query's words in the product's kind.
pub(crate) struct KindWeights {
    /// The marks of the query's words, sorted.
    marks: Vec<u64>,
}

impl KindWeights {
    pub(crate) fn new(terms: &MatchedTerms) -> Self {
        let roles = [TermRole::Category, TermRole::Title, TermRole::About];
        let marks = terms
            .stems
            .iter()
            .flat_map(|stem| roles.map(|role| kind::mark(stem, role)));
        let mut marks: Vec<u64> = marks.collect();
        marks.sort_unstable();
        Self { marks }
    }

    pub(crate) fn of(&self, segment: &SegmentReader) -> tantivy::Result<SegmentKindWeights> {
        let kinds = segment.fast_fields().column_opt(column::KIND)?;
        Ok(SegmentKindWeights { marks: self.marks.clone(), kinds })
    }
}

/// The weights of one segment's documents.
pub(crate) struct SegmentKindWeights {
    marks: Vec<u64>,
    /// Where no product of the segment has a kind, there is no column.
    kinds: Option<Column<u64>>,
}

impl SegmentKindWeights {
    pub(crate) fn of(&self, document: DocId) -> Score {
        let Some(kinds) = &self.kinds else {
            return 1.0;
        };
        let found = kinds
            .values_for_doc(document)
            .filter(|mark| self.marks.binary_search(mark).is_ok())
            .map(kind::role);
        found.min().map_or(1.0, weight)
    }
}

fn weight(role: TermRole) -> Score {
    match role {
        TermRole::Category => SAME_KIND,
        TermRole::Title => 1.0,
        TermRole::About => MODIFIER,
    }
}
