//! Collection: one page of matches, their number, and the counts of their facets.
//!
//! **Invariant:** a facet is counted with every filter but its own.

use std::borrow::Cow;
use std::collections::BTreeMap;

use tantivy::query::{EnableScoring, Weight};
use tantivy::{DocSet, Searcher, SegmentReader, TERMINATED};

use crate::Error;
use crate::facets::{self, Facet, FacetValue, Filters};
use crate::plan::QueryPlan;
use crate::postings::{Match, SegmentMatches};
use crate::ranking::KindWeights;
use crate::schema::column;
use crate::top::{Hit, PageRequest, SearchOrder};

/// A search.
#[derive(Debug, Clone, Default)]
pub struct SearchRequest {
    /// As typed; empty matches everything.
    pub text: String,
    /// What every match has to have.
    pub filters: Filters,
    /// The facets to count, each with the name to return it under.
    pub facets: Vec<(String, Facet)>,
    /// Values returned of each facet, the most frequent ones.
    pub facet_limit: usize,
    /// The order of the matches.
    pub order: SearchOrder,
    /// Matches on a page.
    pub limit: usize,
    /// Matches before the page.
    pub offset: usize,
}

/// With fewer matches than this, products that lack a word match as well, after the
/// others.
const ENOUGH: usize = 100;

/// The result of a search.
pub(crate) struct Matches {
    pub(crate) page: Vec<Hit>,
    pub(crate) total: usize,
    /// By the name that each was requested under.
    pub(crate) facets: BTreeMap<String, Vec<FacetValue>>,
}

/// Collects the requested page, the number of matches and their facets. Where too few
/// products have all words, those count as well that lack some.
pub(crate) fn matches(
    searcher: &Searcher,
    plan: &QueryPlan,
    request: &SearchRequest,
) -> Result<Matches, Error> {
    let filters = &request.filters;
    let mut text = TextMatches::find(searcher, plan)?;
    let mut within = text.within(filters, None)?;
    let found = count(&*prices_within(searcher, filters, Cow::Borrowed(&within))?);
    let missing = words_to_drop(&mut text, request, found)?;
    if missing > 0 {
        text.lack(missing)?;
        within = text.within(filters, None)?;
    }
    let priced = prices_within(searcher, filters, Cow::Borrowed(&within))?;
    let is_ranked = request.order == SearchOrder::Relevance && plan.words() > 0;
    let page = PageRequest {
        order: request.order,
        weights: is_ranked.then(|| KindWeights::new(&plan.terms)),
        offset: request.offset,
        limit: request.limit,
    };
    let mut facets = BTreeMap::new();
    for (name, facet) in &request.facets {
        let own;
        let counted = match facet {
            _ if !filters.narrow(facet) => &priced,
            Facet::Price => &within,
            _ => {
                let found = Cow::Owned(text.within(filters, Some(facet))?);
                own = prices_within(searcher, filters, found)?;
                &own
            }
        };
        let counted = facets::count(searcher, facet, counted, request.facet_limit)?;
        facets.insert(name.clone(), counted);
    }
    Ok(Matches {
        page: page.collect(searcher, &priced)?,
        total: count(&priced),
        facets,
    })
}

/// How many words have to be dropped for enough matches, `found` being the number of
/// matches with all words. In an order other than by relevance, products that lack a
/// word would stand anywhere, so words are dropped only when nothing has them all.
fn words_to_drop(
    text: &mut TextMatches<'_>,
    request: &SearchRequest,
    found: usize,
) -> Result<usize, Error> {
    let SearchRequest { order, filters, .. } = request;
    let enough = if *order == SearchOrder::Relevance { ENOUGH } else { 1 };
    if found >= enough {
        return Ok(0);
    }
    let (words, mut lacking) = (text.plan.words(), 0);
    for missing in [1, words / 2, words.saturating_sub(1)] {
        if !(lacking + 1..words).contains(&missing) {
            continue;
        }
        // Without filters it is known already that too few have all words.
        let is_known = lacking == 0 && filters.are_none();
        if !is_known {
            text.lack(lacking)?;
        }
        if is_known || count(&text.found) < enough {
            lacking = missing;
        }
    }
    Ok(lacking)
}

/// The matches of each segment.
type BySegment = Vec<Vec<Match>>;

fn count(found: &BySegment) -> usize {
    found.iter().map(Vec::len).sum()
}

/// The products that match a text, whatever the filters.
struct TextMatches<'a> {
    searcher: &'a Searcher,
    plan: &'a QueryPlan,
    segments: Vec<SegmentMatches<'a>>,
    /// Those that lack at most so many words.
    found: BySegment,
    lacking: usize,
}

impl<'a> TextMatches<'a> {
    /// Those with all words.
    fn find(searcher: &'a Searcher, plan: &'a QueryPlan) -> Result<Self, Error> {
        let segments = (0..).zip(searcher.segment_readers());
        let segments =
            segments.map(|(ordinal, segment)| SegmentMatches::new(segment, ordinal, plan));
        let mut segments: Vec<_> = segments.collect();
        let found = segments.iter_mut().map(|segment| segment.lacking(0));
        let found = found.collect::<Result<_, _>>()?;
        Ok(Self { searcher, plan, segments, found, lacking: 0 })
    }

    /// Finds those that lack at most `missing` words.
    fn lack(&mut self, missing: usize) -> Result<(), Error> {
        if missing != self.lacking {
            for (found, segment) in self.found.iter_mut().zip(&mut self.segments) {
                *found = segment.lacking(missing)?;
            }
            self.lacking = missing;
        }
        Ok(())
    }

    /// Those within all filters but the one by price and the one by `without`. An empty
    /// text matches everything.
    fn within(&self, filters: &Filters, without: Option<&Facet>) -> Result<BySegment, Error> {
        let scoring = EnableScoring::disabled_from_searcher(self.searcher);
        let queries = filters.queries(without).into_iter();
        let weights = queries.map(|query| query.weight(scoring));
        let weights = weights.collect::<tantivy::Result<Vec<_>>>()?;
        let segments = self.searcher.segment_readers().iter().zip(&self.found);
        let within = segments.map(|(segment, found)| {
            let found = (!self.plan.clauses.is_empty()).then(|| found.clone());
            intersection(segment, found, &weights)
        });
        within.collect()
    }
}

/// The documents found, or all, that all of these conditions hold for.
fn intersection(
    segment: &SegmentReader,
    found: Option<Vec<Match>>,
    weights: &[Box<dyn Weight>],
) -> Result<Vec<Match>, Error> {
    let unscored = |document| Match { document, score: 0.0 };
    let mut conditions = weights.iter().map(|weight| weight.scorer(segment, 1.0));
    let mut within = match found {
        Some(found) => found,
        None => match conditions.next() {
            Some(condition) => {
                let mut condition = condition?;
                let mut within = Vec::new();
                while condition.doc() != TERMINATED {
                    within.push(unscored(condition.doc()));
                    condition.advance();
                }
                within.retain(|found| !segment.is_deleted(found.document));
                within
            }
            None => segment.doc_ids_alive().map(unscored).collect(),
        },
    };
    for condition in conditions {
        let mut condition = condition?;
        within.retain(|&Match { document, .. }| {
            condition.doc() == document
                || condition.doc() < document && condition.seek(document) == document
        });
    }
    Ok(within)
}

/// The matches within the filter by price.
fn prices_within<'a>(
    searcher: &Searcher,
    filters: &Filters,
    mut found: Cow<'a, BySegment>,
) -> Result<Cow<'a, BySegment>, Error> {
    if filters.narrow(&Facet::Price) {
        for (segment, found) in searcher.segment_readers().iter().zip(found.to_mut()) {
            let prices = segment.fast_fields().i64(column::PRICE)?;
            found.retain(|found| {
                let price = prices.first(found.document);
                price.is_some_and(|price| filters.has_price(price))
            });
        }
    }
    Ok(found)
}
