//! What was typed, as clauses, and the query they make with more or fewer of them
//! found.
//!
//! **Invariant:** a product that has all words is never behind for a word it lacks:
//! each word found adds what the word tells, so those that lack less come first.

use std::collections::BTreeSet;

use tantivy::Score;
use tantivy::query::{
    AllQuery, BooleanQuery, BoostQuery, ConstScoreQuery, DisjunctionMaxQuery, EmptyQuery, Occur,
    Query,
};

/// A query ready to be run.
pub(super) struct Plan {
    pub(super) clauses: Vec<Clause>,
    /// The text with typos corrected, if there were any.
    pub(super) corrected: Option<String>,
    /// What to mark in the texts found.
    pub(super) marks: Marks,
}

/// What one word asks for.
pub(super) struct Clause {
    pub(super) query: Box<dyn Query>,
    /// How much the word tells: the rarer, the more.
    pub(super) rarity: Score,
    /// Whether it must be found; grammar need not.
    pub(super) needed: bool,
}

/// The words that a match is recognised by.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Stems.
    pub(super) stems: BTreeSet<String>,
    /// The beginning of a word that was still being typed.
    pub(super) prefix: Option<String>,
}

impl Plan {
    /// How many words must be found.
    pub(super) fn words(&self) -> usize {
        let needed = self.clauses.iter().filter(|clause| clause.needed);
        needed.count()
    }

    /// What finds products that lack at most so many of the words. Those that lack
    /// less, and less telling words, come first.
    pub(super) fn query(&self, missing: usize) -> Box<dyn Query> {
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

pub(super) fn worth(query: Box<dyn Query>, value: Score) -> Box<dyn Query> {
    Box::new(BoostQuery::new(query, value))
}

pub(super) fn all_of(queries: Vec<Box<dyn Query>>) -> Box<dyn Query> {
    Box::new(BooleanQuery::intersection(queries))
}

pub(super) fn best_of(mut ways: Vec<Box<dyn Query>>) -> Box<dyn Query> {
    match ways.len() {
        0 => Box::new(EmptyQuery),
        1 => ways.remove(0),
        _ => Box::new(DisjunctionMaxQuery::new(ways)),
    }
}
