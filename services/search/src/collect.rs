//! Collectors: one page of matches, their number, and the counts of their facets.
//!
//! **Invariant:** a facet is counted with every filter but its own. Everything that
//! can be collected in one pass over the matches is.

use tantivy::collector::{Count, FilterCollector};
use tantivy::query::{BooleanQuery, EnableScoring, Occur, Query};
use tantivy::{Searcher, TERMINATED};

use crate::Error;
use crate::facets::{Facet, FacetCollector, FacetValue, Filters};
use crate::plan::QueryPlan;
use crate::ranking::KindWeights;
use crate::schema::column;
use crate::top::{Hit, PageCollector, SearchOrder};

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

/// How many words have to be dropped for enough matches, `found` being the number of
/// matches with all words. In an order other than by relevance, products that lack a
/// word would stand anywhere, so words are dropped only when nothing has them all.
pub(crate) fn words_to_drop(
    searcher: &Searcher,
    plan: &QueryPlan,
    request: &SearchRequest,
    found: usize,
) -> Result<usize, Error> {
    let SearchRequest { order, filters, .. } = request;
    let enough = if *order == SearchOrder::Relevance { ENOUGH } else { 1 };
    if found >= enough {
        return Ok(0);
    }
    let (words, mut lacking) = (plan.words(), 0);
    for missing in [1, words / 2, words.saturating_sub(1)] {
        if !(lacking + 1..words).contains(&missing) {
            continue;
        }
        // Without filters it is known already that too few have all words.
        let is_known = lacking == 0 && filters.are_none();
        if is_known || !finds(searcher, plan.query(lacking).as_ref(), enough)? {
            lacking = missing;
        }
    }
    Ok(lacking)
}

/// Whether a query has at least `enough` matches.
fn finds(searcher: &Searcher, query: &dyn Query, enough: usize) -> Result<bool, Error> {
    let weight = query.weight(EnableScoring::disabled_from_searcher(searcher))?;
    let mut found = 0;
    for segment in searcher.segment_readers() {
        let mut documents = weight.scorer(segment, 1.0)?;
        while documents.doc() != TERMINATED && found < enough {
            found += usize::from(!segment.is_deleted(documents.doc()));
            documents.advance();
        }
    }
    Ok(found >= enough)
}

/// The text's query within all filters but a facet's own and the one by price.
fn within(text: &dyn Query, filters: &Filters, without: Option<&Facet>) -> BooleanQuery {
    let mut clauses = filters.clauses(without);
    clauses.push((Occur::Must, text.box_clone()));
    BooleanQuery::new(clauses)
}

/// The result of one query.
pub(crate) struct Matches<'a> {
    pub(crate) page: Vec<Hit>,
    pub(crate) total: usize,
    pub(crate) facets: Vec<(&'a Facet, Vec<FacetValue>)>,
}

/// Collects the requested page, the number of matches and their facets: in one pass,
/// and one more for each facet, other than the price, that is filtered by itself.
/// Scores are computed only where they decide the order.
pub(crate) fn matches<'a>(
    searcher: &Searcher,
    plan: &QueryPlan,
    missing: usize,
    request: &'a SearchRequest,
) -> Result<Matches<'a>, Error> {
    let text = plan.query(missing);
    let asked = request.facets.iter().map(|(_, facet)| facet);
    let (own, others): (Vec<_>, Vec<_>) = asked.partition(|facet| request.filters.narrow(facet));
    let (prices, own): (Vec<_>, Vec<_>) =
        own.into_iter().partition(|facet| **facet == Facet::Price);
    let counting = |facets| FacetCollector { facets, limit: request.facet_limit };
    let pass = Pass {
        searcher,
        query: within(text.as_ref(), &request.filters, None),
        filters: &request.filters,
        inside: counting(others.clone()),
        outside: counting(prices.clone()),
    };
    let is_ranked = request.order == SearchOrder::Relevance && plan.words() > 0;
    let page = PageCollector {
        order: request.order,
        weights: is_ranked.then(|| KindWeights::new(&plan.terms)),
        offset: request.offset,
        limit: request.limit,
    };
    let (page, total, inside, outside) = pass.run(page)?;
    let mut facets: Vec<(&Facet, Vec<FacetValue>)> = others.into_iter().zip(inside).collect();
    facets.extend(prices.into_iter().zip(outside));
    for facet in own {
        let query = within(text.as_ref(), &request.filters, Some(facet));
        let counted = counting(vec![facet]);
        let priced = FilterCollector::new(column::PRICE.into(), request.filters.price(), counted);
        let counted = searcher.search(&query, &priced)?;
        facets.extend(counted.into_iter().map(|counted| (facet, counted)));
    }
    Ok(Matches { page, total, facets })
}

/// One pass over the matches of a query.
struct Pass<'a> {
    searcher: &'a Searcher,
    query: BooleanQuery,
    filters: &'a Filters,
    /// Facets counted within the price filter…
    inside: FacetCollector<'a>,
    /// …and without it.
    outside: FacetCollector<'a>,
}

/// The page, the number of matches, and the facets inside and outside.
type Collected = (Vec<Hit>, usize, Vec<Vec<FacetValue>>, Vec<Vec<FacetValue>>);

impl Pass<'_> {
    fn run(self, page: PageCollector) -> Result<Collected, Error> {
        let collected = (page, Count, self.inside);
        let priced = FilterCollector::new(column::PRICE.into(), self.filters.price(), collected);
        let all = (priced, self.outside);
        let ((page, total, inside), outside) = self.searcher.search(&self.query, &all)?;
        Ok((page, total, inside, outside))
    }
}
