//! Backfills: what is made of a table's rows, such as an index, made for the rows that an earlier
//! version stored.
//!
//! A backfill walks the table once in key order, in batches beside requests; the service is not
//! ready meanwhile, and says how far it is. A batch is one transaction with the cursor, so an
//! interrupted backfill goes on where it was. It begins with deleting what there is, so that a
//! store of which only a part reads gets all of it anew ([`begin_anew`]).
//!
//! **Invariant:** a row is covered from the transaction on in which the backfill has passed its
//! key, and all are once it is done. A transaction that writes a covered row also writes what is made
//! of it; for a row that is not covered yet, the backfill will. So sums count
//! each row once. What is only put, such as the rows of an index, may be written in either case.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use store::{Key, Read, Record, Store, Table, Tx};
use tokio::sync::watch;

use crate::{Context, Problem};

/// How far each backfill is.
const CURSORS: Table<String, BackfillRow> = Table::new("backfills");

/// Rows of one transaction: enough to share its sync, few enough to keep a request waiting for
/// milliseconds only.
const BATCH_ROWS: usize = 100;

/// Rows that are deleted in one transaction.
const DELETED_AT_ONCE: usize = 500;

/// The wait after a batch that failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The progress that is logged, in percent.
const LOGGED_PERCENT: u64 = 10;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct BackfillRow {
    /// The encoded key of the last row that was walked.
    #[serde(with = "serde_bytes")]
    last: Vec<u8>,
    is_done: bool,
    /// Whether what there was is deleted.
    is_cleared: bool,
}

impl Record for BackfillRow {}

/// A key of any table, as its bytes.
struct RawKey(Vec<u8>);

impl Key for RawKey {
    fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn read_from(bytes: &mut &[u8]) -> Option<Self> {
        Some(Self(std::mem::take(bytes).to_vec()))
    }
}

/// A value of any table, which is not read.
#[derive(Serialize)]
struct AnyValue;

impl<'de> Deserialize<'de> for AnyValue {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(from).map(|_| Self)
    }
}

impl Record for AnyValue {
    fn upgrade(_: u8, _: &[u8]) -> Result<Self, String> {
        Ok(Self)
    }
}

/// Has every backfill of a store begin anew at the next start, because rows of it were lost.
///
/// # Errors
/// When the store cannot be opened, read or written.
pub async fn begin_anew(store: &Store) -> Result<(), store::Error> {
    let begun = store.write(|tx| {
        let rows = tx.scan(CURSORS.all())?;
        let names: Vec<String> = rows
            .map(|row| Ok(row?.0))
            .collect::<Result<_, store::Error>>()?;
        names.iter().try_for_each(|name| tx.delete(CURSORS, name))
    });
    begun.await
}

/// Deletes some rows of a table. Returns whether there are none left.
fn clear(tx: &mut Tx<'_>, name: &'static str) -> Result<bool, store::Error> {
    let table: Table<RawKey, AnyValue> = Table::new(name);
    let keys = tx.scan(table.all())?.take(DELETED_AT_ONCE);
    let keys: Vec<RawKey> = keys
        .map(|row| Ok(row?.0))
        .collect::<Result<_, store::Error>>()?;
    for key in &keys {
        tx.delete(table, key)?;
    }
    Ok(keys.len() < DELETED_AT_ONCE)
}

/// 503: what a request needs is being built.
pub fn not_built_yet(missing: &str) -> Problem {
    let problem = Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "not-built-yet",
        "This is being built",
        format!("{missing}; try again in a moment"),
    );
    problem.header(RETRY_AFTER, "5")
}

/// A backfill of a table. Cheap to clone.
pub struct Backfill<K, V> {
    name: &'static str,
    table: Table<K, V>,
    /// The names of the tables that it fills.
    made: &'static [&'static str],
    progress: Arc<BackfillProgress>,
}

/// How much of the table is covered.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Coverage {
    #[default]
    Part,
    Whole,
}

#[derive(Default)]
struct BackfillProgress {
    coverage: watch::Sender<Coverage>,
    walked: AtomicU64,
    /// The rows to walk, as counted at the start.
    rows: AtomicU64,
}

impl<K, V> Clone for Backfill<K, V> {
    fn clone(&self) -> Self {
        Self { progress: self.progress.clone(), ..*self }
    }
}

impl<K: Key, V: Record> Backfill<K, V> {
    /// The backfill of a name, which stands in sentences such as "index of orders", and of the
    /// tables that it fills. A change of what is made needs another name.
    pub fn new(name: &'static str, table: Table<K, V>, made: &'static [&'static str]) -> Self {
        Self { name, table, made, progress: Arc::default() }
    }

    /// Whether all rows are covered.
    pub fn is_done(&self) -> bool {
        *self.progress.coverage.borrow() == Coverage::Whole
    }

    /// Waits until all rows are covered.
    pub async fn done(&self) {
        let mut coverage = self.progress.coverage.subscribe();
        let is_whole = |coverage: &Coverage| *coverage == Coverage::Whole;
        // The sender is in `self`, so it is not dropped meanwhile.
        let _ = coverage.wait_for(is_whole).await;
    }

    /// Whether the row of this key is covered.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn covers(&self, from: &impl Read, key: &K) -> Result<bool, store::Error> {
        if self.is_done() {
            return Ok(true);
        }
        let row = from.get(CURSORS, &self.name.to_owned())?;
        Ok(row.is_some_and(|row| row.is_done || key.encode() <= row.last))
    }

    /// What is not done yet, for `/readyz` and for requests that need it.
    pub fn missing(&self) -> Option<String> {
        if self.is_done() {
            return None;
        }
        let mut missing = format!("building the {}", self.name);
        let (walked, rows) = self.counts();
        if let Some(percent) = (walked * 100).checked_div(rows) {
            let _ = write!(missing, ": {} %", percent.min(99));
        }
        Some(missing)
    }

    /// Refuses a request that needs all rows to be covered.
    ///
    /// # Errors
    /// 503 while the backfill is not done.
    pub fn require(&self) -> Result<(), Problem> {
        match self.missing() {
            None => Ok(()),
            Some(missing) => Err(not_built_yet(&missing)),
        }
    }

    fn counts(&self) -> (u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (of(&self.progress.walked), of(&self.progress.rows))
    }

    /// Writes one batch. Returns whether all rows are covered.
    fn write_batch(
        &self,
        tx: &mut Tx<'_>,
        make: &impl Fn(&mut Tx<'_>, K, V) -> Result<(), store::Error>,
    ) -> Result<bool, store::Error> {
        let name = self.name.to_owned();
        let mut row = tx.get(CURSORS, &name)?.unwrap_or_default();
        if !row.is_cleared && !row.is_done {
            for table in self.made {
                if !clear(tx, table)? {
                    return Ok(false);
                }
            }
            row.is_cleared = true;
        }
        if !row.is_done {
            let rest = match K::decode(&row.last) {
                Some(last) => self.table.all().after(&last),
                None => self.table.all(),
            };
            let batch = tx.scan(rest)?.take(BATCH_ROWS);
            let batch: Vec<(K, V)> = batch.collect::<Result<_, _>>()?;
            row.is_done = batch.len() < BATCH_ROWS;
            let walked = self.progress.clone();
            let count = batch.len() as u64;
            for (key, value) in batch {
                row.last = key.encode();
                make(tx, key, value)?;
            }
            tx.put(CURSORS, &name, &row)?;
            tx.on_durable(move || {
                walked.walked.fetch_add(count, Ordering::Relaxed);
            });
        }
        if row.is_done {
            let progress = self.progress.clone();
            tx.on_durable(move || _ = progress.coverage.send_replace(Coverage::Whole));
        }
        Ok(row.is_done)
    }
}

impl<K: Key + 'static, V: Record + 'static> Backfill<K, V> {
    /// Makes with `make` what belongs to each row that is not covered. A table of one batch,
    /// such as that of a new shop, is done on return; any other is walked beside requests, and
    /// the service is not ready until it is done.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn start(
        &self,
        ctx: &Context,
        make: impl Fn(&mut Tx<'_>, K, V) -> Result<(), store::Error> + Clone + Send + Sync + 'static,
    ) -> Result<(), store::Error> {
        let known = ctx.store.get(CURSORS, &self.name.to_owned())?;
        if known.is_some_and(|row| row.is_done) {
            self.progress.coverage.send_replace(Coverage::Whole);
            return Ok(());
        }
        if self.walk_batch(&ctx.store, &make).await? {
            return Ok(());
        }
        let rows = ctx.store.row_count(self.table)?.unwrap_or(0);
        self.progress.rows.store(rows, Ordering::Relaxed);
        let condition = self.clone();
        ctx.health.add(move || condition.missing());
        let (backfill, store) = (self.clone(), ctx.store.clone());
        let walk = async move { backfill.walk(&store, &make).await };
        ctx.tasks
            .spawn(ctx.stop.clone().run_until_cancelled_owned(walk));
        Ok(())
    }

    async fn walk(
        &self,
        store: &Store,
        make: &(impl Fn(&mut Tx<'_>, K, V) -> Result<(), store::Error> + Clone + Send + Sync + 'static),
    ) {
        let (_, rows) = self.counts();
        tracing::info!(rows, "building the {}", self.name);
        let mut logged = 0;
        loop {
            match self.walk_batch(store, make).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, "building the {} failed; retrying", self.name);
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            }
            let (walked, rows) = self.counts();
            let percent = walked * 100 / rows.max(1);
            if percent >= logged + LOGGED_PERCENT {
                logged = percent;
                tracing::info!(walked, rows, "building the {}", self.name);
            }
        }
        tracing::info!(rows = self.counts().0, "the {} is built", self.name);
    }

    /// Walks one batch. Returns whether all rows are covered.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn walk_batch(
        &self,
        store: &Store,
        make: &(impl Fn(&mut Tx<'_>, K, V) -> Result<(), store::Error> + Clone + Send + Sync + 'static),
    ) -> Result<bool, store::Error> {
        let (backfill, make) = (self.clone(), make.clone());
        let batch = move |tx: &mut Tx<'_>| backfill.write_batch(tx, &make);
        store.write_when_free(batch).await
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use store::Options;

    use super::*;

    const NUMBERS: Table<u64, u64> = Table::new("numbers");
    const SUM: Table<u16, u64> = Table::new("sum");

    fn add(tx: &mut Tx<'_>, number: u64) -> Result<(), store::Error> {
        let sum = tx.get(SUM, &0)?.unwrap_or(0);
        tx.put(SUM, &0, &(sum + number))
    }

    /// Rows are added before and behind the cursor while a sum over them is built, and the
    /// process is interrupted after each batch.
    #[test]
    fn a_sum_counts_each_row_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &Options::default()).unwrap();
        let write = |number: u64, backfill: &Backfill<u64, u64>| {
            let backfill = backfill.clone();
            block_on(store.write(move |tx| {
                tx.put(NUMBERS, &number, &number)?;
                if backfill.covers(tx, &number)? {
                    add(tx, number)
                } else {
                    Ok(())
                }
            }))
            .unwrap();
        };
        let old = 3 * BATCH_ROWS as u64 + 7;
        block_on(store.write(move |tx| {
            (1..=old).try_for_each(|number| tx.put(NUMBERS, &(10 * number), &(10 * number)))
        }))
        .unwrap();
        let mut expected: u64 = (1..=old).map(|number| 10 * number).sum();
        for step in 1..=5 {
            let backfill = Backfill::new("sum", NUMBERS, &["sum"]);
            let make = |tx: &mut Tx<'_>, number, _| add(tx, number);
            let is_done = block_on(backfill.walk_batch(&store, &make)).unwrap();
            assert_eq!(is_done, step > 3, "{step}");
            assert_eq!(backfill.missing().is_none(), is_done);
            for number in [step, 10 * old + step] {
                write(number, &backfill);
                expected += number;
            }
        }
        let sum = store.get(SUM, &0).unwrap();
        assert_eq!(sum, Some(expected));

        // Rows are lost, and the sum is made anew.
        block_on(begin_anew(&store)).unwrap();
        block_on(store.write(|tx| tx.delete(NUMBERS, &10))).unwrap();
        let backfill = Backfill::new("sum", NUMBERS, &["sum"]);
        let make = |tx: &mut Tx<'_>, number, _| add(tx, number);
        while !block_on(backfill.walk_batch(&store, &make)).unwrap() {}
        let sum = store.get(SUM, &0).unwrap();
        assert_eq!(sum, Some(expected - 10));
    }
}
