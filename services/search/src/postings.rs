//! Evaluation of a query plan: the documents of a segment that match, with their scores.
//!
//! The postings of a term are read into a list, and lists are merged. This takes a few
//! instructions a posting; tantivy's scorers, which are made for queries that end early,
//! take several virtual calls, and every match of a search is counted anyway.
//!
//! **Invariant:** a list is in the order of the documents, and has each at most once.

use std::cell::RefCell;
use std::iter::Peekable;
use std::slice;

use tantivy::fieldnorm::FieldNormReader;
use tantivy::query::Bm25Weight;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, Score, SegmentReader};

use crate::Error;
use crate::plan::{Clause, IndexedTerm, Matching, QueryPlan};

/// Documents merged at once: their scores fit into a processor's first cache.
const WINDOW: usize = 1024;
/// Postings that are read in the time in which one is sought.
const READ_PER_SEEK: usize = 8;
/// Postings that are read whole in any case: they are read again if words are dropped.
const WHOLE: usize = 8 * WINDOW;

/// A document that matches, and its score.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Match {
    pub(crate) document: DocId,
    pub(crate) score: Score,
}

/// The matches of a plan in one segment.
pub(crate) struct SegmentMatches<'a> {
    segment: &'a SegmentReader,
    /// The segment's number.
    ordinal: usize,
    plan: &'a QueryPlan,
    /// The matches of each clause, once they were read.
    lists: Vec<Option<Vec<Match>>>,
}

impl<'a> SegmentMatches<'a> {
    pub(crate) fn new(segment: &'a SegmentReader, ordinal: usize, plan: &'a QueryPlan) -> Self {
        let lists = plan.clauses.iter().map(|_| None).collect();
        Self { segment, ordinal, plan, lists }
    }

    /// The documents that lack at most `missing` of the words that must match. If some may
    /// be missing, those come first that lack fewer or more frequent words.
    pub(crate) fn lacking(&mut self, missing: usize) -> Result<Vec<Match>, Error> {
        let mut found = if missing == 0 {
            self.with_all()?
        } else {
            self.with_some(missing)?
        };
        if let Some(alive) = self.segment.alive_bitset() {
            found.retain(|found| alive.is_alive(found.document));
        }
        Ok(found)
    }

    fn with_all(&mut self) -> Result<Vec<Match>, Error> {
        let clauses = &self.plan.clauses;
        let mut order: Vec<usize> = (0..clauses.len()).collect();
        order.sort_by_key(|&place| (!clauses[place].needed, self.cost(&clauses[place].matching)));
        let [first, others @ ..] = order.as_slice() else {
            return Ok(Vec::new());
        };
        let mut found = self.list(*first)?.to_vec();
        for &place in others {
            let Clause { matching, needed, .. } = &clauses[place];
            let part;
            let cost = self.cost(matching);
            let list = if cost > WHOLE && cost > found.len() * READ_PER_SEEK {
                part = self.matches(matching, Some(&found))?;
                &part
            } else {
                self.list(place)?
            };
            if *needed {
                intersect(&mut found, list);
            } else {
                raise(&mut found, list);
            }
        }
        Ok(found)
    }

    fn with_some(&mut self, missing: usize) -> Result<Vec<Match>, Error> {
        let plan = self.plan;
        let needed = || (0..).zip(&plan.clauses).filter(|(_, clause)| clause.needed);
        for (place, _) in needed() {
            self.list(place)?;
        }
        let raised = |(place, clause): (usize, &Clause)| {
            Some((self.lists[place].as_deref()?, clause.rarity))
        };
        let lists = needed().filter_map(raised).collect();
        let least = plan.words().saturating_sub(missing).max(1);
        Ok(union(lists, least, |sum, score| sum + score))
    }

    /// All matches of a clause.
    fn list(&mut self, place: usize) -> Result<&[Match], Error> {
        if self.lists[place].is_none() {
            let list = self.matches(&self.plan.clauses[place].matching, None)?;
            self.lists[place] = Some(list);
        }
        Ok(self.lists[place].as_deref().unwrap_or_default())
    }

    /// The postings that have to be read, at most.
    fn cost(&self, matching: &Matching) -> usize {
        let costs =
            |parts: &[Matching]| parts.iter().map(|part| self.cost(part)).collect::<Vec<_>>();
        match matching {
            Matching::Term { term, .. } => {
                let info = term.infos[self.ordinal].as_ref();
                info.map_or(0, |info| info.doc_freq as usize)
            }
            Matching::Any(parts) | Matching::Best(parts) => costs(parts).iter().sum(),
            Matching::All(parts) => costs(parts).into_iter().min().unwrap_or(0),
        }
    }

    /// What matches. Of documents that are not `within`, some may be left out.
    fn matches(&self, matching: &Matching, within: Option<&[Match]>) -> Result<Vec<Match>, Error> {
        let all = |parts: &[Matching]| {
            let lists = parts.iter().map(|part| self.matches(part, within));
            lists.collect::<Result<Vec<_>, _>>()
        };
        Ok(match matching {
            Matching::Term { term, weight } => self.postings(term, weight, within)?,
            Matching::Any(parts) => any(all(parts)?, |sum, score| sum + score),
            Matching::Best(parts) => any(all(parts)?, Score::max),
            Matching::All(parts) => {
                let mut lists = all(parts)?.into_iter();
                let mut found = lists.next().unwrap_or_default();
                lists.for_each(|list| intersect(&mut found, &list));
                found
            }
        })
    }

    /// The documents of a term.
    fn postings(
        &self,
        term: &IndexedTerm,
        weight: &Bm25Weight,
        within: Option<&[Match]>,
    ) -> Result<Vec<Match>, Error> {
        let Some(info) = &term.infos[self.ordinal] else {
            return Ok(Vec::new());
        };
        let index = self.segment.inverted_index(term.field)?;
        let option = IndexRecordOption::WithFreqs;
        let mut blocks = index.read_block_postings_from_terminfo(info, option)?;
        let norms = self.norms(term)?;
        let documents = info.doc_freq as usize;
        let mut found = Vec::with_capacity(documents.min(within.map_or(documents, <[_]>::len)));
        let mut add = |document, frequency| {
            let score = weight.score(norms.fieldnorm_id(document), frequency);
            found.push(Match { document, score });
        };
        match within {
            Some(within) if within.len() * READ_PER_SEEK < documents => {
                for Match { document, .. } in within {
                    let place = blocks.seek(*document);
                    if blocks.doc(place) == *document {
                        add(*document, blocks.freq(place));
                    }
                }
            }
            _ => {
                while !blocks.docs().is_empty() {
                    for (place, document) in blocks.docs().iter().enumerate() {
                        add(*document, blocks.freq(place));
                    }
                    blocks.advance();
                }
            }
        }
        Ok(found)
    }

    /// The lengths of a field's texts; of fields that are not ranked by them, all are one.
    fn norms(&self, term: &IndexedTerm) -> Result<FieldNormReader, Error> {
        let norms = self.segment.fieldnorms_readers().get_field(term.field)?;
        Ok(norms.unwrap_or_else(|| FieldNormReader::constant(self.segment.max_doc(), 1)))
    }
}

/// Keeps the documents that are in a list, too, and adds its scores.
fn intersect(found: &mut Vec<Match>, list: &[Match]) {
    let mut list = list.iter().peekable();
    found.retain_mut(|found| {
        let score = score_of(found.document, &mut list);
        found.score += score.unwrap_or_default();
        score.is_some()
    });
}

/// Adds the scores of a list to those of its documents that were found.
fn raise(found: &mut [Match], list: &[Match]) {
    let mut list = list.iter().peekable();
    for found in found {
        found.score += score_of(found.document, &mut list).unwrap_or_default();
    }
}

/// The score that the rest of a list has for a document; what is before it is read.
fn score_of(document: DocId, list: &mut Peekable<slice::Iter<'_, Match>>) -> Option<Score> {
    while list.next_if(|next| next.document < document).is_some() {}
    let next = list.next_if(|next| next.document == document);
    next.map(|next| next.score)
}

/// The documents of all lists.
fn any(mut lists: Vec<Vec<Match>>, merge: impl Fn(Score, Score) -> Score) -> Vec<Match> {
    lists.retain(|list| !list.is_empty());
    if lists.len() < 2 {
        return lists.pop().unwrap_or_default();
    }
    union(
        lists.iter().map(|list| (list.as_slice(), 0.0)).collect(),
        1,
        merge,
    )
}

/// The documents that are in at least so many lists. The scores of each list are raised by
/// a constant and merged.
fn union(
    mut lists: Vec<(&[Match], Score)>,
    least: usize,
    merge: impl Fn(Score, Score) -> Score,
) -> Vec<Match> {
    thread_local! {
        /// Used again, because a search merges dozens of lists.
        static SCORES: RefCell<Window> = const { RefCell::new(Window::EMPTY) };
    }
    lists.retain(|(list, _)| !list.is_empty());
    let mut merged = Vec::with_capacity(lists.iter().map(|(list, _)| list.len()).sum());
    SCORES.with_borrow_mut(|window| {
        while !lists.is_empty() {
            window.merge(&mut lists, &merge);
            window.take(least, &mut merged);
            lists.retain(|(list, _)| !list.is_empty());
        }
    });
    merged
}

/// The scores of some documents in a row, and by how many lists each was found. Between two
/// unions nothing is present.
struct Window {
    /// The first document.
    start: DocId,
    scores: [Score; WINDOW],
    counts: [u8; WINDOW],
    present: [u64; WINDOW / 64],
}

impl Window {
    const EMPTY: Self = Self {
        start: 0,
        scores: [0.0; WINDOW],
        counts: [0; WINDOW],
        present: [0; WINDOW / 64],
    };

    /// Reads the lists, none of which is empty, up to the end of the window that begins with
    /// their first document.
    fn merge(&mut self, lists: &mut [(&[Match], Score)], merge: impl Fn(Score, Score) -> Score) {
        let Self { start, scores, counts, present } = self;
        let starts = lists.iter().map(|(list, _)| list[0].document);
        *start = starts.min().unwrap_or_default();
        for (list, raise) in lists {
            let place = |found: &Match| (found.document - *start) as usize;
            let inside = list.iter().take_while(|found| place(found) < WINDOW);
            let mut read = 0;
            for found in inside {
                let (place, score) = (place(found), found.score + *raise);
                scores[place] = if counts[place] == 0 {
                    score
                } else {
                    merge(scores[place], score)
                };
                counts[place] = counts[place].saturating_add(1);
                present[place / 64] |= 1 << (place % 64);
                read += 1;
            }
            *list = &list[read..];
        }
    }

    /// Takes out what was found by at least so many lists.
    fn take(&mut self, least: usize, merged: &mut Vec<Match>) {
        for (word, bits) in self.present.iter_mut().enumerate() {
            while *bits != 0 {
                let place = word * 64 + bits.trailing_zeros() as usize;
                *bits &= *bits - 1;
                if usize::from(std::mem::take(&mut self.counts[place])) >= least {
                    let document = self.start + place as DocId;
                    merged.push(Match { document, score: self.scores[place] });
                }
            }
        }
    }
}
