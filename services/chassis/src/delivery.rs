//! Delivery queue: rows that are due at a time, sent by a worker with retries.
//!
//! Mail and webhook messages are two kinds of [`Delivery`]; any service's calls to others can be
//! one. A row's key holds its
//! partition and the time it is due; the worker claims due rows, sends them within its
//! concurrency limits and lets the delivery reschedule them with a [`Backoff`]. A wake-up
//! carries no data, so a lost one costs a delay and never a delivery.
//!
//! **Invariant:** a delivery is in flight at most once, and its row stays in the queue until
//! the outcome is stored: an interrupted delivery is repeated at the next start.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::store::{Error as StoreError, Key, Prefix, Read, Record, Store, Table};
use metrics::{Counter, counter, gauge};
use model::Time;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};

use crate::Context;

/// The longest pause between two scans of a queue.
const SCAN_EVERY: Duration = Duration::from_secs(30);

/// The pause after the store could not be read or written, or a delivery panicked.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// The key of a queued delivery: rows of a partition are in order of time.
pub type DueKey<D> = (
    <D as Delivery>::Partition,
    Time,
    <D as Delivery>::DeliveryId,
);

/// Exponential backoff with jitter, which spreads the retries of deliveries that failed
/// together.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The pause after the first failure.
    pub first: Duration,
    /// The longest pause.
    pub pause_max: Duration,
    /// The latest attempt, counted from the first.
    pub give_up_after: Duration,
}

impl Backoff {
    /// The time of the next attempt after `failed` failures, the last of them at `now`;
    /// `None` to give up. `jitter` in 0..1 shortens or lengthens the pause by up to a
    /// fifth.
    pub fn next(&self, began: Time, failed: u32, now: Time, jitter: f64) -> Option<Time> {
        let doublings = failed.saturating_sub(1).min(31);
        let pause = self.first.saturating_mul(1 << doublings);
        let pause = pause.min(self.pause_max).mul_f64(0.8 + 0.4 * jitter);
        let next = now.after(pause);
        (next.since(began) <= self.give_up_after).then_some(next)
    }
}

/// One kind of delivery: where its rows are queued and how one is sent.
pub trait Delivery: Send + Sync + 'static {
    /// What its rows are queued by; each has its share of those in flight.
    type Partition: Key + Prefix<DueKey<Self>> + Clone + Eq + Send;
    /// What tells it from others of its partition.
    type DeliveryId: Key + Clone + Eq + Send;
    /// What is queued besides.
    type Row: Record;

    /// The rows in the queue.
    const QUEUE: Table<DueKey<Self>, Self::Row>;

    /// The names of its metrics.
    const METRICS: QueueMetrics;

    /// Most deliveries in flight.
    const IN_FLIGHT_MAX: usize;
    /// Most of them of one partition.
    const PARTITION_IN_FLIGHT_MAX: usize;

    /// The store that has the queue.
    fn store(&self) -> &Store;

    /// The partitions to scan, most urgent first.
    ///
    /// # Errors
    /// When they cannot be read; the queue is scanned again a moment later.
    fn partitions(&self) -> Result<Vec<Self::Partition>, StoreError>;

    /// Sends one delivery and stores the outcome: removed, or due again later.
    ///
    /// # Errors
    /// When the outcome cannot be stored; the delivery is sent again.
    fn deliver(
        self: Arc<Self>,
        key: DueKey<Self>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// The names of a queue's metrics.
#[derive(Debug, Clone, Copy)]
pub struct QueueMetrics {
    /// The service that has the queue.
    pub service: &'static str,
    /// A gauge: the rows in the queue.
    pub waiting: &'static str,
    /// A counter: the deliveries that will not be attempted again.
    pub given_up: &'static str,
}

/// Measures a queue: its rows are counted at each scrape, by the store's own count.
pub fn measure<D: Delivery>(ctx: &Context) {
    // Registered at zero.
    let _ = given_up::<D>();
    let store = ctx.store.clone();
    ctx.collectors.add(move || {
        // A count that cannot be had leaves the last value.
        if let Ok(Some(rows)) = store.row_count(D::QUEUE) {
            gauge!(D::METRICS.waiting, "service" => D::METRICS.service).set(rows as f64);
        }
    });
}

/// The counter of a queue's deliveries that were given up.
pub fn given_up<D: Delivery>() -> Counter {
    counter!(D::METRICS.given_up, "service" => D::METRICS.service)
}

/// Spawns the worker of a queue; `wake_up` announces new rows. While the shop is
/// [quiet](crate::Folder::is_quiet) nothing is sent, and everything stays queued.
pub fn spawn<D: Delivery>(ctx: &Context, delivery: D, wake_up: Arc<Notify>) {
    let folder = ctx.folder.clone();
    let worker = async move {
        while folder.is_quiet() {
            tokio::time::sleep(SCAN_EVERY).await;
        }
        run(Arc::new(delivery), wake_up).await;
    };
    ctx.tasks
        .spawn(ctx.stop.clone().run_until_cancelled_owned(worker));
}

async fn run<D: Delivery>(delivery: Arc<D>, wake_up: Arc<Notify>) {
    let mut in_flight = HashMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let scanned = scan(&*delivery, in_flight.values(), model::now());
        let pause = match scanned {
            Ok(due) => {
                for key in due.now {
                    let id = (key.0.clone(), key.2.clone());
                    let task = tasks.spawn(deliver(delivery.clone(), key));
                    in_flight.insert(task.id(), id);
                }
                let next = due.next.map(|next| next.since(model::now()));
                next.map_or(SCAN_EVERY, |next| {
                    next.clamp(Duration::from_millis(1), SCAN_EVERY)
                })
            }
            Err(error) => {
                tracing::error!(%error, "the delivery queue cannot be read");
                STORE_PAUSE
            }
        };
        tokio::select! {
            () = wake_up.notified() => {}
            Some(ended) = tasks.join_next_with_id() => {
                let task = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
                in_flight.remove(&task);
                if let Err(error) = ended {
                    tracing::error!(%error, "a delivery task failed");
                    // It is still due, and would fail in a tight loop.
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// A row whose outcome could not be stored is still due: the pause keeps it from being sent
/// in a tight loop.
async fn deliver<D: Delivery>(delivery: Arc<D>, key: DueKey<D>) {
    if let Err(error) = delivery.deliver(key).await {
        tracing::error!(%error, "the outcome of a delivery could not be stored; it is sent again");
        tokio::time::sleep(STORE_PAUSE).await;
    }
}

/// The result of scanning a queue.
struct Due<K> {
    /// Rows to send now.
    now: Vec<K>,
    /// When the next row is due.
    next: Option<Time>,
}

/// Finds rows that are due at `now` and not in flight, within the limits. A row is compared
/// without its time, since a redelivery may have changed it.
fn scan<'a, D: Delivery>(
    delivery: &D,
    in_flight: impl ExactSizeIterator<Item = &'a (D::Partition, D::DeliveryId)> + Clone,
    now: Time,
) -> Result<Due<DueKey<D>>, StoreError> {
    let mut due = Due { now: Vec::new(), next: None };
    for partition in delivery.partitions()? {
        let busy: Vec<_> = in_flight
            .clone()
            .filter(|(other, _)| *other == partition)
            .map(|(_, id)| id)
            .collect();
        let mut free = D::PARTITION_IN_FLIGHT_MAX.saturating_sub(busy.len());
        for row in delivery.store().scan(D::QUEUE.prefix(&partition))? {
            let (key, _) = row?;
            if key.1 > now {
                due.next = Some(due.next.map_or(key.1, |next| next.min(key.1)));
                break;
            }
            if free == 0 || in_flight.len() + due.now.len() >= D::IN_FLIGHT_MAX {
                break;
            }
            if !busy.contains(&&key.2) {
                due.now.push(key);
                free -= 1;
            }
        }
    }
    Ok(due)
}

#[cfg(test)]
mod tests;
