//! Requests that wait, in memory, for word of their order.
//!
//! Nothing depends on them: an order goes on whether or not anyone waits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::store::OrderId;

/// Who waits for which order; as many as requests are in flight.
pub(crate) struct Waiters<T>(Arc<Mutex<HashMap<OrderId, watch::Sender<Option<T>>>>>);

/// One wait; forgotten when dropped.
pub(crate) struct Wait<T> {
    waiters: Waiters<T>,
    order: OrderId,
    word: watch::Receiver<Option<T>>,
}

impl<T> Clone for Waiters<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Waiters<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone> Waiters<T> {
    /// Waits for word of `order` from now on: from before it can come, so that
    /// none is missed.
    pub(crate) fn register(&self, order: OrderId) -> Wait<T> {
        let word = self
            .lock()
            .entry(order)
            .or_insert_with(|| watch::Sender::new(None))
            .subscribe();
        Wait { waiters: self.clone(), order, word }
    }

    /// Passes word of an order to whoever waits for it.
    pub(crate) fn wake(&self, order: OrderId, word: T) {
        if let Some(waiting) = self.lock().get(&order) {
            waiting.send_replace(Some(word));
        }
    }

    /// Whether anyone waits for word of `order`.
    pub(crate) fn waits(&self, order: OrderId) -> bool {
        self.lock().contains_key(&order)
    }
}

impl<T> Waiters<T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<OrderId, watch::Sender<Option<T>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Wait<T> {
    /// The word when it comes, or none after `patience`.
    pub(crate) async fn word(&mut self, patience: Duration) -> Option<T> {
        let word = self.word.wait_for(Option::is_some);
        tokio::time::timeout(patience, word)
            .await
            .ok()?
            .ok()?
            .clone()
    }
}

impl<T> Drop for Wait<T> {
    fn drop(&mut self) {
        let mut waiting = self.waiters.lock();
        // This one's own receiver still counts.
        if waiting
            .get(&self.order)
            .is_some_and(|sender| sender.receiver_count() <= 1)
        {
            waiting.remove(&self.order);
        }
    }
}
