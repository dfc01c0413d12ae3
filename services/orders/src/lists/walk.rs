//! Walks: the ids of orders under an index, in order of age, and the intersection of several.
//!
//! **Invariant:** an intersection returns the ids that are in every one of its walks, in order.
//! It reads rows of the index with the fewest, and about as many of the others, since it seeks
//! over the rows between; and never more than it is allowed to in all.

use std::collections::{BTreeSet, VecDeque};
use std::iter::Peekable;

use model::{CustomerId, OrderId, ProductId};
use store::{Key, Read, Record, Span};

use super::age::{AgeOrder, IdRange, Ids};
use super::runs::SortedRuns;
use super::runs::reading::late_of_product;
use crate::domain::OrderStatus;
use crate::tables::{BY_STATUS, BY_STATUS_AND_BUYER, ORDERS};

/// Rows read one by one before a walk seeks instead, which costs about as much.
const STEPS_MAX: usize = 16;
/// Pending orders that are held in memory at once. They are few and have no index of their own,
/// but many while products is away.
const PENDING_IDS_MAX: usize = 1_000;

/// Where the ids of orders are read.
pub(super) struct Source<'a, R> {
    pub(super) from: &'a R,
    pub(super) runs: &'a SortedRuns,
}

impl<R> Clone for Source<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Source<'_, R> {}

/// An index of orders, or a part of one.
#[derive(Debug, Clone, Copy)]
pub(super) enum Index {
    All,
    Status(OrderStatus),
    BuyerAndStatus(CustomerId, OrderStatus),
    Product(ProductId),
}

impl Index {
    fn open<'a, R: Read>(
        self,
        source: Source<'a, R>,
        range: IdRange,
        age: AgeOrder,
    ) -> Result<Ids<'a>, store::Error> {
        let from = source.from;
        match self {
            Self::All => scan(from, ORDERS.all(), range, age, |id| id, |id| id),
            Self::Status(OrderStatus::Pending) => {
                let pending = PendingIds { from, range, age, part: VecDeque::new() };
                Ok(Box::new(pending))
            }
            Self::Status(status) => {
                let rows = BY_STATUS.prefix(&status);
                scan(from, rows, range, age, |id| (status, id), |(_, id)| id)
            }
            Self::BuyerAndStatus(buyer, status) => {
                let rows = BY_STATUS_AND_BUYER.prefix(&(status, buyer));
                scan(
                    from,
                    rows,
                    range,
                    age,
                    |id| (status, buyer, id),
                    |(_, _, id)| id,
                )
            }
            Self::Product(product) => {
                let late = late_of_product(product);
                let late = scan(from, late, range, age, |id| (product, id), |(_, id)| id)?;
                let in_runs = source.runs.of_product(from, product, range, age)?;
                Ok(Box::new(Union::of(vec![late, in_runs], age)))
            }
        }
    }
}

fn scan<'a, K: Key + 'static, V: Record + 'static>(
    from: &'a impl Read,
    rows: Span<K, V>,
    range: IdRange,
    age: AgeOrder,
    key: impl Fn(OrderId) -> K,
    id: fn(K) -> OrderId,
) -> Result<Ids<'a>, store::Error> {
    let rows = rows.from(&key(range.low));
    let rows = match range.high {
        Some(high) => rows.before(&key(high)),
        None => rows,
    };
    let rows = match age {
        AgeOrder::NewestFirst => rows.newest_first(),
        AgeOrder::OldestFirst => rows,
    };
    let rows = from.scan(rows)?;
    Ok(Box::new(rows.map(move |row| row.map(|(key, _)| id(key)))))
}

/// The pending orders, which are found by their buyers: sorted a part at a time.
struct PendingIds<'a, R> {
    from: &'a R,
    range: IdRange,
    age: AgeOrder,
    part: VecDeque<OrderId>,
}

impl<R: Read> PendingIds<'_, R> {
    fn next_part(&self) -> Result<VecDeque<OrderId>, store::Error> {
        let mut first = BTreeSet::new();
        for row in self
            .from
            .scan(BY_STATUS_AND_BUYER.prefix(&OrderStatus::Pending))?
        {
            let ((_, _, id), ()) = row?;
            if self.range.contains(id) {
                first.insert(id);
            }
            if first.len() > PENDING_IDS_MAX {
                match self.age {
                    AgeOrder::NewestFirst => first.pop_first(),
                    AgeOrder::OldestFirst => first.pop_last(),
                };
            }
        }
        Ok(match self.age {
            AgeOrder::NewestFirst => first.into_iter().rev().collect(),
            AgeOrder::OldestFirst => first.into_iter().collect(),
        })
    }
}

impl<R: Read> Iterator for PendingIds<'_, R> {
    type Item = Result<OrderId, store::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.part.is_empty() {
            match self.next_part() {
                Ok(part) => self.part = part,
                Err(error) => return Some(Err(error)),
            }
        }
        let id = self.part.pop_front()?;
        self.range = self.range.after(id, self.age);
        Some(Ok(id))
    }
}

/// The union of runs, which are in order of age each. They are opened one after the other, so
/// an order that changes its status meanwhile may be in two of them.
struct Union<'a> {
    runs: Vec<Peekable<Ids<'a>>>,
    age: AgeOrder,
    last: Option<OrderId>,
}

impl<'a> Union<'a> {
    fn of(runs: Vec<Ids<'a>>, age: AgeOrder) -> Self {
        let runs = runs.into_iter().map(Iterator::peekable);
        Self { runs: runs.collect(), age, last: None }
    }
}

impl Iterator for Union<'_> {
    type Item = Result<OrderId, store::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut first: Option<(usize, OrderId)> = None;
            for (place, run) in self.runs.iter_mut().enumerate() {
                let is_first =
                    |id: OrderId| first.is_none_or(|(_, other)| self.age.is_before(id, other));
                match run.peek() {
                    Some(Err(_)) => return run.next(),
                    Some(Ok(id)) if is_first(*id) => first = Some((place, *id)),
                    Some(Ok(_)) | None => {}
                }
            }
            let (place, id) = first?;
            self.runs[place].next();
            if self.last.replace(id) != Some(id) {
                return Some(Ok(id));
            }
        }
    }
}

/// The ids under any of these indexes.
pub(super) fn union<'a, R: Read>(
    source: Source<'a, R>,
    indexes: &[Index],
    range: IdRange,
    age: AgeOrder,
) -> Result<Ids<'a>, store::Error> {
    if let [index] = indexes {
        return index.open(source, range, age);
    }
    let runs = indexes.iter().map(|index| index.open(source, range, age));
    let runs = runs.collect::<Result<_, _>>()?;
    Ok(Box::new(Union::of(runs, age)))
}

/// The walk of the ids under any of some indexes, which can go on from a later id.
struct Walk<'a, R> {
    source: Source<'a, R>,
    indexes: Vec<Index>,
    range: IdRange,
    age: AgeOrder,
    ids: Peekable<Ids<'a>>,
}

impl<'a, R: Read> Walk<'a, R> {
    fn open(
        source: Source<'a, R>,
        indexes: Vec<Index>,
        range: IdRange,
        age: AgeOrder,
    ) -> Result<Self, store::Error> {
        let ids = union(source, &indexes, range, age)?.peekable();
        Ok(Self { source, indexes, range, age, ids })
    }

    fn front(&mut self) -> Result<Option<OrderId>, store::Error> {
        match self.ids.peek() {
            None => Ok(None),
            Some(Ok(id)) => Ok(Some(*id)),
            Some(Err(error)) => Err(error.clone()),
        }
    }

    /// Advances to `id`, or to the first one after it.
    fn reach(
        &mut self,
        id: OrderId,
        rows_left: &mut usize,
    ) -> Result<Option<OrderId>, store::Error> {
        let age = self.age;
        for _ in 0..STEPS_MAX {
            let is_before = |row: &Result<OrderId, _>| match row {
                Ok(found) => age.is_before(*found, id),
                Err(_) => false,
            };
            if self.ids.next_if(is_before).is_none() {
                return self.front();
            }
            *rows_left = rows_left.saturating_sub(1);
        }
        *rows_left = rows_left.saturating_sub(self.indexes.len());
        let range = self.range.from(id, age);
        self.ids = union(self.source, &self.indexes, range, age)?.peekable();
        self.front()
    }
}

/// A step of an intersection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The next id that all walks have.
    Found(OrderId),
    /// So many rows were read that the rest has to wait: it comes after this id.
    Paused(OrderId),
    End,
}

/// The ids that several walks have in common.
pub(super) struct Intersection<'a, R> {
    walks: Vec<Walk<'a, R>>,
    age: AgeOrder,
    rows_left: usize,
}

impl<'a, R: Read> Intersection<'a, R> {
    /// Of the unions of indexes; it reads about `rows_max` rows.
    pub(super) fn open(
        source: Source<'a, R>,
        unions: Vec<Vec<Index>>,
        range: IdRange,
        age: AgeOrder,
        rows_max: usize,
    ) -> Result<Self, store::Error> {
        let walks = unions
            .into_iter()
            .map(|indexes| Walk::open(source, indexes, range, age));
        let walks = walks.collect::<Result<_, _>>()?;
        Ok(Self { walks, age, rows_left: rows_max })
    }

    pub(super) fn next(&mut self) -> Result<Step, store::Error> {
        let Self { walks, age, rows_left } = self;
        let Some((first, others)) = walks.split_first_mut() else {
            return Ok(Step::End);
        };
        let Some(mut id) = first.front()? else {
            return Ok(Step::End);
        };
        loop {
            if *rows_left == 0 {
                return Ok(Step::Paused(match age {
                    AgeOrder::NewestFirst => id.following(),
                    AgeOrder::OldestFirst => id.preceding(),
                }));
            }
            let mut further = None;
            for other in &mut *others {
                match other.reach(id, rows_left)? {
                    None => return Ok(Step::End),
                    Some(found) if found == id => {}
                    Some(found) => further = Some(found),
                }
            }
            let Some(found) = further else {
                first.ids.next();
                *rows_left -= 1;
                return Ok(Step::Found(id));
            };
            match first.reach(found, rows_left)? {
                None => return Ok(Step::End),
                Some(found) => id = found,
            }
        }
    }
}
