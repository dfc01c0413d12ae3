//! Room on the disk: batches are refused while there is too little of it.
//!
//! sled never recovers from a write that met a full disk, so it must not meet one.
//! Two things keep it away. No batch is accepted below [`FREE_BYTES_MIN`], which is
//! left for whatever is under way. And however suddenly somebody else fills the disk:
//! before rows go into the database, its file owns blocks beyond its end.
//!
//! **Invariant:** what is refused here leaves everything as it was, and is accepted
//! again as soon as there is room; nothing has to be reopened.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;

use crate::Error;

/// Below this much free space on the disk, in bytes, no batch is accepted.
pub(crate) const FREE_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// What the database's file owns beyond its end before rows go in, in bytes: a
/// few of the largest rows, and what sled's collection moves meanwhile.
const AHEAD_BYTES: u64 = 8 * 1024 * 1024;

/// How much more than that is taken at once, in bytes.
const AHEAD_STEP_BYTES: u64 = 4 * 1024 * 1024;

/// A block of [`MetadataExt::blocks`], whatever the file system's own are.
const BLOCK_BYTES: u64 = 512;

/// The room for one store's folder.
pub(crate) struct Room {
    dir: PathBuf,
    free_bytes: fn(&Path) -> io::Result<u64>,
    refusing: AtomicBool,
}

impl Room {
    pub(crate) fn new(dir: &Path, free_bytes: fn(&Path) -> io::Result<u64>) -> Self {
        let refusing = AtomicBool::new(false);
        Self { dir: dir.to_owned(), free_bytes, refusing }
    }

    /// Whether a batch may be written; told to the log when that changes.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let full = self.free()? < FREE_BYTES_MIN;
        if self.refusing.swap(full, Ordering::Relaxed) != full {
            let dir = self.dir.display();
            match full {
                true => {
                    tracing::error!(%dir, "the disk is nearly full: writes are refused, reads go on");
                }
                false => {
                    tracing::info!(%dir, "there is room on the disk again: writes are accepted");
                }
            }
        }
        if full { Err(self.full()) } else { Ok(()) }
    }

    /// Makes sure that `file` can grow whatever happens to the disk meanwhile. File
    /// systems that cannot promise that have only the free space to rely on.
    pub(crate) fn keep_ahead(&self, file: &File) -> Result<(), Error> {
        let told = file.metadata().map_err(|error| self.failed(&error))?;
        let owned = (told.blocks() * BLOCK_BYTES).saturating_sub(told.len());
        if owned >= AHEAD_BYTES {
            return Ok(());
        }
        let ahead = AHEAD_BYTES + AHEAD_STEP_BYTES;
        if self.free()? < ahead {
            return Err(self.full());
        }
        match fallocate(file, FallocateFlags::KEEP_SIZE, told.len(), ahead) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(error) => Err(self.failed(&error.into())),
        }
    }

    /// What a failed write means.
    pub(crate) fn failed(&self, error: &io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => self.full(),
            _ => Error::Io { dir: self.dir.clone(), why: error.to_string() },
        }
    }

    fn full(&self) -> Error {
        Error::Full(self.dir.clone())
    }

    fn free(&self) -> Result<u64, Error> {
        (self.free_bytes)(&self.dir).map_err(|error| self.failed(&error))
    }
}

/// The free space of the disk that `dir` is on, in bytes, as far as an ordinary user
/// may have it.
pub(crate) fn free_bytes(dir: &Path) -> io::Result<u64> {
    let disk = statvfs(dir)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}
