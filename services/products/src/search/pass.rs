//! What a query finds: the wanted page of it, how many there are, and the counts of
//! its facets.
//!
//! **Invariant:** a facet is counted with every filter but its own; all that one
//! walk over the matches can tell is told by it.

use tantivy::collector::sort_key::SortByStaticFastValue;
use tantivy::collector::{Collector, Count, FilterCollector, TopDocs};
use tantivy::query::{BooleanQuery, EnableScoring, Occur, Query};
use tantivy::{DocAddress, Order, Score, Searcher, TERMINATED};

use super::facets::{Counting, Facet, FacetValue, Filters};
use super::plan::Plan;
use super::schema::column;
use super::{Sort, Wanted, ranking};
use crate::Error;

/// With fewer products than this, those that lack a word are found as well, after
/// the others.
const ENOUGH: usize = 100;

/// How many words may be lacking for enough to be found, `found` being what is found
/// with all of them within the filters. Whoever wants an order of their own would
/// see those that lack a word anywhere in it, so there words are given up only when
/// nothing has them all.
pub(super) fn relaxed(
    searcher: &Searcher,
    plan: &Plan,
    sort: Sort,
    found: usize,
) -> Result<usize, Error> {
    let enough = if sort == Sort::Relevance { ENOUGH } else { 1 };
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

/// Whether a query finds at least so many.
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

/// What was typed, within the filters but a facet's own and the one by price.
fn within(text: &dyn Query, filters: &Filters, without: Option<&Facet>) -> BooleanQuery {
    let mut clauses = filters.clauses(without);
    clauses.push((Occur::Must, text.box_clone()));
    BooleanQuery::new(clauses)
}

/// The matches of a page, best first.
pub(super) type Top = Vec<(Score, DocAddress)>;

/// What is found with some words lacking.
pub(super) struct Page<'a> {
    pub(super) top: Top,
    pub(super) total: usize,
    pub(super) facets: Vec<(&'a Facet, Vec<FacetValue>)>,
}

/// The wanted page of matches, how many there are, and their facets: in one pass,
/// and another for each facet that is filtered by itself, but the price. A score is
/// only worked out where it orders them.
pub(super) fn page<'a>(
    searcher: &Searcher,
    plan: &Plan,
    missing: usize,
    wanted: &'a Wanted,
) -> Result<Page<'a>, Error> {
    let text = plan.query(missing);
    let asked = wanted.facets.iter().map(|(_, facet)| facet);
    let (own, others): (Vec<_>, Vec<_>) = asked.partition(|facet| wanted.filters.narrow(facet));
    let (prices, own): (Vec<_>, Vec<_>) =
        own.into_iter().partition(|facet| **facet == Facet::Price);
    let pass = Pass {
        searcher,
        query: within(text.as_ref(), &wanted.filters, None),
        filters: &wanted.filters,
        inside: others.clone(),
        outside: prices.clone(),
    };
    let top = TopDocs::with_limit(wanted.limit).and_offset(wanted.offset);
    let by = |column, order| (SortByStaticFastValue::<i64>::for_field(column), order);
    let (top, total, inside, outside) = match wanted.sort {
        Sort::Relevance if plan.words() > 0 => {
            pass.run(top.tweak_score(ranking::by_kind(&plan.marks.stems)))?
        }
        Sort::Relevance | Sort::Newest => {
            unscored(pass.run(top.order_by(by(column::CREATED, Order::Desc)))?)
        }
        Sort::Oldest => unscored(pass.run(top.order_by(by(column::CREATED, Order::Asc)))?),
        Sort::Cheapest => unscored(pass.run(top.order_by(by(column::PRICE, Order::Asc)))?),
        Sort::Dearest => unscored(pass.run(top.order_by(by(column::PRICE, Order::Desc)))?),
        Sort::BestRated => {
            let rated = SortByStaticFastValue::<u64>::for_field(column::RATING);
            let newest = by(column::CREATED, Order::Desc);
            unscored(pass.run(top.order_by(((rated, Order::Desc), newest)))?)
        }
    };
    let mut facets: Vec<(&Facet, Vec<FacetValue>)> = others.into_iter().zip(inside).collect();
    facets.extend(prices.into_iter().zip(outside));
    for facet in own {
        let query = within(text.as_ref(), &wanted.filters, Some(facet));
        let counting = Counting(vec![facet]);
        let priced = FilterCollector::new(column::PRICE.into(), wanted.filters.price(), counting);
        let counted = searcher.search(&query, &priced)?;
        facets.extend(counted.into_iter().map(|counted| (facet, counted)));
    }
    Ok(Page { top, total, facets })
}

/// One walk over what a query finds.
struct Pass<'a> {
    searcher: &'a Searcher,
    query: BooleanQuery,
    filters: &'a Filters,
    /// Facets counted of what has a wanted price…
    inside: Vec<&'a Facet>,
    /// …and whatever the price.
    outside: Vec<&'a Facet>,
}

/// The matches in an order, how many there are, and the facets inside and outside.
type Walked<T> = (T, usize, Vec<Vec<FacetValue>>, Vec<Vec<FacetValue>>);

impl Pass<'_> {
    fn run<C: Collector>(self, top: C) -> Result<Walked<C::Fruit>, Error> {
        let collected = (top, Count, Counting(self.inside));
        let priced = FilterCollector::new(column::PRICE.into(), self.filters.price(), collected);
        let all = (priced, Counting(self.outside));
        let ((top, total, inside), outside) = self.searcher.search(&self.query, &all)?;
        Ok((top, total, inside, outside))
    }
}

/// Matches in an order that no score makes.
fn unscored<K>((top, total, inside, outside): Walked<Vec<(K, DocAddress)>>) -> Walked<Top> {
    let top = top.into_iter().map(|(_, address)| (0.0, address));
    (top.collect(), total, inside, outside)
}
