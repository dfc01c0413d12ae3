//! What falls due: orders that nobody paid in time, and people to be forgotten.
//!
//! | table | key → value |
//! | --- | --- |
//! | `erasures` | user → how far their orders are done, newest first |
//!
//! One task looks at the first row of two tables once a second. What is due lies in
//! the store, so nothing is missed by a restart; each round is one short transaction.

use std::time::Duration;

use mesh::Log;
use model::{Id, Time, kinds, now};
use serde::{Deserialize, Serialize};
use store::{Read, Record, Store, Table, Tx};

use crate::domain::{By, Cause, Order, Status};
use crate::store::{OrderId, UNPAID, change, find, note};
use crate::{Error, lists};

const ERASURES: Table<Id<kinds::User>, Erasure> = Table::new("erasures");

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Orders of one round.
const ROUND_ORDERS_MAX: usize = 50;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Erasure {
    before: Option<OrderId>,
}

impl Record for Erasure {}

/// A user is to be forgotten: their orders' addresses and notes.
pub(crate) fn forget(tx: &mut Tx<'_>, user: Id<kinds::User>) -> Result<(), store::Error> {
    tx.put(ERASURES, &user, &Erasure::default())
}

/// Does what falls due, until dropped.
pub(crate) async fn run(store: Store, log: Log) {
    loop {
        match round(&store, &log).await {
            // There may be more.
            Ok(true) => {}
            Ok(false) => tokio::time::sleep(LOOK_EVERY).await,
            Err(error) => {
                tracing::warn!(%error, "what falls due was not done; trying again");
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }
}

/// One round; `false` when nothing was due. Looking costs the writer nothing.
async fn round(store: &Store, log: &Log) -> Result<bool, Error> {
    if !overdue(store, now())?.is_empty() {
        let log = log.clone();
        store
            .write_when_free(move |tx| expire(tx, &log, now()))
            .await?;
        return Ok(true);
    }
    if store.scan(ERASURES.all())?.next().is_some() {
        store.write_when_free(erase).await?;
        return Ok(true);
    }
    Ok(false)
}

/// Orders that nobody paid in time, the longest overdue first.
fn overdue(from: &impl Read, now: Time) -> Result<Vec<(Time, OrderId)>, store::Error> {
    from.scan(UNPAID.all())?
        .take(ROUND_ORDERS_MAX)
        .map(|row| row.map(|(key, ())| key))
        .take_while(|row| !matches!(row, Ok((until, _)) if *until > now))
        .collect()
}

fn expire(tx: &mut Tx<'_>, log: &Log, now: Time) -> Result<(), Error> {
    for (until, id) in overdue(tx, now)? {
        let order = find(tx, id)?;
        if order.status == Status::Confirmed {
            let cause = Cause::new(now, By::Expiry).because("not paid in time");
            change(tx, log, order, cause, Order::cancel)?;
        } else {
            tx.delete(UNPAID, &(until, id))?;
        }
    }
    Ok(())
}

/// Forgets what some orders of one user say of them. Prices, products and payments
/// are the shop's books and stay.
fn erase(tx: &mut Tx<'_>) -> Result<(), Error> {
    let Some(first) = tx.scan(ERASURES.all())?.next() else {
        return Ok(());
    };
    let (user, Erasure { before }) = first?;
    let ids = lists::ids(tx, Some(user), None, before)?;
    let ids: Vec<_> = ids.take(ROUND_ORDERS_MAX).collect::<Result<_, _>>()?;
    for id in &ids {
        let mut order = find(tx, *id)?;
        order.shipping_address = None;
        order.note = None;
        note(tx, &mut order, None)?;
    }
    match ids.last() {
        Some(last) if ids.len() == ROUND_ORDERS_MAX => {
            tx.put(ERASURES, &user, &Erasure { before: Some(*last) })?;
        }
        _ => tx.delete(ERASURES, &user)?,
    }
    Ok(())
}
