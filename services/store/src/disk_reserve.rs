//! The disk reserve: transactions are refused while too little space is free.
//!
//! sled does not recover from a write that met a full disk, so it must not meet one. Below
//! [`FREE_BYTES_MIN`] only transactions that [may use the reserve](crate::Tx::use_reserve)
//! are accepted, and below [`RESERVE_BYTES_MIN`] none; what is left is for running work.
//! Another program may still fill the disk, so before a checkpoint the database's file owns
//! blocks beyond its end.
//!
//! **Invariant:** a refusal changes nothing, and ends as soon as space is free; nothing
//! has to be reopened.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;

use crate::Error;

/// Below this much free space on the disk, in bytes, no ordinary transaction is accepted.
const FREE_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// Below this much, none at all.
const RESERVE_BYTES_MIN: u64 = 32 * 1024 * 1024;

/// The blocks that the database's file owns beyond its end before a checkpoint, in bytes:
/// enough for a few of the largest rows and what sled's collection moves meanwhile.
const AHEAD_BYTES: u64 = 8 * 1024 * 1024;

/// How far the reserve grows at once, in bytes.
const AHEAD_STEP_BYTES: u64 = 4 * 1024 * 1024;

/// A block of [`MetadataExt::blocks`], whatever the file system's own are.
const BLOCK_BYTES: u64 = 512;

/// How much of the disk is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiskSpace {
    Enough,
    /// For transactions that may use the reserve.
    Reserve,
    Full,
}

/// The reserve of one store's folder.
pub(crate) struct DiskReserve {
    dir: PathBuf,
    free_bytes: fn(&Path) -> io::Result<u64>,
    refusing: AtomicBool,
}

impl DiskReserve {
    pub(crate) fn new(dir: &Path, free_bytes: fn(&Path) -> io::Result<u64>) -> Self {
        let refusing = AtomicBool::new(false);
        Self { dir: dir.to_owned(), free_bytes, refusing }
    }

    /// How much is free.
    pub(crate) fn space(&self) -> Result<DiskSpace, Error> {
        Ok(match self.free()? {
            FREE_BYTES_MIN.. => DiskSpace::Enough,
            RESERVE_BYTES_MIN.. => DiskSpace::Reserve,
            _ => DiskSpace::Full,
        })
    }

    /// Whether a file of `bytes` leaves enough for ordinary transactions.
    pub(crate) fn has_room_for(&self, bytes: u64) -> Result<bool, Error> {
        Ok(self.free()? >= bytes.saturating_add(FREE_BYTES_MIN))
    }

    /// As [`space`](Self::space), for a batch that is about to be written; a change is logged.
    pub(crate) fn check(&self) -> Result<DiskSpace, Error> {
        let space = self.space()?;
        let full = space != DiskSpace::Enough;
        if self.refusing.swap(full, Ordering::Relaxed) != full {
            let dir = self.dir.display();
            match full {
                true => {
                    tracing::error!(%dir, "the disk is nearly full: writes are refused, reads go on");
                }
                false => {
                    tracing::info!(%dir, "the disk has free space again: writes are accepted");
                }
            }
        }
        Ok(space)
    }

    /// Allocates blocks beyond the end of `file`, so that it can grow on a disk that
    /// fills up meanwhile. On a file system without `fallocate` only the check of free
    /// space remains.
    pub(crate) fn keep_ahead(&self, file: &File) -> Result<(), Error> {
        let metadata = file.metadata().map_err(|error| self.failed(&error))?;
        let owned = (metadata.blocks() * BLOCK_BYTES).saturating_sub(metadata.len());
        if owned >= AHEAD_BYTES {
            return Ok(());
        }
        let ahead = AHEAD_BYTES + AHEAD_STEP_BYTES;
        if self.free()? < ahead {
            return Err(self.full());
        }
        match fallocate(file, FallocateFlags::KEEP_SIZE, metadata.len(), ahead) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(error) => Err(self.failed(&error.into())),
        }
    }

    /// The error of a failed write.
    pub(crate) fn failed(&self, error: &io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => self.full(),
            _ => Error::io(&self.dir, "its files", error),
        }
    }

    /// The refusal of a batch.
    pub(crate) fn full(&self) -> Error {
        Error::Full(self.dir.clone())
    }

    /// The free space of the disk, in bytes.
    pub(crate) fn free(&self) -> Result<u64, Error> {
        (self.free_bytes)(&self.dir).map_err(|error| self.failed(&error))
    }
}

/// The free space of the file system of `dir`, in bytes, without the blocks reserved for
/// root.
pub(crate) fn free_bytes(dir: &Path) -> io::Result<u64> {
    let disk = statvfs(dir)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}
