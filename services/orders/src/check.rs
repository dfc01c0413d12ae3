//! Consistency check: orders against their indexes by total and product, and against the sums
//! of sales.
//!
//! **Invariant:** a check only reads. What an earlier version did not store is not compared
//! before it is built.

use chassis::check::{self, Finding};
use chassis::{Backfill, Context};
use model::OrderId;
use store::{Read, Store};

use crate::sales::{AllSums, Sums};
use crate::tables::{self, ORDERS, OrderRow};

/// Registers the checks of this service.
pub(crate) fn add(ctx: &Context, indexes: &Backfill<OrderId, OrderRow>, sums: &Sums) {
    let (store, indexes, sums) = (ctx.store.clone(), indexes.clone(), sums.clone());
    ctx.checks.add(move || {
        let (store, is_built) = (store.clone(), indexes.is_done() && sums.is_done());
        async move {
            if !is_built {
                return Ok(Vec::new());
            }
            check::settled(store, |from: &Store| compare(from), |tx| compare(tx)).await
        }
    });
}

fn compare(from: &impl Read) -> Result<Vec<Finding>, store::Error> {
    let mut indexes = Finding::of("orders and their indexes");
    let mut sums = Finding::of("sums of sales");
    let (mut expected, mut rows) = (AllSums::default(), 0);
    for row in from.scan(ORDERS.all())? {
        let (id, row) = row?;
        indexes.compare();
        sums.compare();
        let stored = tables::with_lines(from, row)?;
        match tables::index_rows_of(from, &stored.order)? {
            Some(count) => rows += count,
            None => indexes.fault(format!("{id} is missing in a list")),
        }
        let history = tables::history(from, &stored.order)?;
        expected.add_order(&stored.order, &history);
    }
    if indexes.is_well() && tables::index_rows(from)? != rows {
        indexes.fault("lists hold orders that are not, or no longer, there");
    }
    for place in AllSums::stored(from)?.differences(&expected) {
        sums.fault(format!("the sum of {place} is not that of the orders"));
    }
    Ok(vec![indexes, sums])
}
