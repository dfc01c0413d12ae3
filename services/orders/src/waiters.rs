//! Requests that wait, in memory, for their order to be settled.
//!
//! Nothing depends on them: an order settles whether or not anyone waits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh::{Id, kinds};
use tokio::sync::watch;

type Waiting = HashMap<Id<kinds::Order>, watch::Sender<bool>>;

/// Who waits for which order; as many as requests are in flight.
#[derive(Default)]
pub(crate) struct Waiters(Mutex<Waiting>);

/// One wait; forgotten when dropped.
pub(crate) struct Wait {
    waiters: Arc<Waiters>,
    order: Id<kinds::Order>,
    settled: watch::Receiver<bool>,
}

impl Waiters {
    /// Waits for `order` from now on: before it is placed, so that nothing is
    /// missed. `None` when somebody does already.
    pub(crate) fn register(self: &Arc<Self>, order: Id<kinds::Order>) -> Option<Wait> {
        let mut waiting = self.lock();
        if waiting.contains_key(&order) {
            return None;
        }
        let (sender, settled) = watch::channel(false);
        waiting.insert(order, sender);
        Some(Wait { waiters: self.clone(), order, settled })
    }

    /// The order is settled, durably.
    pub(crate) fn wake(&self, order: Id<kinds::Order>) {
        if let Some(waiter) = self.lock().get(&order) {
            waiter.send_replace(true);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wait {
    /// Returns when the order is settled, or after `patience`.
    pub(crate) async fn settled(&mut self, patience: Duration) {
        let _ = tokio::time::timeout(patience, self.settled.wait_for(|settled| *settled)).await;
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.waiters.lock().remove(&self.order);
    }
}
