//! Delivers what is due, so much at once, for as long as it runs.
//!
//! The queue is the store's: a look at it says what is due and when something
//! will be. A bell says that something was put in; it carries nothing, so a lost
//! one costs a pause, never a delivery.
//!
//! **Invariant:** one thing is under way at most once here, and what is cut off
//! is still in the queue: it goes again when the service is back.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use ::store::Error as StoreError;
use model::Time;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// How long at most until the queue is looked at again.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How long to leave a store alone that could not be read or written.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// What a look at a queue found.
#[derive(Debug)]
pub(crate) struct Due<K> {
    /// What to deliver now.
    pub(crate) now: Vec<K>,
    /// When something else will be due.
    pub(crate) next: Option<Time>,
}

impl<K> Default for Due<K> {
    fn default() -> Self {
        Self { now: Vec::new(), next: None }
    }
}

/// Runs until it is dropped. `look` is given what is under way and how much more
/// may be; `deliver` writes down how it ended before it returns.
pub(crate) async fn run<K, F>(
    bell: Arc<Notify>,
    at_once_max: usize,
    look: impl Fn(&HashSet<K>, usize) -> Result<Due<K>, StoreError>,
    deliver: impl Fn(K) -> F,
) where
    K: Clone + Eq + Hash + Send + 'static,
    F: Future<Output = Result<(), StoreError>> + Send + 'static,
{
    let mut under_way = HashMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let mut wait = LOOK_EVERY;
        let room = at_once_max.saturating_sub(tasks.len());
        if room > 0 {
            let busy = under_way.values().cloned().collect();
            match look(&busy, room) {
                Ok(due) => {
                    for key in due.now {
                        let task = tasks.spawn(guarded(deliver(key.clone())));
                        under_way.insert(task.id(), key);
                    }
                    let next = due.next.map(|next| next.since(model::now()));
                    wait = next
                        .unwrap_or(wait)
                        .clamp(Duration::from_millis(1), LOOK_EVERY);
                }
                Err(error) => {
                    tracing::error!(%error, "a queue cannot be read");
                    wait = STORE_PAUSE;
                }
            }
        }
        tokio::select! {
            () = bell.notified() => {}
            Some(ended) = tasks.join_next_with_id() => {
                let task = ended.as_ref().map_or_else(tokio::task::JoinError::id, |(id, ())| *id);
                under_way.remove(&task);
                if let Err(error) = ended {
                    tracing::error!(%error, "a delivery's task failed");
                }
            }
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// What could not be written down is still due: without a pause it would go out
/// again and again.
async fn guarded(delivery: impl Future<Output = Result<(), StoreError>>) {
    if let Err(error) = delivery.await {
        tracing::error!(%error, "how a delivery ended could not be written down; it goes again");
        tokio::time::sleep(STORE_PAUSE).await;
    }
}
