//! Index lag: whether searches see everything that was written to the catalogue.
//!
//! The index follows the store a moment behind. Results found meanwhile are correct
//! to send and wrong to cache: no event will invalidate them later.
//!
//! **Invariant:** a change is recorded as written before it is announced.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The log position that searches see, and the one that is written. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct IndexLag(Arc<Positions>);

#[derive(Debug)]
struct Positions {
    visible: AtomicU64,
    written: AtomicU64,
}

impl IndexLag {
    /// The lag of an index that was not read yet, beside a log that ends at `tail`.
    pub(super) fn behind(tail: u64) -> Self {
        let (visible, written) = (AtomicU64::new(0), AtomicU64::new(tail));
        Self(Arc::new(Positions { visible, written }))
    }

    /// Whether a search that begins now sees everything the store has.
    pub(crate) fn is_zero(&self) -> bool {
        // Read first: the visible position may only have advanced since.
        let visible = self.0.visible.load(Ordering::SeqCst);
        visible >= self.0.written.load(Ordering::SeqCst)
    }

    /// Records that a change was written at this position.
    pub(crate) fn written(&self, position: u64) {
        self.0.written.fetch_max(position, Ordering::SeqCst);
    }

    /// Records that searches see everything up to this position.
    pub(super) fn visible(&self, position: u64) {
        self.0.visible.store(position, Ordering::SeqCst);
    }
}
