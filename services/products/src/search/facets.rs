//! Filters, and how many products each of their values would leave.
//!
//! **Invariant:** a facet is counted with every filter but its own, so that
//! choosing one value does not hide the others.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use serde::Serialize;
use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::{Column, StrColumn};
use tantivy::query::{BooleanQuery, ConstScoreQuery, Occur, Query, RangeQuery, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocId, Score, Searcher, SegmentOrdinal, SegmentReader, Term};

use super::schema::{NAME_END, SCHEMA, column};
use crate::Error;

/// Values shown of one facet, the most frequent ones.
const VALUES_MAX: usize = 100;

/// Something products can be counted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Facet {
    Category,
    Brand,
    Price,
    /// An attribute of this name.
    Attribute(String),
}

/// Which products are wanted at all. Several values of one facet mean any of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filters {
    pub(crate) categories: Vec<String>,
    pub(crate) brands: Vec<String>,
    pub(crate) attributes: BTreeMap<String, Vec<String>>,
    pub(crate) price_min: Option<i64>,
    pub(crate) price_max: Option<i64>,
    pub(crate) available: Option<bool>,
}

impl Filters {
    /// These filters as clauses that add nothing to a score, without a facet's own.
    pub(super) fn clauses(&self, without: Option<&Facet>) -> Vec<(Occur, Box<dyn Query>)> {
        let fields = &SCHEMA.1;
        let mut all: Vec<Box<dyn Query>> = Vec::new();
        if !self.categories.is_empty() && without != Some(&Facet::Category) {
            all.push(any_of(fields.category, &self.categories));
        }
        if !self.brands.is_empty() && without != Some(&Facet::Brand) {
            all.push(any_of(fields.brand, &self.brands));
        }
        for (name, values) in &self.attributes {
            if without != Some(&Facet::Attribute(name.clone())) {
                let pairs: Vec<String> = values
                    .iter()
                    .map(|value| format!("{name}{NAME_END}{value}"))
                    .collect();
                all.push(any_of(fields.attribute, &pairs));
            }
        }
        if (self.price_min, self.price_max) != (None, None) && without != Some(&Facet::Price) {
            let bound = |price: Option<i64>| {
                price.map_or(Bound::Unbounded, |price| {
                    Bound::Included(Term::from_field_i64(fields.price, price))
                })
            };
            let range = RangeQuery::new(bound(self.price_min), bound(self.price_max));
            all.push(Box::new(range));
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

fn any_of(field: Field, values: &[String]) -> Box<dyn Query> {
    let terms = values
        .iter()
        .map(|value| Term::from_field_text(field, value))
        .collect();
    Box::new(BooleanQuery::new_multiterms_query(terms))
}

/// A facet's value and how many products have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FacetValue {
    value: String,
    count: u64,
    /// The least price of a price band, in minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<i64>,
    /// The highest, included.
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<i64>,
}

/// Counts a facet's values among the products `query` finds.
pub(super) fn count(
    searcher: &Searcher,
    query: &dyn Query,
    facet: &Facet,
) -> Result<Vec<FacetValue>, Error> {
    let words = |column, prefix| Words { column, prefix };
    let counted = match facet {
        Facet::Category => searcher.search(query, &words(column::CATEGORY, String::new()))?,
        Facet::Brand => searcher.search(query, &words(column::BRAND, String::new()))?,
        Facet::Attribute(name) => {
            let prefix = format!("{name}{NAME_END}");
            searcher.search(query, &words(column::ATTRIBUTE, prefix))?
        }
        Facet::Price => return Ok(prices(searcher.search(query, &Prices)?)),
    };
    let mut values: Vec<FacetValue> = counted
        .into_iter()
        .map(|(value, count)| FacetValue { value, count, min: None, max: None })
        .collect();
    values.sort_unstable_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
    values.truncate(VALUES_MAX);
    Ok(values)
}

/// Counts the words of a column that begin with a prefix, without it.
struct Words {
    column: &'static str,
    prefix: String,
}

struct SegmentWords {
    column: Option<StrColumn>,
    prefix: String,
    /// The ordinals of the words that count.
    wanted: std::ops::Range<u64>,
    counts: HashMap<u64, u64>,
}

impl Collector for Words {
    type Fruit = HashMap<String, u64>;
    type Child = SegmentWords;

    fn for_segment(
        &self,
        _: SegmentOrdinal,
        segment: &SegmentReader,
    ) -> tantivy::Result<SegmentWords> {
        let column = segment.fast_fields().str(self.column)?;
        let wanted = match &column {
            Some(column) if !self.prefix.is_empty() => {
                let end = self.prefix.replace(NAME_END, "\u{20}");
                let (low, high) = column.dictionary().term_bounds_to_ord(
                    Bound::Included(self.prefix.as_str()),
                    Bound::Excluded(end.as_str()),
                )?;
                let at = |bound, open| match bound {
                    Bound::Included(ord) | Bound::Excluded(ord) => ord,
                    Bound::Unbounded => open,
                };
                at(low, 0)..at(high, u64::MAX)
            }
            _ => 0..u64::MAX,
        };
        Ok(SegmentWords {
            column,
            prefix: self.prefix.clone(),
            wanted,
            counts: HashMap::new(),
        })
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(
        &self,
        segments: Vec<HashMap<String, u64>>,
    ) -> tantivy::Result<HashMap<String, u64>> {
        let mut all: HashMap<String, u64> = HashMap::new();
        for (word, count) in segments.into_iter().flatten() {
            *all.entry(word).or_default() += count;
        }
        Ok(all)
    }
}

impl SegmentCollector for SegmentWords {
    type Fruit = HashMap<String, u64>;

    fn collect(&mut self, document: DocId, _: Score) {
        if let Some(column) = &self.column {
            for word in column.term_ords(document) {
                if self.wanted.contains(&word) {
                    *self.counts.entry(word).or_default() += 1;
                }
            }
        }
    }

    fn harvest(self) -> HashMap<String, u64> {
        let Some(column) = self.column else {
            return HashMap::new();
        };
        let mut word = String::new();
        let mut named = HashMap::new();
        for (ord, count) in self.counts {
            // A word that cannot be read is a facet value fewer, not a failed search.
            if column.ord_to_str(ord, &mut word).is_ok_and(|found| found) {
                let name = word.strip_prefix(&self.prefix).unwrap_or(&word);
                named.insert(name.to_owned(), count);
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
struct Prices;

struct SegmentPrices {
    column: Column<i64>,
    counts: BTreeMap<usize, u64>,
}

impl Collector for Prices {
    type Fruit = BTreeMap<usize, u64>;
    type Child = SegmentPrices;

    fn for_segment(
        &self,
        _: SegmentOrdinal,
        segment: &SegmentReader,
    ) -> tantivy::Result<SegmentPrices> {
        let column = segment.fast_fields().i64(column::PRICE)?;
        Ok(SegmentPrices { column, counts: BTreeMap::new() })
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(
        &self,
        segments: Vec<BTreeMap<usize, u64>>,
    ) -> tantivy::Result<BTreeMap<usize, u64>> {
        let mut all: BTreeMap<usize, u64> = BTreeMap::new();
        for (band, count) in segments.into_iter().flatten() {
            *all.entry(band).or_default() += count;
        }
        Ok(all)
    }
}

impl SegmentCollector for SegmentPrices {
    type Fruit = BTreeMap<usize, u64>;

    fn collect(&mut self, document: DocId, _: Score) {
        if let Some(price) = self.column.first(document) {
            let band = BAND_ENDS.partition_point(|end| *end <= price);
            *self.counts.entry(band).or_default() += 1;
        }
    }

    fn harvest(self) -> BTreeMap<usize, u64> {
        self.counts
    }
}

/// Price bands from the cheapest, each with bounds to filter by.
fn prices(counts: BTreeMap<usize, u64>) -> Vec<FacetValue> {
    let band = |(band, count): (usize, u64)| {
        let min = band.checked_sub(1).map_or(0, |before| BAND_ENDS[before]);
        let max = BAND_ENDS.get(band).map(|end| end - 1);
        let value = match max {
            Some(max) => format!("{min}..{max}"),
            None => format!("{min}.."),
        };
        FacetValue { value, count, min: Some(min), max }
    };
    counts.into_iter().map(band).collect()
}
