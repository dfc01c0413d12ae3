//! A page: the best matches in an order that is the same each time.
//!
//! **Invariant:** matches of one key are ordered by their ids and never by their place in
//! the index, which changes with every merge; so the pages of a search that is repeated
//! neither repeat a product nor miss one.

use std::collections::{BTreeMap, BTreeSet};

use tantivy::columnar::{BytesColumn, Column};
use tantivy::{DocId, Score, Searcher, SegmentReader};

use crate::identity::SegmentIds;
use crate::postings::Match;
use crate::ranking::{KindWeights, SegmentKindWeights, WEIGHT_MAX};
use crate::schema::column;
use crate::{Error, ProductId};

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
    /// By title, as people sort names.
    Title,
    /// By average rating, then by its count; unrated products come last.
    BestRated,
}

/// A match, ordered from the best to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hit {
    /// The lower, the better.
    key: u128,
    tie: u128,
    score_bits: u32,
    pub(crate) id: ProductId,
}

impl Hit {
    pub(crate) fn score(&self) -> Score {
        Score::from_bits(self.score_bits)
    }
}

/// The matches from `offset` on.
pub(crate) struct PageRequest {
    pub(crate) order: SearchOrder,
    /// The weights of scores; without them matches are not ordered by score.
    pub(crate) weights: Option<KindWeights>,
    pub(crate) offset: usize,
    pub(crate) limit: usize,
}

/// The values that a segment's matches are ordered by.
enum SortColumns {
    Score(SegmentKindWeights),
    Price(Column<i64>),
    Created(Column<i64>),
    /// Sort keys, by ordinals of the segment.
    Title(Option<BytesColumn>),
    /// Where no product of the segment is rated, there is no column.
    Rated(Option<Column<u64>>, Column<i64>),
}

/// The best matches of one segment.
struct SegmentPage {
    order: SearchOrder,
    columns: SortColumns,
    ids: SegmentIds,
    kept: usize,
    /// Twice as many as are kept, so that sorting is rare.
    hits: Vec<Hit>,
    /// The key of the last one kept, when there are enough.
    last: u128,
}

impl PageRequest {
    /// The page of the matches of each segment.
    pub(crate) fn collect(
        &self,
        searcher: &Searcher,
        found: &[Vec<Match>],
    ) -> Result<Vec<Hit>, Error> {
        let mut segments = Vec::new();
        for (segment, found) in searcher.segment_readers().iter().zip(found) {
            let mut page = self.of(segment)?;
            let mut found = found.clone();
            if self.weights.is_some() && found.len() > 2 * page.kept {
                // With the best ones first, most others are passed over at once.
                found.select_nth_unstable_by(2 * page.kept, |one, other| {
                    other.score.total_cmp(&one.score)
                });
            }
            found.iter().for_each(|found| page.add(found));
            segments.push(page.into_hits());
        }
        let mut hits = merged(&segments);
        hits.sort_unstable();
        let page = hits.into_iter().skip(self.offset).take(self.limit);
        Ok(page.collect())
    }

    fn of(&self, segment: &SegmentReader) -> Result<SegmentPage, Error> {
        let columns = segment.fast_fields();
        let created = || columns.i64(column::CREATED);
        let sorted_by = match (self.order, &self.weights) {
            (SearchOrder::Relevance, Some(weights)) => SortColumns::Score(weights.of(segment)?),
            (SearchOrder::Relevance | SearchOrder::Newest | SearchOrder::Oldest, _) => {
                SortColumns::Created(created()?)
            }
            (SearchOrder::Cheapest | SearchOrder::Dearest, _) => {
                SortColumns::Price(columns.i64(column::PRICE)?)
            }
            (SearchOrder::Title, _) => SortColumns::Title(columns.bytes(column::TITLE)?),
            (SearchOrder::BestRated, _) => {
                SortColumns::Rated(columns.column_opt(column::RATING)?, created()?)
            }
        };
        Ok(SegmentPage {
            order: self.order,
            columns: sorted_by,
            ids: SegmentIds::open(segment)?,
            kept: self.offset + self.limit,
            hits: Vec::new(),
            last: u128::MAX,
        })
    }
}

/// The best matches of a segment.
struct SegmentHits {
    hits: Vec<Hit>,
    /// In the order of titles, the sort keys that the keys of the hits stand for.
    titles: BTreeMap<u128, Vec<u8>>,
}

/// The matches of all segments. Where their keys are ordinals of a segment, they become ranks
/// among the titles of all.
fn merged(segments: &[SegmentHits]) -> Vec<Hit> {
    let titles = segments.iter().flat_map(|segment| segment.titles.values());
    let titles: BTreeSet<_> = titles.collect();
    let ranks: &BTreeMap<_, u128> = &titles.into_iter().zip(0..).collect();
    let ranked = segments.iter().flat_map(|SegmentHits { hits, titles }| {
        hits.iter().map(move |hit| {
            let rank = titles.get(&hit.key).and_then(|title| ranks.get(title));
            Hit { key: rank.copied().unwrap_or(hit.key), ..*hit }
        })
    });
    ranked.collect()
}

impl SegmentPage {
    fn into_hits(mut self) -> SegmentHits {
        let SortColumns::Title(Some(sort_keys)) = &self.columns else {
            return SegmentHits { hits: self.hits, titles: BTreeMap::new() };
        };
        self.hits.sort_unstable();
        self.hits.truncate(self.kept);
        let titles = self.hits.iter().filter_map(|hit| {
            let mut title = Vec::new();
            let ordinal = u64::try_from(hit.key).ok()?;
            // An unreadable one costs one hit its place and not the search.
            let found = sort_keys.ord_to_bytes(ordinal, &mut title).ok()?;
            found.then_some((hit.key, title))
        });
        let titles = titles.collect();
        SegmentHits { hits: self.hits, titles }
    }

    fn add(&mut self, &Match { document, score }: &Match) {
        let (key, score) = self.key(document, score);
        if key > self.last {
            return;
        }
        // Every document has an id.
        let Some(id) = self.ids.of(document) else {
            return;
        };
        let bits = id.uuid().as_u128();
        let is_latest_first =
            matches!(self.columns, SortColumns::Created(_)) && self.order != SearchOrder::Oldest;
        let tie = if is_latest_first { !bits } else { bits };
        self.hits
            .push(Hit { key, tie, score_bits: score.to_bits(), id });
        if self.hits.len() >= 2 * self.kept {
            let (_, last, _) = self.hits.select_nth_unstable(self.kept - 1);
            self.last = last.key;
            self.hits.truncate(self.kept);
        }
    }

    /// The sort key of a document, and its score.
    fn key(&self, document: DocId, score: Score) -> (u128, Score) {
        let value = match &self.columns {
            SortColumns::Score(weights) => {
                // Reading the kind costs more than all else here.
                let best = descending(u64::from(ordered_bits(score * WEIGHT_MAX)));
                if best > self.last {
                    return (best, score);
                }
                let score = score * weights.of(document);
                return (descending(u64::from(ordered_bits(score))), score);
            }
            SortColumns::Price(prices) => prices.first(document).map(ordered),
            SortColumns::Created(created) => created.first(document).map(ordered),
            SortColumns::Title(sort_keys) => {
                let ordinals = sort_keys.as_ref().map(BytesColumn::ords);
                let ordinal = ordinals.and_then(|ordinals| ordinals.first(document));
                return (u128::from(ordinal.unwrap_or(u64::MAX)), 0.0);
            }
            SortColumns::Rated(ratings, created) => {
                let rating = ratings.as_ref().and_then(|ratings| ratings.first(document));
                let rating = rating.map_or(0, |rating| rating + 1);
                let created = created.first(document).map_or(0, ordered);
                return (descending(rating) << 64 | descending(created), 0.0);
            }
        };
        let value = value.unwrap_or(0);
        let is_ascending = matches!(self.order, SearchOrder::Cheapest | SearchOrder::Oldest);
        (
            if is_ascending {
                u128::from(value)
            } else {
                descending(value)
            },
            0.0,
        )
    }
}

/// A number that orders as a signed one does.
fn ordered(value: i64) -> u64 {
    value.cast_unsigned() ^ (1 << 63)
}

/// A number that orders as a score does; no score is negative.
fn ordered_bits(score: Score) -> u32 {
    score.max(0.0).to_bits()
}

fn descending(value: u64) -> u128 {
    u128::from(!value)
}
