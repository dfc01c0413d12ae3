//! Background work: cancels unpaid orders whose reservation expired, deletes carts that were idle
//! for too long, and erases the personal data of erased customers from their orders.
//!
//! One task looks at the first row of three tables once a second. The work is stored, so a
//! restart loses none; a batch is one short transaction.

use std::time::{Duration, Instant};

use chassis::SteadyClock;
use model::{CustomerId, Fact, OrderId, Time, now};
use store::{Read, Store, Tx};

use crate::carts::tables as carts;
use crate::domain::{Actor, BuyerErasure, OrderCause, OrderCommand, OrderStatus};
use crate::lists;
use crate::sales::Ledger;
use crate::tables::{self, ERASURES, ErasureRow, UNPAID};
use crate::{Error, commands};

const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Orders of one batch.
const BATCH_ORDERS_MAX: usize = 50;

/// Schedules the erasure of a customer's personal data from their orders.
pub(crate) fn schedule_erasure(tx: &mut Tx<'_>, customer: CustomerId) -> Result<(), store::Error> {
    tx.put(ERASURES, &customer, &ErasureRow::default())
}

/// Works until dropped.
pub(crate) async fn run(store: Store, ledger: Ledger) {
    let mut clock = SteadyClock::start(now(), Instant::now());
    loop {
        let now = clock.read(now(), Instant::now());
        match run_batch(&store, &ledger, now).await {
            Ok(Batch::Done) => {}
            Ok(Batch::Empty) => tokio::time::sleep(POLL_INTERVAL).await,
            Err(error) => {
                tracing::warn!(%error, "expiry of orders failed; retrying");
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        }
    }
}

enum Batch {
    /// There may be more to do.
    Done,
    Empty,
}

/// Does one batch. The tables are looked at outside the writer.
async fn run_batch(store: &Store, ledger: &Ledger, now: Time) -> Result<Batch, Error> {
    if !expired(store, now)?.is_empty() {
        let ledger = ledger.clone();
        let cancel = move |tx: &mut Tx<'_>| cancel_expired(tx, &ledger, now);
        store.write_when_free(cancel).await?;
        return Ok(Batch::Done);
    }
    if !carts::expired(store, now)?.is_empty() {
        let delete = move |tx: &mut Tx<'_>| carts::delete_expired(tx, now);
        store.write_when_free(delete).await?;
        return Ok(Batch::Done);
    }
    if store.scan(ERASURES.all())?.next().is_some() {
        let ledger = ledger.clone();
        let erase = move |tx: &mut Tx<'_>| erase_batch(tx, &ledger, now);
        store.write_when_free(erase).await?;
        return Ok(Batch::Done);
    }
    Ok(Batch::Empty)
}

/// The unpaid orders whose reservation has expired, oldest expiry first.
fn expired(from: &impl Read, now: Time) -> Result<Vec<(Time, OrderId)>, store::Error> {
    from.scan(UNPAID.all())?
        .take(BATCH_ORDERS_MAX)
        .map(|row| row.map(|(key, ())| key))
        .take_while(|row| !matches!(row, Ok((until, _)) if *until > now))
        .collect()
}

fn cancel_expired(tx: &mut Tx<'_>, ledger: &Ledger, now: Time) -> Result<(), Error> {
    for (until, id) in expired(tx, now)? {
        let stored = tables::find(tx, id)?;
        if stored.order.status == OrderStatus::Confirmed {
            let cause = OrderCause::new(now, Actor::Expiry).because("not paid in time");
            commands::apply(tx, ledger, stored, OrderCommand::Cancel, &cause)?;
        } else {
            tx.delete(UNPAID, &(until, id))?;
        }
    }
    Ok(())
}

/// Erases the person from a batch of one customer's orders. An event names each one that may still
/// be sent.
fn erase_batch(tx: &mut Tx<'_>, ledger: &Ledger, now: Time) -> Result<(), Error> {
    let Some(first) = tx.scan(ERASURES.all())?.next() else {
        return Ok(());
    };
    let (customer, ErasureRow { before }) = first?;
    let ids = lists::ids(tx, &ledger.runs, Some(customer), None, before)?;
    let ids: Vec<_> = ids.take(BATCH_ORDERS_MAX).collect::<Result<_, _>>()?;
    for id in &ids {
        let mut stored = tables::find(tx, *id)?;
        commands::erase_person(tx, &mut stored.order)?;
        tables::save(tx, &stored)?;
        if stored.order.erasure == BuyerErasure::Due {
            let cause = OrderCause::new(now, Actor::Expiry);
            let fact = Fact::OrderBuyerErased { order_id: *id };
            tables::append_event(tx, &ledger.log, &stored.order, fact, &cause)?;
        }
    }
    match ids.last() {
        Some(last) if ids.len() == BATCH_ORDERS_MAX => {
            tx.put(ERASURES, &customer, &ErasureRow { before: Some(*last) })?;
        }
        _ => tx.delete(ERASURES, &customer)?,
    }
    Ok(())
}
