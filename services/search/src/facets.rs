//! Filters, and the facet counts: how many products each value would leave.
//!
//! **Invariant:** a facet is counted with every filter but its own, so that
//! choosing one value leaves the others visible.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use serde::Serialize;
use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::{Column, StrColumn};
use tantivy::query::{BooleanQuery, ConstScoreQuery, Occur, Query, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocId, Score, SegmentOrdinal, SegmentReader, Term};

use crate::identity;
use crate::schema::{NAME_END, SCHEMA, column};

/// A property that products are counted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Facet {
    /// Category paths, those above included.
    Category,
    /// Brands.
    Brand,
    /// Price bands.
    Price,
    /// An attribute of this name.
    Attribute(String),
}

/// The conditions every match meets. Several values of one facet mean any of them.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    /// Category paths.
    pub categories: Vec<String>,
    /// Brands.
    pub brands: Vec<String>,
    /// Values by attribute name.
    pub attributes: BTreeMap<String, Vec<String>>,
    /// In minor units, included.
    pub price_min: Option<i64>,
    /// In minor units, included.
    pub price_max: Option<i64>,
    /// Whether at least one unit can be sold.
    pub available: Option<bool>,
}

impl Filters {
    /// Whether there is no condition.
    pub(crate) fn are_none(&self) -> bool {
        let Self {
            categories,
            brands,
            attributes,
            price_min,
            price_max,
            available,
        } = self;
        categories.is_empty()
            && brands.is_empty()
            && attributes.is_empty()
            && (*price_min, *price_max, *available) == (None, None, None)
    }

    /// Whether there is a filter by this facet.
    pub(crate) fn narrow(&self, facet: &Facet) -> bool {
        match facet {
            Facet::Category => !self.categories.is_empty(),
            Facet::Brand => !self.brands.is_empty(),
            Facet::Price => (self.price_min, self.price_max) != (None, None),
            Facet::Attribute(name) => self.attributes.contains_key(name),
        }
    }

    /// The predicate on prices. It is applied to each match, which costs less than a
    /// clause and lets the same pass count the products it excludes.
    pub(crate) fn price(&self) -> impl Fn(i64) -> bool + Copy + Send + Sync + 'static {
        let low = self.price_min.unwrap_or(i64::MIN);
        let high = self.price_max.unwrap_or(i64::MAX);
        move |price| (low..=high).contains(&price)
    }

    /// The filters other than the price as clauses with a score of zero, without the
    /// filter by `without`.
    pub(crate) fn clauses(&self, without: Option<&Facet>) -> Vec<(Occur, Box<dyn Query>)> {
        let fields = &SCHEMA.1;
        let mut all: Vec<Box<dyn Query>> = Vec::new();
        if !self.categories.is_empty() && without != Some(&Facet::Category) {
            all.push(any_of(texts(fields.category, &self.categories)));
        }
        if !self.brands.is_empty() && without != Some(&Facet::Brand) {
            all.push(any_of(texts(fields.brand, &self.brands)));
        }
        for (name, values) in &self.attributes {
            if without != Some(&Facet::Attribute(name.clone())) {
                let hashes = values
                    .iter()
                    .map(|value| identity::pair(&format!("{name}{NAME_END}{value}")));
                let term = |hash| Term::from_field_u64(fields.attribute_hash, hash);
                all.push(any_of(hashes.map(term)));
            }
        }
        if let Some(available) = self.available {
            let term = Term::from_field_bool(fields.available, available);
            all.push(Box::new(TermQuery::new(term, IndexRecordOption::Basic)));
        }
        all.into_iter()
            .map(|query| -> (Occur, Box<dyn Query>) {
                (Occur::Must, Box::new(ConstScoreQuery::new(query, 0.0)))
            })
            .collect()
    }
}

fn texts(field: Field, values: &[String]) -> impl Iterator<Item = Term> {
    values
        .iter()
        .map(move |value| Term::from_field_text(field, value))
}

fn any_of(terms: impl Iterator<Item = Term>) -> Box<dyn Query> {
    Box::new(BooleanQuery::new_multiterms_query(terms.collect()))
}

/// A facet's value and its count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FacetValue {
    value: String,
    count: u64,
    /// The lowest price of a price band, in minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<i64>,
    /// The highest, included.
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<i64>,
    /// Set on the last value of a facet that has more of them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

/// Counts the values of several facets in one pass over the matches of a query.
pub(crate) struct FacetCollector<'a> {
    pub(crate) facets: Vec<&'a Facet>,
    /// Values returned of each, the most frequent ones.
    pub(crate) limit: usize,
}

/// The counters of one segment, one for each facet.
pub(crate) struct SegmentCounts(Vec<SegmentCount>);

enum SegmentCount {
    Words(SegmentWords),
    Prices(SegmentPrices),
}

/// The number of products with each value.
pub(crate) enum Counts {
    Words(HashMap<String, u64>),
    Prices(Vec<u64>),
}

impl Collector for FacetCollector<'_> {
    type Fruit = Vec<Vec<FacetValue>>;
    type Child = SegmentCounts;

    fn for_segment(
        &self,
        _: SegmentOrdinal,
        segment: &SegmentReader,
    ) -> tantivy::Result<SegmentCounts> {
        let words = |column, prefix| {
            Ok(SegmentCount::Words(SegmentWords::open(
                segment, column, prefix,
            )?))
        };
        let count = |facet: &&Facet| match facet {
            Facet::Category => words(column::CATEGORY, String::new()),
            Facet::Brand => words(column::BRAND, String::new()),
            Facet::Attribute(name) => words(column::ATTRIBUTE, format!("{name}{NAME_END}")),
            Facet::Price => Ok(SegmentCount::Prices(SegmentPrices::open(segment)?)),
        };
        Ok(SegmentCounts(
            self.facets
                .iter()
                .map(count)
                .collect::<tantivy::Result<_>>()?,
        ))
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(&self, segments: Vec<Vec<Counts>>) -> tantivy::Result<Vec<Vec<FacetValue>>> {
        let mut all: Vec<Option<Counts>> = self.facets.iter().map(|_| None).collect();
        for segment in segments {
            for (sum, counts) in all.iter_mut().zip(segment) {
                match (sum, counts) {
                    (Some(Counts::Words(sum)), Counts::Words(counts)) => {
                        for (word, count) in counts {
                            *sum.entry(word).or_default() += count;
                        }
                    }
                    (Some(Counts::Prices(sum)), Counts::Prices(counts)) => {
                        for (sum, count) in sum.iter_mut().zip(counts) {
                            *sum += count;
                        }
                    }
                    (sum, counts) => *sum = Some(counts),
                }
            }
        }
        let values = all.into_iter().map(|counts| values(counts, self.limit));
        Ok(values.collect())
    }
}

impl SegmentCollector for SegmentCounts {
    type Fruit = Vec<Counts>;

    fn collect(&mut self, document: DocId, _: Score) {
        for count in &mut self.0 {
            match count {
                SegmentCount::Words(words) => words.count(document),
                SegmentCount::Prices(prices) => prices.count(document),
            }
        }
    }

    fn harvest(self) -> Vec<Counts> {
        let harvest = |count| match count {
            SegmentCount::Words(words) => Counts::Words(words.named()),
            SegmentCount::Prices(prices) => Counts::Prices(prices.counts),
        };
        self.0.into_iter().map(harvest).collect()
    }
}

/// The values of a facet in the order they are returned: the most frequent first, prices
/// from the lowest.
fn values(counts: Option<Counts>, limit: usize) -> Vec<FacetValue> {
    match counts {
        None => Vec::new(),
        Some(Counts::Prices(counts)) => prices(counts),
        Some(Counts::Words(counts)) => {
            let mut values: Vec<FacetValue> = counts
                .into_iter()
                .map(|(value, count)| FacetValue {
                    value,
                    count,
                    min: None,
                    max: None,
                    more: false,
                })
                .collect();
            values
                .sort_unstable_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
            let is_cut = values.len() > limit;
            values.truncate(limit);
            if let Some(last) = values.last_mut() {
                last.more = is_cut;
            }
            values
        }
    }
}

/// Counts the words of a column that begin with a prefix, without it.
struct SegmentWords {
    column: Option<StrColumn>,
    prefix: String,
    /// The ordinal of the first word that is counted.
    first: u64,
    /// By ordinal, from `first`.
    counts: Vec<u32>,
}

impl SegmentWords {
    fn open(segment: &SegmentReader, name: &str, prefix: String) -> tantivy::Result<Self> {
        let column = segment.fast_fields().str(name)?;
        let counted = match &column {
            None => 0..0,
            Some(column) if prefix.is_empty() => 0..column.num_terms() as u64,
            Some(column) => {
                let end = prefix.replace(NAME_END, "\u{20}");
                let (low, high) = column.dictionary().term_bounds_to_ord(
                    Bound::Included(prefix.as_str()),
                    Bound::Excluded(end.as_str()),
                )?;
                let at = |bound, open| match bound {
                    Bound::Included(ord) | Bound::Excluded(ord) => ord,
                    Bound::Unbounded => open,
                };
                at(low, 0)..at(high, column.num_terms() as u64)
            }
        };
        let words = usize::try_from(counted.end.saturating_sub(counted.start)).unwrap_or(0);
        Ok(Self { column, prefix, first: counted.start, counts: vec![0; words] })
    }

    fn count(&mut self, document: DocId) {
        let Some(column) = &self.column else { return };
        for word in column.term_ords(document) {
            let place = word
                .checked_sub(self.first)
                .and_then(|place| usize::try_from(place).ok());
            if let Some(count) = place.and_then(|place| self.counts.get_mut(place)) {
                *count += 1;
            }
        }
    }

    fn named(self) -> HashMap<String, u64> {
        let (Some(column), mut word) = (self.column, String::new()) else {
            return HashMap::new();
        };
        let mut named = HashMap::new();
        let counted = self.counts.into_iter().zip(self.first..);
        for (count, ord) in counted.filter(|(count, _)| *count > 0) {
            // An unreadable word costs one facet value and not the search.
            if column.ord_to_str(ord, &mut word).is_ok_and(|found| found) {
                let name = word.strip_prefix(&self.prefix).unwrap_or(&word);
                named.insert(name.to_owned(), u64::from(count));
            }
        }
        named
    }
}

/// Where price bands end, in minor units: 1, 2, 5, 10, … of the currency.
static BAND_ENDS: std::sync::LazyLock<Vec<i64>> = std::sync::LazyLock::new(|| {
    (2..12)
        .flat_map(|zeros| [1, 2, 5].map(|first| first * 10_i64.pow(zeros)))
        .collect()
});

/// Counts prices by band.
struct SegmentPrices {
    column: Column<i64>,
    /// By band.
    counts: Vec<u64>,
}

impl SegmentPrices {
    fn open(segment: &SegmentReader) -> tantivy::Result<Self> {
        let column = segment.fast_fields().i64(column::PRICE)?;
        Ok(Self { column, counts: vec![0; BAND_ENDS.len() + 1] })
    }

    fn count(&mut self, document: DocId) {
        if let Some(price) = self.column.first(document) {
            let band = BAND_ENDS.partition_point(|end| *end <= price);
            self.counts[band] += 1;
        }
    }
}

/// Price bands from the lowest, each with bounds to filter by.
fn prices(counts: Vec<u64>) -> Vec<FacetValue> {
    let band = |(band, count): (usize, u64)| {
        let min = band.checked_sub(1).map_or(0, |before| BAND_ENDS[before]);
        let max = BAND_ENDS.get(band).map(|end| end - 1);
        let value = match max {
            Some(max) => format!("{min}..{max}"),
            None => format!("{min}.."),
        };
        FacetValue { value, count, min: Some(min), max, more: false }
    };
    let counts = counts.into_iter().enumerate();
    counts.filter(|(_, count)| *count > 0).map(band).collect()
}
