//! [`Options`]: the cache, the queue, the disk and the metrics a store is opened with.
//!
//! A service sets the first two from its configuration. The two functions replace the
//! disk in tests, which count the syncs, let them fail, or fill the disk.

use std::fs::File;
use std::io;
use std::path::Path;

use metrics::{Counter, Histogram};

use crate::disk_reserve;

/// The options of a store.
#[derive(Debug, Clone)]
pub struct Options {
    /// The part of the database that sled may keep in memory, in bytes. A hint: real
    /// use is a few times higher under load.
    pub cache_bytes: u64,
    /// The closures that may wait for the writer. Above it, [`Store::write`]
    /// refuses with [`Error::Busy`].
    pub queue_max: usize,
    /// Makes the files of the journal and the database durable: `fdatasync`, outside
    /// of tests.
    pub sync: fn(&File) -> io::Result<()>,
    /// The free bytes on the disk of the store's folder: `statvfs`, outside of
    /// tests.
    pub free_bytes: fn(&Path) -> io::Result<u64>,
    /// Where the writer counts its work.
    pub metrics: WriterMetrics,
}

/// The metrics of a store's writer, each recorded once a batch. Their names and labels are
/// the caller's.
#[derive(Debug, Clone)]
pub struct WriterMetrics {
    /// Batches that are durable.
    pub batches: Counter,
    /// Transactions in them, refused ones included: over the batches, their size.
    pub transactions: Counter,
    /// Rows in them, deletions included.
    pub rows: Counter,
    /// How long the write of a batch to the journal took, its sync included, in seconds.
    pub sync_seconds: Histogram,
}

impl Default for WriterMetrics {
    /// Records nothing.
    fn default() -> Self {
        Self {
            batches: Counter::noop(),
            transactions: Counter::noop(),
            rows: Counter::noop(),
            sync_seconds: Histogram::noop(),
        }
    }
}

impl Default for Options {
    /// 8 MiB of cache; a queue of 1,024 closures, four full batches, which is
    /// some tens of milliseconds of work.
    fn default() -> Self {
        Self {
            cache_bytes: 8 * 1024 * 1024,
            queue_max: 1024,
            sync: File::sync_data,
            free_bytes: disk_reserve::free_bytes,
            metrics: WriterMetrics::default(),
        }
    }
}
