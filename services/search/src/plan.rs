//! Query plan: one clause for each word.
//!
//! **Invariant:** each word found adds its rarity to the score where some may be missing,
//! so products that lack fewer or more frequent words come first.

use std::collections::BTreeSet;
use std::rc::Rc;

use tantivy::postings::TermInfo;
use tantivy::query::Bm25Weight;
use tantivy::schema::Field;
use tantivy::{Score, Searcher, Term};

use crate::Error;

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

/// A term of the index, and where its postings lie.
#[derive(Debug)]
pub(crate) struct IndexedTerm {
    pub(crate) field: Field,
    /// By segment.
    pub(crate) infos: Vec<Option<TermInfo>>,
    /// The number of documents with the term. Some of them may be deleted.
    pub(crate) documents: u64,
}

impl IndexedTerm {
    pub(crate) fn find(searcher: &Searcher, field: Field, text: &str) -> Result<Rc<Self>, Error> {
        let term = Term::from_field_text(field, text);
        let (mut infos, mut documents) = (Vec::new(), 0);
        for segment in searcher.segment_readers() {
            let info = segment.inverted_index(field)?.get_term_info(&term)?;
            documents += info.as_ref().map_or(0, |info| u64::from(info.doc_freq));
            infos.push(info);
        }
        Ok(Rc::new(Self { field, infos, documents }))
    }
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
