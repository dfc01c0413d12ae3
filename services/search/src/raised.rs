//! A query that adds a constant to the score of each match.
//!
//! The queries of tantivy multiply scores only. An intersection with a query of everything
//! adds one, too, but seeks in both for each match, which was most of a search's time.
//!
//! **Invariant:** the matches are those of the query within.

use tantivy::query::{EnableScoring, Explanation, Query, Scorer, Weight};
use tantivy::{DocId, DocSet, Result, Score, SegmentReader, Term};

/// A query whose scores are raised by a constant.
#[derive(Debug)]
pub(crate) struct RaisedQuery {
    query: Box<dyn Query>,
    by: Score,
}

impl RaisedQuery {
    pub(crate) fn new(query: Box<dyn Query>, by: Score) -> Self {
        Self { query, by }
    }
}

impl Clone for RaisedQuery {
    fn clone(&self) -> Self {
        Self { query: self.query.box_clone(), by: self.by }
    }
}

impl Query for RaisedQuery {
    fn weight(&self, enable_scoring: EnableScoring<'_>) -> Result<Box<dyn Weight>> {
        let weight = self.query.weight(enable_scoring)?;
        Ok(if enable_scoring.is_scoring_enabled() {
            Box::new(RaisedWeight { weight, by: self.by })
        } else {
            weight
        })
    }

    fn query_terms<'a>(&'a self, visitor: &mut dyn FnMut(&'a Term, bool)) {
        self.query.query_terms(visitor);
    }
}

struct RaisedWeight {
    weight: Box<dyn Weight>,
    by: Score,
}

impl Weight for RaisedWeight {
    fn scorer(&self, segment: &SegmentReader, boost: Score) -> Result<Box<dyn Scorer>> {
        let scorer = self.weight.scorer(segment, boost)?;
        Ok(Box::new(RaisedScorer { scorer, by: self.by * boost }))
    }

    fn explain(&self, segment: &SegmentReader, document: DocId) -> Result<Explanation> {
        let within = self.weight.explain(segment, document)?;
        let score = within.value() + self.by;
        let mut explanation = Explanation::new("raised score of", score);
        explanation.add_detail(within);
        Ok(explanation)
    }

    fn count(&self, segment: &SegmentReader) -> Result<u32> {
        self.weight.count(segment)
    }
}

struct RaisedScorer {
    scorer: Box<dyn Scorer>,
    by: Score,
}

impl DocSet for RaisedScorer {
    fn advance(&mut self) -> DocId {
        self.scorer.advance()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        self.scorer.seek(target)
    }

    fn doc(&self) -> DocId {
        self.scorer.doc()
    }

    fn size_hint(&self) -> u32 {
        self.scorer.size_hint()
    }

    fn cost(&self) -> u64 {
        self.scorer.cost()
    }
}

impl Scorer for RaisedScorer {
    fn score(&mut self) -> Score {
        self.scorer.score() + self.by
    }
}
