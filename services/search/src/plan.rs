//! Query plan: one clause for each word.
//!
//! **Invariant:** each word found adds its rarity to the score where some may be missing,
//! so products that lack fewer or more frequent words come first.

use std::collections::BTreeSet;
use std::rc::Rc;

use tantivy::Score;
use tantivy::query::Bm25Weight;

use crate::lookup::IndexedTerm;

/// A query, ready to be run.
pub(crate) struct QueryPlan {
    /// One for each word; none matches everything.
    pub(crate) clauses: Vec<Clause>,
    /// The text with typos corrected, if there were any.
    pub(crate) corrected: Option<String>,
    /// The terms to highlight.
    pub(crate) terms: MatchedTerms,
}

impl QueryPlan {
    /// How many words must match.
    pub(crate) fn words(&self) -> usize {
        let needed = self.clauses.iter().filter(|clause| clause.needed);
        needed.count()
    }
}

/// The query of one word.
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
#[derive(Clone)]
pub(crate) enum Matching {
    /// A term of the index.
    Term {
        term: Rc<IndexedTerm>,
        weight: Bm25Weight,
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
            Self::Term { term, weight } => Self::Term { term, weight: weight.boost_by(factor) },
            Self::Any(parts) => Self::Any(all(parts)),
            Self::Best(parts) => Self::Best(all(parts)),
            Self::All(parts) => Self::All(all(parts)),
        }
    }
}
