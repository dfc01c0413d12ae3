//! [`Options`]: how a store is opened.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::disk_reserve;

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// How much of the database sled may keep in memory, in bytes. A hint: real
    /// use is a few times higher under load.
    pub cache_bytes: u64,
    /// How many closures may wait for the writer. Above it, [`Store::write`]
    /// refuses with [`Error::Busy`].
    pub queue_max: usize,
    /// How the journal's and the database's files are made durable. Only tests put
    /// anything here but `fdatasync`.
    pub sync: fn(&File) -> io::Result<()>,
    /// How many bytes are free on the disk of the store's folder. Only tests put
    /// anything here but `statvfs`.
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
