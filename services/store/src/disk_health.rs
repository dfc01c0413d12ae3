//! Whether the disk answers: failed reads, and writes that do not come back.
//!
//! A failed write stops the store (see `writer`). A failed read is an error of one request,
//! and a stalled write is no error at all, so a service whose disk is gone or hangs would
//! otherwise seem well to everyone but its clients.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The state of a store's disk.
pub(crate) struct DiskHealth {
    begun: Instant,
    /// Milliseconds after `begun` when the present write began, plus one; 0 without one.
    writing_since: AtomicU64,
    read_failed: AtomicBool,
}

impl DiskHealth {
    pub(crate) fn new() -> Self {
        Self {
            begun: Instant::now(),
            writing_since: AtomicU64::new(0),
            read_failed: AtomicBool::new(false),
        }
    }

    /// Runs a write.
    pub(crate) fn writing<T>(&self, write: impl FnOnce() -> T) -> T {
        let since = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.writing_since
            .store(since.saturating_add(1), Ordering::Relaxed);
        let written = write();
        self.writing_since.store(0, Ordering::Relaxed);
        written
    }

    /// How long the present write has taken so far.
    pub(crate) fn writing_for(&self) -> Duration {
        match self.writing_since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => self
                .begun
                .elapsed()
                .saturating_sub(Duration::from_millis(since - 1)),
        }
    }

    /// Notes that a read failed.
    pub(crate) fn note_failed_read(&self) {
        self.read_failed.store(true, Ordering::Relaxed);
    }

    /// Notes that a write succeeded: the disk answers.
    pub(crate) fn note_write(&self) {
        self.read_failed.store(false, Ordering::Relaxed);
    }

    /// Whether a read failed, and no write succeeded since.
    pub(crate) fn read_failed(&self) -> bool {
        self.read_failed.load(Ordering::Relaxed)
    }
}
