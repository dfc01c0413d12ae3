//! Whether the index shows everything that was written to the catalogue.
//!
//! It follows a moment behind. What was found meanwhile is right to show, and wrong
//! to keep: no event will tell that it has become old.
//!
//! **Invariant:** a change counts as written before anyone is told of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Places in the log: of the newest change that search shows, and of the newest
/// there is. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Freshness(Arc<Places>);

#[derive(Debug)]
struct Places {
    shown: AtomicU64,
    written: AtomicU64,
}

impl Freshness {
    /// Of an index that has not been looked at, beside a log that ends there.
    pub(super) fn after(tail: u64) -> Self {
        let (shown, written) = (AtomicU64::new(0), AtomicU64::new(tail));
        Self(Arc::new(Places { shown, written }))
    }

    /// Whether a search that begins now finds what the store has.
    pub(crate) fn is_level(&self) -> bool {
        // What is shown is read first: it may only have become more since.
        let shown = self.0.shown.load(Ordering::SeqCst);
        shown >= self.0.written.load(Ordering::SeqCst)
    }

    /// A change was written at this place.
    pub(crate) fn wrote(&self, place: u64) {
        self.0.written.fetch_max(place, Ordering::SeqCst);
    }

    /// Everything up to this place is found from now on.
    pub(super) fn shows(&self, place: u64) {
        self.0.shown.store(place, Ordering::SeqCst);
    }
}
