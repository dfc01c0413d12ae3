//! Requests that wait, in memory, for word of their order.
//!
//! Nothing depends on them: an order goes on whether or not anyone waits.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::store::OrderId;

/// Who waits for which order; as many as requests are in flight.
pub(crate) struct Waiters<T>(Arc<Mutex<Waiting<T>>>);

type Waiting<T> = HashMap<OrderId, Word<T>>;

/// The word of one order, and how many wait for it.
struct Word<T> {
    sender: watch::Sender<Option<T>>,
    waits: usize,
}

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
        let mut waiting = self.lock();
        let word = waiting.entry(order).or_insert_with(|| {
            let sender = watch::Sender::new(None);
            Word { sender, waits: 0 }
        });
        word.waits += 1;
        let word = word.sender.subscribe();
        drop(waiting);
        Wait { waiters: self.clone(), order, word }
    }

    /// Passes word of an order to whoever waits for it.
    pub(crate) fn wake(&self, order: OrderId, word: T) {
        if let Some(waiting) = self.lock().get(&order) {
            waiting.sender.send_replace(Some(word));
        }
    }

    /// Whether anyone waits for word of `order`.
    pub(crate) fn waits(&self, order: OrderId) -> bool {
        self.lock().contains_key(&order)
    }
}

impl<T> Waiters<T> {
    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Wait<T> {
    /// The word when it comes, or none after `timeout`.
    pub(crate) async fn word(&mut self, timeout: Duration) -> Option<T> {
        let word = self.word.wait_for(Option::is_some);
        tokio::time::timeout(timeout, word)
            .await
            .ok()?
            .ok()?
            .clone()
    }
}

impl<T> Drop for Wait<T> {
    fn drop(&mut self) {
        let mut waiting = self.waiters.lock();
        if let Entry::Occupied(mut word) = waiting.entry(self.order) {
            word.get_mut().waits -= 1;
            if word.get().waits == 0 {
                word.remove();
            }
        }
    }
}
