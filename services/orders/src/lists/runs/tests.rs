//! Runs made in one process and loaded by the next, and orders that are not in the list.

use futures::executor::block_on;
use store::{Options, Store};

use super::*;
use crate::domain::OrderNumber;
use crate::domain::tests::order;
use crate::tables;

/// Orders that one transaction places.
const PLACED_AT_ONCE: usize = 500;

/// A store with orders, and their indexes.
pub(in crate::lists) fn store_with(
    orders: &[Order],
    runs: SortedRuns,
) -> (tempfile::TempDir, Store, SortedRuns) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &Options::default()).unwrap();
    load(&store, &runs);
    for some in orders.chunks(PLACED_AT_ONCE) {
        place(&store, &runs, some);
    }
    (dir, store, runs)
}

pub(in crate::lists) fn runs_of_eight() -> SortedRuns {
    SortedRuns::with_size(12)
}

/// Loads what is in no run, as a process does at its start.
pub(in crate::lists) fn load(store: &Store, runs: &SortedRuns) {
    while !block_on(runs.load(store)).unwrap() {}
}

fn place(store: &Store, runs: &SortedRuns, orders: &[Order]) {
    let (runs, orders) = (runs.clone(), orders.to_vec());
    let placing = store.write(move |tx| {
        orders.into_iter().try_for_each(|order| {
            let placed = tables::insert(tx, order)?;
            runs.add(tx, &placed.order)
        })
    });
    block_on(placing).unwrap();
}

/// An order whose id was made at that second.
fn made_at(second: i64) -> Order {
    let value = second.unsigned_abs();
    Order {
        id: OrderId::first_at(Time(1000 * second)),
        number: Some(OrderNumber { prefix: String::new(), value }),
        ..order(1)
    }
}

fn digest_of(orders: &[Order]) -> IndexDigest {
    let mut digest = IndexDigest::default();
    orders.iter().for_each(|order| digest.add_order(order));
    digest
}

#[test]
fn the_next_process_loads_what_is_in_no_run() {
    let orders: Vec<_> = (1..=21).map(made_at).collect();
    let (_dir, store, runs) = store_with(&orders, runs_of_eight());
    assert!(end(&store).unwrap().is_some(), "runs are written");
    let next = runs_of_eight();
    load(&store, &next);
    for indexes in [runs, next] {
        assert_eq!(indexes.digest(&store).unwrap(), digest_of(&orders));
    }
}

/// One is older than the last run, and one in the range that is not loaded yet.
#[test]
fn late_orders_and_those_placed_while_loading_are_indexed_once() {
    let mut orders: Vec<_> = (1..=40).map(|number| made_at(10 * number)).collect();
    let (_dir, store, _) = store_with(&orders, runs_of_eight());
    let runs = runs_of_eight();
    let unloaded = [15, 395, 405].map(made_at);
    place(&store, &runs, &unloaded);
    load(&store, &runs);
    place(&store, &runs, &[made_at(25)]);
    orders.extend(unloaded);
    orders.push(made_at(25));
    assert_eq!(runs.digest(&store).unwrap(), digest_of(&orders));
    let next = runs_of_eight();
    load(&store, &next);
    assert_eq!(next.digest(&store).unwrap(), digest_of(&orders));
    for order in &orders {
        let number = order.number.as_ref().unwrap().value;
        assert_eq!(next.of_number(&store, number).unwrap(), [order.id]);
    }
    assert_eq!(next.of_number(&store, 11).unwrap(), []);
}

#[test]
fn a_refused_order_is_in_no_run() {
    let (_dir, store, runs) = store_with(&[], runs_of_eight());
    let refused = runs.clone();
    let refusal: Result<(), store::Error> = block_on(store.write(move |tx| {
        let placed = tables::insert(tx, made_at(1))?;
        refused.add(tx, &placed.order)?;
        Err(store::Error::Busy)
    }));
    refusal.unwrap_err();
    assert_eq!(runs.digest(&store).unwrap(), IndexDigest::default());
    let orders: Vec<_> = (2..=9).map(made_at).collect();
    orders
        .iter()
        .for_each(|order| place(&store, &runs, std::slice::from_ref(order)));
    assert!(end(&store).unwrap().is_some(), "runs are written");
    assert_eq!(runs.digest(&store).unwrap(), digest_of(&orders));
}
