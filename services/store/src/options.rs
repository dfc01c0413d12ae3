//! [`Options`]: the cache, the queue and the disk a store is opened with.
//!
//! A service sets the first two from its configuration. The two functions replace the
//! disk in tests, which count the syncs, let them fail, or fill the disk.

use std::fs::File;
use std::io;
use std::path::Path;

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
        }
    }
}
