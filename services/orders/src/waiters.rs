//! Requests that wait in memory for an event about their order.
//!
//! Nothing depends on them: an order proceeds whether or not a request waits for it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use model::OrderId;
use parking_lot::Mutex;
use tokio::sync::watch;

/// The orders that requests in flight wait for.
pub(crate) struct Waiters<T>(Arc<Mutex<HashMap<OrderId, Slot<T>>>>);

/// The event of one order, and the number of its waiters.
struct Slot<T> {
    sender: watch::Sender<Option<T>>,
    waiters: usize,
}

/// One waiting request; deregistered when dropped.
pub(crate) struct Waiter<T> {
    waiters: Waiters<T>,
    order: OrderId,
    event: watch::Receiver<Option<T>>,
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
    /// Registers a waiter. Events before it are not delivered, so it is registered
    /// before the write that the event answers.
    pub(crate) fn register(&self, order: OrderId) -> Waiter<T> {
        let mut slots = self.0.lock();
        let slot = slots.entry(order).or_insert_with(|| {
            let sender = watch::Sender::new(None);
            Slot { sender, waiters: 0 }
        });
        slot.waiters += 1;
        let event = slot.sender.subscribe();
        Waiter { waiters: self.clone(), order, event }
    }

    /// Delivers the event of an order to its waiters.
    pub(crate) fn wake(&self, order: OrderId, event: T) {
        if let Some(slot) = self.0.lock().get(&order) {
            slot.sender.send_replace(Some(event));
        }
    }

    /// Whether a request waits for the order.
    pub(crate) fn contains(&self, order: OrderId) -> bool {
        self.0.lock().contains_key(&order)
    }
}

impl<T: Clone> Waiter<T> {
    /// The event; `None` after `timeout`.
    pub(crate) async fn wait(&mut self, timeout: Duration) -> Option<T> {
        let event = self.event.wait_for(Option::is_some);
        let event = tokio::time::timeout(timeout, event).await.ok()?;
        event.ok()?.clone()
    }
}

impl<T> Drop for Waiter<T> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut slot) = self.waiters.0.lock().entry(self.order) {
            slot.get_mut().waiters -= 1;
            if slot.get().waiters == 0 {
                slot.remove();
            }
        }
    }
}
