//! Query plan: one clause for each word, and the query they form with some of them
//! allowed to be missing.
//!
//! **Invariant:** each word found adds its rarity to the score, so products that lack
//! fewer or more frequent words come first.

use std::collections::BTreeSet;

use tantivy::Score;
use tantivy::query::{
    AllQuery, BooleanQuery, BoostQuery, ConstScoreQuery, DisjunctionMaxQuery, EmptyQuery, Occur,
    Query,
};

/// A query, ready to be run.
pub(crate) struct QueryPlan {
    pub(crate) clauses: Vec<Clause>,
    /// The text with typos corrected, if there were any.
    pub(crate) corrected: Option<String>,
    /// The terms to highlight.
    pub(crate) terms: MatchedTerms,
}

/// The query of one word.
pub(crate) struct Clause {
    pub(crate) query: Box<dyn Query>,
    /// The inverse document frequency of the word.
    pub(crate) rarity: Score,
    /// Whether it must match; function words need not.
    pub(crate) needed: bool,
}

/// The terms that a match is recognised by.
#[derive(Debug, Default)]
pub(crate) struct MatchedTerms {
    /// Stems.
    pub(crate) stems: BTreeSet<String>,
    /// The beginning of a word that was still being typed.
    pub(crate) prefix: Option<String>,
}

impl QueryPlan {
    /// How many words must match.
    pub(crate) fn words(&self) -> usize {
        let needed = self.clauses.iter().filter(|clause| clause.needed);
        needed.count()
    }

    /// The query for products that lack at most `missing` of the words. Those that lack
    /// fewer or more frequent words come first.
    pub(crate) fn query(&self, missing: usize) -> Box<dyn Query> {
        if self.clauses.is_empty() {
            return Box::new(AllQuery);
        }
        if missing == 0 {
            let clause = |clause: &Clause| {
                let occur = if clause.needed { Occur::Must } else { Occur::Should };
                (occur, clause.query.box_clone())
            };
            return Box::new(BooleanQuery::new(self.clauses.iter().map(clause).collect()));
        }
        let needed = self.clauses.iter().filter(|clause| clause.needed);
        let found = |clause: &Clause| -> Box<dyn Query> {
            let there = ConstScoreQuery::new(Box::new(AllQuery), clause.rarity);
            Box::new(BooleanQuery::intersection(vec![
                clause.query.box_clone(),
                Box::new(there),
            ]))
        };
        Box::new(BooleanQuery::union_with_minimum_required_clauses(
            needed.map(found).collect(),
            self.words().saturating_sub(missing).max(1),
        ))
    }
}

pub(crate) fn boosted(query: Box<dyn Query>, factor: Score) -> Box<dyn Query> {
    Box::new(BoostQuery::new(query, factor))
}

pub(crate) fn all_of(queries: Vec<Box<dyn Query>>) -> Box<dyn Query> {
    Box::new(BooleanQuery::intersection(queries))
}

pub(crate) fn best_of(mut ways: Vec<Box<dyn Query>>) -> Box<dyn Query> {
    match ways.len() {
        0 => Box::new(EmptyQuery),
        1 => ways.remove(0),
        _ => Box::new(DisjunctionMaxQuery::new(ways)),
    }
}
