//! Consistency check: orders against their indexes by total and product, the sums of sales, their
//! pending refunds, and their guests.
//!
//! **Invariant:** a check only reads. What an earlier version did not store is not compared
//! before it is built.

use chassis::Context;
use chassis::check::{self, Finding};
use store::{Read, Store};

use crate::customers::guests;
use crate::lists::{IndexDigest, SortedRuns};
use crate::payments::refunds;
use crate::sales::{AllSums, Ledger};
use crate::tables::{self, ORDERS};

/// Registers the checks of this service.
pub(crate) fn add(ctx: &Context, ledger: &Ledger) {
    let (store, ledger) = (ctx.store.clone(), ledger.clone());
    ctx.checks.add(move || {
        let (store, runs) = (store.clone(), ledger.runs.clone());
        let is_built = runs.is_loaded() && ledger.sums.is_done();
        async move {
            if !is_built {
                return Ok(Vec::new());
            }
            let of_store = runs.clone();
            let read = move |from: &Store| compare(from, &of_store);
            check::settled(store, read, move |tx| compare(tx, &runs)).await
        }
    });
}

fn compare(from: &impl Read, runs: &SortedRuns) -> Result<Vec<Finding>, store::Error> {
    let mut indexes = Finding::of("orders and their indexes");
    let mut sums = Finding::of("sums of sales");
    let mut refunds = Finding::of("refunds that are pending");
    let mut pending = refunds::pending(from)?;
    let (mut sold, mut indexed) = (AllSums::default(), IndexDigest::default());
    for row in from.scan(ORDERS.all())? {
        let (_, row) = row?;
        indexes.compare();
        sums.compare();
        let stored = tables::with_lines(from, row)?;
        if !guests::has_buyer(from, &stored.order)? {
            indexes.fault(format!("the guest of {} is not there", stored.order.id));
        }
        refunds.compare();
        let order = &stored.order;
        if pending.remove(&order.id).unwrap_or(0) != order.settlement.refund_pending {
            refunds.fault("an order awaits other refunds than its provider was asked for");
        }
        indexed.add_order(&stored.order);
        let history = tables::history(from, &stored.order)?;
        sold.add_order(&stored.order, &history);
    }
    if runs.digest(from)? != indexed {
        indexes.fault("the lists by total and by product hold other orders than there are");
    }
    for place in AllSums::stored(from)?.differences(&sold) {
        sums.fault(format!("the sum of {place} is not that of the orders"));
    }
    Ok(vec![indexes, sums, refunds, guests::compare(from)?])
}
