//! Lists of orders, read from the indexes.
//!
//! A list in order of age is the intersection of the indexes of its filters. One in order of
//! the total sorts what its filters leave, if that is at most [`SORTED_MAX`] orders, and walks
//! the index of totals otherwise, passing over the orders that do not fit.
//!
//! **Invariant:** a page reads at most about [`INDEX_ROWS_MAX`] rows of indexes, a row of each
//! [run](self::runs), and [`SORTED_MAX`] orders, however many the shop has. One that would need more is shorter than
//! its limit, and its cursor goes on where it ended.

mod age;
mod runs;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeSet;
use std::time::Duration;

use model::{CustomerId, OrderId, ProductId, Time};
use store::Read;

use self::age::IdRange;
pub(crate) use self::age::{AgeOrder, Ids};
pub(crate) use self::runs::{IndexDigest, SortedRuns, TABLES_OF_RUNS};
use self::walk::{Index, Intersection, Source, Step};
use crate::Error;
use crate::domain::{Order, OrderStatus};
use crate::tables::{self, StoredOrder};

/// Rows of indexes that a page reads, at some microseconds each.
const INDEX_ROWS_MAX: usize = 5_000;
/// Orders that are sorted by their total in memory, and that a page reads in all.
const SORTED_MAX: usize = 1_000;
/// How far the clock of an id and the time of creation of an order may differ: ids of earlier
/// versions were made a moment before the time was read.
const CLOCKS_DIFFER_MAX: Duration = Duration::from_secs(1);

/// The orders that a list has.
#[derive(Debug, Clone, Default)]
pub(crate) struct OrderFilter {
    /// Of any of these buyers.
    pub(crate) buyers: Option<BTreeSet<CustomerId>>,
    pub(crate) status: Option<OrderStatus>,
    pub(crate) product: Option<ProductId>,
    /// This one alone.
    pub(crate) order: Option<OrderId>,
    /// Created at this moment or later.
    pub(crate) created_from: Option<Time>,
    /// Created before this moment.
    pub(crate) created_to: Option<Time>,
}

/// The order of a list by total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TotalOrder {
    LargestFirst,
    SmallestFirst,
}

/// A place in a list by total: minor units, and the order.
pub(crate) type TotalPlace = (i64, OrderId);

/// A page of a list, and the place after which the next one begins, if there is one.
pub(crate) struct OrderPage<P> {
    pub(crate) orders: Vec<StoredOrder>,
    pub(crate) next: Option<P>,
}

impl OrderFilter {
    /// Whether the filter leaves anything out.
    fn is_narrow(&self) -> bool {
        let Self { buyers, status, product, order, created_from, created_to } = self;
        buyers.is_some()
            || status.is_some()
            || product.is_some()
            || order.is_some()
            || created_from.is_some()
            || created_to.is_some()
    }

    /// Whether an order fits.
    fn fits(&self, order: &Order) -> bool {
        let is_of = |product| order.lines.iter().any(|line| line.product_id == product);
        self.buyers
            .as_ref()
            .is_none_or(|buyers| buyers.contains(&order.buyer.customer_id()))
            && self.status.is_none_or(|status| status == order.status)
            && self.product.is_none_or(is_of)
            && self.order.is_none_or(|id| id == order.id)
            && self
                .created_from
                .is_none_or(|from| order.created_at >= from)
            && self.created_to.is_none_or(|to| order.created_at < to)
    }

    /// The ids that may fit: an id tells when its order was created, but for
    /// [`CLOCKS_DIFFER_MAX`].
    fn range(&self) -> IdRange {
        let mut range = IdRange::all();
        if let Some(from) = self.created_from {
            range.low = OrderId::first_at(from.before(CLOCKS_DIFFER_MAX));
        }
        if let Some(to) = self.created_to {
            range.high = Some(OrderId::first_at(to.after(CLOCKS_DIFFER_MAX)));
        }
        if let Some(id) = self.order {
            range.low = range.low.max(id);
            let high = id.following();
            range.high = Some(range.high.map_or(high, |known| known.min(high)));
        }
        range
    }

    /// The ids that fit, after `after`.
    fn walk<'a, R: Read>(
        &self,
        source: Source<'a, R>,
        age: AgeOrder,
        after: Option<OrderId>,
    ) -> Result<Intersection<'a, R>, store::Error> {
        let statuses = self
            .status
            .map_or_else(|| OrderStatus::ALL.to_vec(), |one| vec![one]);
        let mut unions = Vec::new();
        match (&self.buyers, self.status) {
            (Some(buyers), _) => {
                let of_buyer = |buyer: &CustomerId| {
                    let buyer = *buyer;
                    statuses
                        .iter()
                        .map(move |status| Index::BuyerAndStatus(buyer, *status))
                };
                unions.push(buyers.iter().flat_map(of_buyer).collect());
            }
            (None, Some(status)) => unions.push(vec![Index::Status(status)]),
            (None, None) => {}
        }
        unions.extend(self.product.map(|product| vec![Index::Product(product)]));
        if unions.is_empty() {
            unions.push(vec![Index::All]);
        }
        let range = self.range();
        let range = after.map_or(range, |after| range.after(after, age));
        Intersection::open(source, unions, range, age, INDEX_ROWS_MAX)
    }
}

/// The ids of the orders older than `before`, newest first: of a buyer or of all buyers,
/// in one status or in any.
pub(crate) fn ids<'a>(
    from: &'a impl Read,
    runs: &'a SortedRuns,
    buyer: Option<CustomerId>,
    status: Option<OrderStatus>,
    before: Option<OrderId>,
) -> Result<Ids<'a>, store::Error> {
    let age = AgeOrder::NewestFirst;
    let range = IdRange::all();
    let range = before.map_or(range, |before| range.after(before, age));
    let indexes = match (buyer, status) {
        (None, None) => vec![Index::All],
        (None, Some(status)) => vec![Index::Status(status)],
        (Some(buyer), Some(status)) => vec![Index::BuyerAndStatus(buyer, status)],
        (Some(buyer), None) => OrderStatus::ALL
            .map(|status| Index::BuyerAndStatus(buyer, status))
            .to_vec(),
    };
    walk::union(Source { from, runs }, &indexes, range, age)
}

/// A page in order of age, after `after`.
pub(crate) fn by_age(
    from: &impl Read,
    runs: &SortedRuns,
    filter: &OrderFilter,
    age: AgeOrder,
    after: Option<OrderId>,
    limit: usize,
) -> Result<OrderPage<OrderId>, Error> {
    let mut ids = filter.walk(Source { from, runs }, age, after)?;
    let mut orders: Vec<StoredOrder> = Vec::new();
    let next = loop {
        match ids.next()? {
            Step::End => break None,
            Step::Paused(after) => break Some(after),
            Step::Found(_) if orders.len() == limit => {
                break orders.last().map(|last| last.order.id);
            }
            Step::Found(id) => orders.extend(fitting(from, filter, id)?),
        }
    };
    Ok(OrderPage { orders, next })
}

/// The order, if it fits. It may have changed since its id was read.
fn fitting(
    from: &impl Read,
    filter: &OrderFilter,
    id: OrderId,
) -> Result<Option<StoredOrder>, Error> {
    match tables::find(from, id) {
        Ok(stored) => Ok(Some(stored).filter(|stored| filter.fits(&stored.order))),
        Err(Error::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A page in order of the total in minor units, after `after`.
pub(crate) fn by_total(
    from: &impl Read,
    runs: &SortedRuns,
    filter: &OrderFilter,
    sort: TotalOrder,
    after: Option<TotalPlace>,
    limit: usize,
) -> Result<OrderPage<TotalPlace>, Error> {
    if filter.is_narrow()
        && let Some(mut places) = few_places(Source { from, runs }, filter)?
    {
        places.sort_unstable();
        if sort == TotalOrder::LargestFirst {
            places.reverse();
        }
        let is_after = |place: &TotalPlace| match (after, sort) {
            (None, _) => true,
            (Some(after), TotalOrder::LargestFirst) => *place < after,
            (Some(after), TotalOrder::SmallestFirst) => *place > after,
        };
        places.retain(is_after);
        let next = places.get(limit.saturating_sub(1)).copied();
        let next = next.filter(|_| places.len() > limit);
        let mut orders = Vec::new();
        for (_, id) in places.into_iter().take(limit) {
            orders.extend(fitting(from, filter, id)?);
        }
        return Ok(OrderPage { orders, next });
    }
    by_index_of_totals(from, runs, filter, sort, after, limit)
}

/// The places of all orders that fit, if they are few.
fn few_places(
    source: Source<'_, impl Read>,
    filter: &OrderFilter,
) -> Result<Option<Vec<TotalPlace>>, Error> {
    let mut ids = filter.walk(source, AgeOrder::NewestFirst, None)?;
    let mut found = Vec::new();
    loop {
        match ids.next()? {
            Step::End => break,
            Step::Found(id) if found.len() < SORTED_MAX => found.push(id),
            Step::Found(_) | Step::Paused(_) => return Ok(None),
        }
    }
    let mut places = Vec::new();
    for id in found {
        let fitting = fitting(source.from, filter, id)?;
        places.extend(fitting.map(|stored| (stored.order.total.amount, id)));
    }
    Ok(Some(places))
}

fn by_index_of_totals(
    from: &impl Read,
    runs: &SortedRuns,
    filter: &OrderFilter,
    sort: TotalOrder,
    after: Option<TotalPlace>,
    limit: usize,
) -> Result<OrderPage<TotalPlace>, Error> {
    let (mut orders, mut last) = (Vec::new(), None);
    for (read, place) in runs.by_total(from, sort, after)?.enumerate() {
        if read == SORTED_MAX || orders.len() == limit {
            return Ok(OrderPage { orders, next: last });
        }
        let place = place?;
        orders.extend(fitting(from, filter, place.1)?);
        last = Some(place);
    }
    Ok(OrderPage { orders, next: None })
}
