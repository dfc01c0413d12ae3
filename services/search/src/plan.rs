//! Query plan: one clause for each word, and the query they form with some of them
//! allowed to be missing.
//!
//! **Invariant:** each word found adds its rarity to the score, so products that lack
//! fewer or more frequent words come first.

use std::collections::BTreeSet;

use tantivy::query::{
    AllQuery, BooleanQuery, BoostQuery, DisjunctionMaxQuery, EmptyQuery, Occur, Query, TermQuery,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{Score, Term};

use crate::raised::RaisedQuery;

/// A query, ready to be run.
#[derive(Debug)]
pub(crate) struct QueryPlan {
    /// One for each word; none matches everything.
    pub(crate) clauses: Vec<Clause>,
    /// The text with typos corrected, if there were any.
    pub(crate) corrected: Option<String>,
    /// The terms to highlight.
    pub(crate) terms: MatchedTerms,
}

/// The query of one word.
#[derive(Debug)]
pub(crate) struct Clause {
    pub(crate) matching: Matching,
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

/// What a document has to have, and the score it has for it.
#[derive(Debug, Clone)]
pub(crate) enum Matching {
    /// A term of the index.
    Term {
        field: Field,
        text: String,
        boost: Score,
    },
    /// Any of these, with the sum of their scores.
    Any(Vec<Matching>),
    /// Any of these, with the best score.
    Best(Vec<Matching>),
    /// All of these, with the sum of their scores.
    All(Vec<Matching>),
}

impl Matching {
    /// What no document has.
    pub(crate) const NOTHING: Self = Self::Best(Vec::new());

    /// The same with another weight.
    pub(crate) fn boosted(self, factor: Score) -> Self {
        let all = |parts: Vec<Self>| parts.into_iter().map(|part| part.boosted(factor)).collect();
        match self {
            Self::Term { field, text, boost } => Self::Term { field, text, boost: boost * factor },
            Self::Any(parts) => Self::Any(all(parts)),
            Self::Best(parts) => Self::Best(all(parts)),
            Self::All(parts) => Self::All(all(parts)),
        }
    }

    fn query(&self) -> Box<dyn Query> {
        let queries = |parts: &[Self]| parts.iter().map(Self::query).collect();
        match self {
            Self::Term { field, text, boost } => {
                let term = Term::from_field_text(*field, text);
                let query = TermQuery::new(term, IndexRecordOption::WithFreqs);
                Box::new(BoostQuery::new(Box::new(query), *boost))
            }
            Self::Any(parts) | Self::Best(parts) | Self::All(parts) if parts.is_empty() => {
                Box::new(EmptyQuery)
            }
            Self::Any(parts) | Self::Best(parts) | Self::All(parts) if parts.len() == 1 => {
                parts[0].query()
            }
            Self::Any(parts) => Box::new(BooleanQuery::union(queries(parts))),
            Self::Best(parts) => Box::new(DisjunctionMaxQuery::new(queries(parts))),
            Self::All(parts) => Box::new(BooleanQuery::intersection(queries(parts))),
        }
    }
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
                (occur, clause.matching.query())
            };
            return Box::new(BooleanQuery::new(self.clauses.iter().map(clause).collect()));
        }
        let needed = self.clauses.iter().filter(|clause| clause.needed);
        let found = |clause: &Clause| -> Box<dyn Query> {
            Box::new(RaisedQuery::new(clause.matching.query(), clause.rarity))
        };
        let needed: Vec<Box<dyn Query>> = needed.map(found).collect();
        if missing + 1 >= needed.len() {
            return Box::new(BooleanQuery::union(needed));
        }
        Box::new(BooleanQuery::union_with_minimum_required_clauses(
            needed,
            self.words() - missing,
        ))
    }
}
