//! Filters, and the facet counts: how many products each value would leave.
//!
//! **Invariant:** a facet is counted with every filter but its own, so that
//! choosing one value leaves the others visible.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use serde::Serialize;
use tantivy::columnar::StrColumn;
use tantivy::query::{BooleanQuery, Query, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocId, Searcher, SegmentReader, Term};

use crate::postings::Match;
use crate::schema::{NAME_END, SCHEMA, column};
use crate::{Error, identity};

/// A property that products are counted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Facet {
    /// Category paths, those above included.
    Category,
    /// Brands.
    Brand,
    /// Tags.
    Tag,
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
    /// Tags.
    pub tags: Vec<String>,
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
            tags,
            attributes,
            price_min,
            price_max,
            available,
        } = self;
        categories.is_empty()
            && brands.is_empty()
            && tags.is_empty()
            && attributes.is_empty()
            && (*price_min, *price_max, *available) == (None, None, None)
    }

    /// Whether there is a filter by this facet.
    pub(crate) fn narrow(&self, facet: &Facet) -> bool {
        match facet {
            Facet::Category => !self.categories.is_empty(),
            Facet::Brand => !self.brands.is_empty(),
            Facet::Tag => !self.tags.is_empty(),
            Facet::Price => (self.price_min, self.price_max) != (None, None),
            Facet::Attribute(name) => self.attributes.contains_key(name),
        }
    }

    /// Whether a price is within the filter by price. It is read of each match, which costs
    /// less than looking up the prices, and the products that it excludes are counted, too.
    pub(crate) fn has_price(&self, price: i64) -> bool {
        self.price_min.is_none_or(|min| price >= min)
            && self.price_max.is_none_or(|max| price <= max)
    }

    /// The filters other than the price and the one by `without`.
    pub(crate) fn queries(&self, without: Option<&Facet>) -> Vec<Box<dyn Query>> {
        let fields = &SCHEMA.1;
        let mut all: Vec<Box<dyn Query>> = Vec::new();
        for (facet, field, values) in [
            (Facet::Category, fields.category, &self.categories),
            (Facet::Brand, fields.brand, &self.brands),
            (Facet::Tag, fields.tag, &self.tags),
        ] {
            if !values.is_empty() && without != Some(&facet) {
                all.push(any_of(texts(field, values)));
            }
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
        all
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

/// Counts the values of a facet among the matches of each segment.
pub(crate) fn count(
    searcher: &Searcher,
    facet: &Facet,
    found: &[Vec<Match>],
    limit: usize,
) -> Result<Vec<FacetValue>, Error> {
    let segments = || searcher.segment_readers().iter().zip(found);
    let (name, prefix) = match facet {
        Facet::Category => (column::CATEGORY, String::new()),
        Facet::Brand => (column::BRAND, String::new()),
        Facet::Tag => (column::TAG, String::new()),
        Facet::Attribute(name) => (column::ATTRIBUTE, format!("{name}{NAME_END}")),
        Facet::Price => {
            let mut counts = vec![0; BAND_ENDS.len() + 1];
            for (segment, found) in segments() {
                count_prices(segment, found, &mut counts)?;
            }
            return Ok(price_bands(counts));
        }
    };
    let mut counts = HashMap::new();
    for (segment, found) in segments() {
        let mut words = SegmentWords::open(segment, name, &prefix)?;
        found.iter().for_each(|found| words.count(found.document));
        words.add_to(&mut counts);
    }
    Ok(most_frequent(counts, limit))
}

/// The values of a facet in the order they are returned: the most frequent first.
fn most_frequent(counts: HashMap<String, u64>, limit: usize) -> Vec<FacetValue> {
    let value = |(value, count)| FacetValue { value, count, min: None, max: None, more: false };
    let mut values: Vec<FacetValue> = counts.into_iter().map(value).collect();
    values.sort_unstable_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
    let is_cut = values.len() > limit;
    values.truncate(limit);
    if let Some(last) = values.last_mut() {
        last.more = is_cut;
    }
    values
}

/// Counts the words of a column that begin with a prefix, without it.
struct SegmentWords<'a> {
    column: Option<StrColumn>,
    prefix: &'a str,
    /// The ordinal of the first word that is counted.
    first: u64,
    /// By ordinal, from `first`.
    counts: Vec<u32>,
}

impl<'a> SegmentWords<'a> {
    fn open(segment: &SegmentReader, name: &str, prefix: &'a str) -> Result<Self, Error> {
        let column = segment.fast_fields().str(name)?;
        let counted = match &column {
            None => 0..0,
            Some(column) if prefix.is_empty() => 0..column.num_terms() as u64,
            Some(column) => {
                let end = prefix.replace(NAME_END, "\u{20}");
                let (low, high) = column
                    .dictionary()
                    .term_bounds_to_ord(Bound::Included(prefix), Bound::Excluded(end.as_str()))?;
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

    fn add_to(self, sum: &mut HashMap<String, u64>) {
        let (Some(column), mut word) = (self.column, String::new()) else {
            return;
        };
        let counted = self.counts.into_iter().zip(self.first..);
        for (count, ord) in counted.filter(|(count, _)| *count > 0) {
            // An unreadable word costs one facet value and not the search.
            if column.ord_to_str(ord, &mut word).is_ok_and(|found| found) {
                let name = word.strip_prefix(self.prefix).unwrap_or(&word);
                *sum.entry(name.to_owned()).or_default() += u64::from(count);
            }
        }
    }
}

/// Where price bands end, in minor units: 1, 2, 5, 10, … of the currency.
static BAND_ENDS: std::sync::LazyLock<Vec<i64>> = std::sync::LazyLock::new(|| {
    (2..12)
        .flat_map(|zeros| [1, 2, 5].map(|first| first * 10_i64.pow(zeros)))
        .collect()
});

/// Counts prices by band.
fn count_prices(segment: &SegmentReader, found: &[Match], counts: &mut [u64]) -> Result<(), Error> {
    let prices = segment.fast_fields().i64(column::PRICE)?;
    for price in found
        .iter()
        .filter_map(|found| prices.first(found.document))
    {
        counts[BAND_ENDS.partition_point(|end| *end <= price)] += 1;
    }
    Ok(())
}

/// Price bands from the lowest, each with bounds to filter by.
fn price_bands(counts: Vec<u64>) -> Vec<FacetValue> {
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
