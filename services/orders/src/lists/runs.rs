//! Sorted runs: the indexes of orders by total, by product and by number.
//!
//! An order keeps its total, products and number, so it is indexed once. A row of its own would be
//! put at a random place of its index, which costs more than the order's row does: a page is
//! read and written for each. So the latest orders are indexed in memory, the tail. Once the
//! tail has [`RUN_ENTRIES`] entries, they are sorted and written as one run: some dozens of rows
//! for some thousand orders. A list merges the runs and the tail.
//!
//! | table | key → value |
//! | --- | --- |
//! | `order_runs` | the last order of a run → its first order |
//! | `order_runs_end` | 0 → the last order of the last run |
//! | `order_runs_by_total` | run, first entry of a part → its entries: total and order |
//! | `order_runs_by_product` | run, first entry of a part → its entries: product and order |
//! | `order_runs_by_number` | run, first entry of a part → its entries: number and order |
//! | `orders_by_total`, `orders_by_product`, `orders_by_number` | an entry of an order that is older than the last run was when it was placed |
//!
//! **Invariants:** each order up to the last one of the runs is in a run, or has rows of its
//! own; each later one is in the tail once that is loaded. A run is written in a transaction of
//! the only writer, as is every order, so none is missed between them. The tail may hold an
//! order whose transaction was refused; it is dropped when its run is written.

mod loading;
mod part;
pub(super) mod reading;
#[cfg(test)]
pub(super) mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use itertools::Itertools;
use model::{OrderId, ProductId, Time};
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use store::{Read, Record, Table, Tx};

use self::part::{Entry, Parts, all_entries, write_parts};
use super::TotalPlace;
use crate::domain::Order;
use crate::tables::ORDERS;

/// Entries of a run, of which an order has two and one for each line. A list by total reads a
/// row of each run, so few runs make it fast; the tail is in memory, and a run is sorted and
/// written in one transaction, which takes some milliseconds.
const RUN_ENTRIES: usize = 6_144;

const RUNS: Table<OrderId, RunRow> = Table::new("order_runs");
const END: Table<u16, OrderId> = Table::new("order_runs_end");
const TOTAL_PARTS: Parts<TotalPlace> = Table::new("order_runs_by_total");
const PRODUCT_PARTS: Parts<ProductPlace> = Table::new("order_runs_by_product");
const NUMBER_PARTS: Parts<NumberPlace> = Table::new("order_runs_by_number");
const LATE_BY_TOTAL: Table<TotalPlace, ()> = Table::new("orders_by_total");
const LATE_BY_PRODUCT: Table<ProductPlace, ()> = Table::new("orders_by_product");
const LATE_BY_NUMBER: Table<NumberPlace, ()> = Table::new("orders_by_number");

/// The tables of the runs, which are made from the orders.
pub(crate) const TABLES_OF_RUNS: &[&str] = &[
    END.name(),
    RUNS.name(),
    TOTAL_PARTS.name(),
    PRODUCT_PARTS.name(),
    NUMBER_PARTS.name(),
    LATE_BY_TOTAL.name(),
    LATE_BY_PRODUCT.name(),
    LATE_BY_NUMBER.name(),
];

/// An order of a product.
type ProductPlace = (ProductId, OrderId);

/// An order of a number, which orders with another prefix may have as well.
type NumberPlace = (u64, OrderId);

#[derive(Serialize, Deserialize)]
struct RunRow {
    first: OrderId,
}

impl Record for RunRow {}

/// The indexes of orders by total, by product and by number. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SortedRuns {
    tail: Arc<Mutex<Tail>>,
    run_entries: usize,
}

/// The orders that are in no run yet.
#[derive(Default)]
struct Tail {
    orders: BTreeMap<OrderId, IndexedContent>,
    /// The entries of the orders that no transaction has written as a run.
    entries: usize,
    loaded: Loaded,
}

/// The orders in no run that the tail has been given.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Loaded {
    #[default]
    None,
    UpTo(OrderId),
    All,
}

/// What orders are indexed by.
#[derive(Clone)]
struct IndexedContent {
    total: i64,
    products: Vec<ProductId>,
    number: Option<u64>,
}

impl IndexedContent {
    fn of(order: &Order) -> Self {
        let products = order.lines.iter().map(|line| line.product_id);
        Self {
            total: order.total.amount,
            products: products.sorted_unstable().dedup().collect(),
            number: order.number.as_ref().map(|number| number.value),
        }
    }

    fn entries(&self) -> usize {
        1 + self.products.len() + usize::from(self.number.is_some())
    }
}

impl Tail {
    fn push(&mut self, order: &Order) {
        let content = IndexedContent::of(order);
        self.entries += content.entries();
        if let Some(before) = self.orders.insert(order.id, content) {
            self.entries -= before.entries();
        }
    }

    /// Forgets the orders up to `last`, which are in runs.
    fn forget(&mut self, last: OrderId) {
        self.orders = self.orders.split_off(&last.following());
        self.entries = self.orders.values().map(IndexedContent::entries).sum();
    }

    /// Whether an order of this id that is placed now is given to the tail by nothing else.
    fn expects(&self, id: OrderId) -> bool {
        match self.loaded {
            Loaded::None => false,
            Loaded::UpTo(last) => id <= last,
            Loaded::All => true,
        }
    }
}

impl Default for SortedRuns {
    fn default() -> Self {
        Self::with_size(RUN_ENTRIES)
    }
}

impl SortedRuns {
    fn with_size(run_entries: usize) -> Self {
        Self { tail: Arc::default(), run_entries }
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock()
    }

    /// Indexes a new order in the transaction that has written it.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub(crate) fn add(&self, tx: &mut Tx<'_>, order: &Order) -> Result<(), store::Error> {
        if end(tx)?.is_some_and(|end| order.id <= end) {
            return write_late(tx, order);
        }
        {
            let mut tail = self.tail();
            if tail.expects(order.id) {
                tail.push(order);
            }
        }
        if self.is_full() {
            self.write_run(tx)?;
        }
        Ok(())
    }

    /// Whether the tail has a run.
    fn is_full(&self) -> bool {
        self.tail().entries >= self.run_entries
    }

    /// Writes the first orders of the tail as a run. Returns whether there were any.
    fn write_run(&self, tx: &mut Tx<'_>) -> Result<bool, store::Error> {
        let (mut totals, mut products, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        let (mut first, mut last) = (None, None);
        for (id, content) in self.first_of_tail(end(tx)?) {
            last = Some(id);
            if !tx.contains(ORDERS, &id)? {
                continue;
            }
            first.get_or_insert(id);
            totals.push((content.total, id));
            products.extend(content.products.iter().map(|product| (*product, id)));
            numbers.extend(content.number.map(|number| (number, id)));
        }
        let Some(last) = last else {
            return Ok(false);
        };
        write_parts(tx, TOTAL_PARTS, last, &mut totals)?;
        write_parts(tx, PRODUCT_PARTS, last, &mut products)?;
        write_parts(tx, NUMBER_PARTS, last, &mut numbers)?;
        if let Some(first) = first {
            tx.put(RUNS, &last, &RunRow { first })?;
        }
        tx.put(END, &0, &last)?;
        let runs = self.clone();
        tx.on_durable(move || runs.tail().forget(last));
        Ok(true)
    }

    /// The orders of the next run: the first ones of the tail after the last run.
    fn first_of_tail(&self, end: Option<OrderId>) -> Vec<(OrderId, IndexedContent)> {
        let mut tail = self.tail();
        let rest = end.map_or_else(|| OrderId::first_at(Time(0)), OrderId::following);
        let (mut taken, mut entries) = (Vec::new(), 0);
        for (id, content) in tail.orders.range(rest..) {
            if entries >= self.run_entries {
                break;
            }
            entries += content.entries();
            taken.push((*id, content.clone()));
        }
        tail.entries = tail.entries.saturating_sub(entries);
        taken
    }

    /// What the indexes hold.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn digest(&self, from: &impl Read) -> Result<IndexDigest, store::Error> {
        let mut digest = IndexDigest::default();
        for entry in all_entries(from, TOTAL_PARTS)? {
            digest.add(&entry?);
        }
        for entry in all_entries(from, PRODUCT_PARTS)? {
            digest.add(&entry?);
        }
        for row in from.scan(LATE_BY_TOTAL.all())? {
            digest.add(&row?.0);
        }
        for row in from.scan(LATE_BY_PRODUCT.all())? {
            digest.add(&row?.0);
        }
        for entry in all_entries(from, NUMBER_PARTS)? {
            digest.add(&entry?);
        }
        for row in from.scan(LATE_BY_NUMBER.all())? {
            digest.add(&row?.0);
        }
        for (id, content) in self.tail_after(end(from)?) {
            if from.contains(ORDERS, &id)? {
                digest.add_content(id, &content);
            }
        }
        Ok(digest)
    }

    fn tail_after(&self, end: Option<OrderId>) -> Vec<(OrderId, IndexedContent)> {
        let tail = self.tail();
        let orders = tail
            .orders
            .iter()
            .filter(|(id, _)| end.is_none_or(|end| **id > end));
        orders.map(|(id, content)| (*id, content.clone())).collect()
    }
}

/// A digest of entries that does not depend on their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct IndexDigest {
    entries: u64,
    sum: u64,
}

impl IndexDigest {
    /// Adds the entries that an order should have.
    pub(crate) fn add_order(&mut self, order: &Order) {
        self.add_content(order.id, &IndexedContent::of(order));
    }

    fn add_content(&mut self, id: OrderId, content: &IndexedContent) {
        self.add(&(content.total, id));
        for product in &content.products {
            self.add(&(*product, id));
        }
        if let Some(number) = content.number {
            self.add(&(number, id));
        }
    }

    fn add(&mut self, entry: &impl Entry) {
        let hash = part::hash(entry);
        self.entries += 1;
        self.sum = self.sum.wrapping_add(hash);
    }
}

/// The last order of the last run.
fn end(from: &impl Read) -> Result<Option<OrderId>, store::Error> {
    from.get(END, &0)
}

/// Indexes an order whose run is written already: the clock was set back before it was placed,
/// or its transaction took long.
fn write_late(tx: &mut Tx<'_>, order: &Order) -> Result<(), store::Error> {
    let content = IndexedContent::of(order);
    tx.put(LATE_BY_TOTAL, &(content.total, order.id), &())?;
    for product in content.products {
        tx.put(LATE_BY_PRODUCT, &(product, order.id), &())?;
    }
    match content.number {
        Some(number) => tx.put(LATE_BY_NUMBER, &(number, order.id), &()),
        None => Ok(()),
    }
}
