//! Collectors: one page of matches, their number, and the counts of their facets.
//!
//! **Invariant:** a facet is counted with every filter but its own. Everything that
//! can be collected in one pass over the matches is.

use tantivy::collector::sort_key::SortByStaticFastValue;
use tantivy::collector::{Collector, Count, FilterCollector, TopDocs};
use tantivy::query::{BooleanQuery, EnableScoring, Occur, Query};
use tantivy::{DocAddress, Order, Score, Searcher, TERMINATED};

use crate::facets::{Facet, FacetCollector, FacetValue, Filters};
use crate::plan::QueryPlan;
use crate::schema::column;
use crate::{Error, ranking};

/// The order of the matches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SearchOrder {
    /// By score.
    #[default]
    Relevance,
    /// By price, lowest first.
    Cheapest,
    /// By price, highest first.
    Dearest,
    /// By creation.
    Oldest,
    /// By creation, latest first.
    Newest,
    /// By average rating, then by its count; unrated products come last.
    BestRated,
}

/// A search.
#[derive(Debug, Clone, Default)]
pub struct SearchRequest {
    /// As typed; empty matches everything.
    pub text: String,
    /// What every match has to have.
    pub filters: Filters,
    /// The facets to count, each with the name to return it under.
    pub facets: Vec<(String, Facet)>,
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
    order: SearchOrder,
    found: usize,
) -> Result<usize, Error> {
    let enough = if order == SearchOrder::Relevance { ENOUGH } else { 1 };
    if found >= enough {
        return Ok(0);
    }
    let (words, mut lacking) = (plan.words(), 0);
    for missing in [1, words / 2, words.saturating_sub(1)] {
        let more = lacking + 1..words;
        if more.contains(&missing) && !finds(searcher, plan.query(lacking).as_ref(), enough)? {
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

/// A page of matches, best first.
pub(crate) type Top = Vec<(Score, DocAddress)>;

/// The result of one query.
pub(crate) struct Matches<'a> {
    pub(crate) top: Top,
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
    let pass = Pass {
        searcher,
        query: within(text.as_ref(), &request.filters, None),
        filters: &request.filters,
        inside: others.clone(),
        outside: prices.clone(),
    };
    let top = TopDocs::with_limit(request.limit).and_offset(request.offset);
    let by = |column, order| (SortByStaticFastValue::<i64>::for_field(column), order);
    let (top, total, inside, outside) = match request.order {
        SearchOrder::Relevance if plan.words() > 0 => {
            pass.run(top.tweak_score(ranking::by_kind(&plan.terms.stems)))?
        }
        SearchOrder::Relevance | SearchOrder::Newest => {
            unscored(pass.run(top.order_by(by(column::CREATED, Order::Desc)))?)
        }
        SearchOrder::Oldest => unscored(pass.run(top.order_by(by(column::CREATED, Order::Asc)))?),
        SearchOrder::Cheapest => unscored(pass.run(top.order_by(by(column::PRICE, Order::Asc)))?),
        SearchOrder::Dearest => unscored(pass.run(top.order_by(by(column::PRICE, Order::Desc)))?),
        SearchOrder::BestRated => {
            let rated = SortByStaticFastValue::<u64>::for_field(column::RATING);
            let newest = by(column::CREATED, Order::Desc);
            unscored(pass.run(top.order_by(((rated, Order::Desc), newest)))?)
        }
    };
    let mut facets: Vec<(&Facet, Vec<FacetValue>)> = others.into_iter().zip(inside).collect();
    facets.extend(prices.into_iter().zip(outside));
    for facet in own {
        let query = within(text.as_ref(), &request.filters, Some(facet));
        let counting = FacetCollector(vec![facet]);
        let priced = FilterCollector::new(column::PRICE.into(), request.filters.price(), counting);
        let counted = searcher.search(&query, &priced)?;
        facets.extend(counted.into_iter().map(|counted| (facet, counted)));
    }
    Ok(Matches { top, total, facets })
}

/// One pass over the matches of a query.
struct Pass<'a> {
    searcher: &'a Searcher,
    query: BooleanQuery,
    filters: &'a Filters,
    /// Facets counted within the price filter…
    inside: Vec<&'a Facet>,
    /// …and without it.
    outside: Vec<&'a Facet>,
}

/// The ordered matches, their number, and the facets inside and outside.
type Collected<T> = (T, usize, Vec<Vec<FacetValue>>, Vec<Vec<FacetValue>>);

impl Pass<'_> {
    fn run<C: Collector>(self, top: C) -> Result<Collected<C::Fruit>, Error> {
        let collected = (top, Count, FacetCollector(self.inside));
        let priced = FilterCollector::new(column::PRICE.into(), self.filters.price(), collected);
        let all = (priced, FacetCollector(self.outside));
        let ((top, total, inside), outside) = self.searcher.search(&self.query, &all)?;
        Ok((top, total, inside, outside))
    }
}

/// Matches in an order that does not depend on scores.
fn unscored<K>((top, total, inside, outside): Collected<Vec<(K, DocAddress)>>) -> Collected<Top> {
    let top = top.into_iter().map(|(_, address)| (0.0, address));
    (top.collect(), total, inside, outside)
}
