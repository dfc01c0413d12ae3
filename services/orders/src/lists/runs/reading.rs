//! Reading: the runs, what is in memory, and the rows of late orders, merged.

use itertools::Itertools;
use model::{OrderId, ProductId, Time};
use store::{Read, Span};

use super::part::{Direction, EntryRange, entries};
use super::{
    LATE_BY_NUMBER, LATE_BY_PRODUCT, LATE_BY_TOTAL, NUMBER_PARTS, PRODUCT_PARTS, ProductPlace,
    RUNS, RunRow, SortedRuns, TOTAL_PARTS,
};
use crate::lists::age::{AgeOrder, IdRange, Ids};
use crate::lists::{TotalOrder, TotalPlace};

/// The places of orders in order of the total.
type Places<'a> = Box<dyn Iterator<Item = Result<TotalPlace, store::Error>> + 'a>;

impl SortedRuns {
    /// The orders of a product in order of age.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(in crate::lists) fn of_product<'a>(
        &self,
        from: &'a impl Read,
        product: ProductId,
        range: IdRange,
        age: AgeOrder,
    ) -> Result<Ids<'a>, store::Error> {
        // Before the runs: an order that goes into a run meanwhile is in both.
        let mut in_tail = self.in_tail(product, range);
        let direction = match age {
            AgeOrder::NewestFirst => Direction::Descending,
            AgeOrder::OldestFirst => Direction::Ascending,
        };
        let bounds = EntryRange {
            low: (product, range.low),
            high: Some(match range.high {
                Some(high) => (product, high),
                None => (product.following(), OrderId::first_at(Time(0))),
            }),
        };
        let of_run = move |run: Result<OrderId, store::Error>| {
            entries(from, PRODUCT_PARTS, run?, bounds, direction)
        };
        let in_runs = runs(from, range, age)?.map(of_run);
        let in_runs = in_runs
            .flatten_ok()
            .map(Result::flatten)
            .map_ok(|(_, id)| id);
        let ids: Ids<'a> = match age {
            AgeOrder::NewestFirst => {
                in_tail.reverse();
                Box::new(in_tail.into_iter().map(Ok).chain(in_runs))
            }
            AgeOrder::OldestFirst => Box::new(in_runs.chain(in_tail.into_iter().map(Ok))),
        };
        let mut last: Option<OrderId> = None;
        Ok(Box::new(ids.filter(move |id| match id {
            Ok(id) if last.is_some_and(|last| !age.is_before(last, *id)) => false,
            Ok(id) => last.replace(*id) != Some(*id),
            Err(_) => true,
        })))
    }

    /// The orders of a number: one, unless the prefix was changed and the number set back.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn of_number(
        &self,
        from: &impl Read,
        number: u64,
    ) -> Result<Vec<OrderId>, store::Error> {
        let mut found: Vec<OrderId> = {
            let tail = self.tail();
            let orders = tail.orders.iter();
            let of_number = orders.filter(|(_, content)| content.number == Some(number));
            of_number.map(|(id, _)| *id).collect()
        };
        for row in from.scan(LATE_BY_NUMBER.prefix(&number))? {
            found.push(row?.0.1);
        }
        let first = OrderId::first_at(Time(0));
        let bounds = EntryRange {
            low: (number, first),
            high: Some((number.saturating_add(1), first)),
        };
        for run in runs(from, IdRange::all(), AgeOrder::NewestFirst)? {
            for entry in entries(from, NUMBER_PARTS, run?, bounds, Direction::Descending)? {
                found.push(entry?.1);
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// The orders of a product in the tail, oldest first.
    fn in_tail(&self, product: ProductId, range: IdRange) -> Vec<OrderId> {
        let tail = self.tail();
        let orders = tail.orders.range(range.low..);
        let orders = orders.take_while(|(id, _)| range.contains(**id));
        let of_product = orders.filter(|(_, content)| content.products.contains(&product));
        of_product.map(|(id, _)| *id).collect()
    }

    /// The places of all orders by total, after `after`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(in crate::lists) fn by_total<'a>(
        &self,
        from: &'a impl Read,
        sort: TotalOrder,
        after: Option<TotalPlace>,
    ) -> Result<Places<'a>, store::Error> {
        let (bounds, direction) = bounds_by_total(sort, after);
        let mut in_tail: Vec<_> = self.places_in_tail();
        in_tail.retain(|place| bounds.contains(*place));
        in_tail.sort_unstable();
        let late = LATE_BY_TOTAL.all().from(&bounds.low);
        let late = match bounds.high {
            Some(high) => late.before(&high),
            None => late,
        };
        let late = match direction {
            Direction::Ascending => late,
            Direction::Descending => {
                in_tail.reverse();
                late.newest_first()
            }
        };
        let late: Places<'a> = Box::new(from.scan(late)?.map_ok(|(place, ())| place));
        let mut sources = vec![late, Box::new(in_tail.into_iter().map(Ok))];
        for run in runs(from, IdRange::all(), AgeOrder::NewestFirst)? {
            let of_run = entries(from, TOTAL_PARTS, run?, bounds, direction)?;
            sources.push(Box::new(of_run));
        }
        let is_before = move |one: &_, other: &_| match (one, other) {
            (Ok(one), Ok(other)) => direction.is_before(one, other),
            (one, _) => Result::<TotalPlace, store::Error>::is_err(one),
        };
        let merged = sources.into_iter().kmerge_by(is_before);
        Ok(Box::new(merged.dedup_by(
            |one, other| matches!((one, other), (Ok(one), Ok(other)) if one == other),
        )))
    }

    fn places_in_tail(&self) -> Vec<TotalPlace> {
        let tail = self.tail();
        let places = tail.orders.iter();
        places.map(|(id, content)| (content.total, *id)).collect()
    }
}

/// The rows of orders of a product that are in no run.
pub(in crate::lists) fn late_of_product(product: ProductId) -> Span<ProductPlace, ()> {
    LATE_BY_PRODUCT.prefix(&product)
}

/// The runs that may have ids of a range, in order of age.
fn runs<'a>(from: &'a impl Read, range: IdRange, age: AgeOrder) -> Result<Ids<'a>, store::Error> {
    let rows = RUNS.all().from(&range.low);
    if age == AgeOrder::OldestFirst {
        let begins_later = move |row: &RunRow| range.high.is_some_and(|high| row.first >= high);
        let rows = from.scan(rows)?;
        let rows = rows.take_while(move |row| match row {
            Ok((_, row)) => !begins_later(row),
            Err(_) => true,
        });
        return Ok(Box::new(rows.map_ok(|(run, _)| run)));
    }
    let newest = match range.high {
        None => None,
        Some(high) => from.scan(RUNS.all().from(&high))?.next().transpose()?,
    };
    let rows = match newest {
        None => rows,
        Some((run, _)) => rows.up_to(&run),
    };
    let rows = from.scan(rows.newest_first())?;
    Ok(Box::new(rows.map_ok(|(run, _)| run)))
}

fn bounds_by_total(
    sort: TotalOrder,
    after: Option<TotalPlace>,
) -> (EntryRange<TotalPlace>, Direction) {
    let least = (i64::MIN, OrderId::first_at(Time(0)));
    match sort {
        TotalOrder::LargestFirst => (
            EntryRange { low: least, high: after },
            Direction::Descending,
        ),
        TotalOrder::SmallestFirst => {
            let low = after.map_or(least, |(total, id)| (total, id.following()));
            (EntryRange { low, high: None }, Direction::Ascending)
        }
    }
}
