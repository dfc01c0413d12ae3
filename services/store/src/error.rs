//! What can go wrong with a store, told for the person who has to act on it.

use std::path::PathBuf;

/// Why the store refused or failed. A variant exists only where someone acts
/// differently; cloneable, since one failed batch answers many callers.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The writer's queue is full. Nothing was written: the caller may try again.
    #[error("the store's queue is full; nothing was written, try again")]
    Busy,
    /// The disk is nearly full. Nothing was written; reads go on, and so do writes
    /// as soon as there is room.
    #[error("the disk of {} is nearly full; nothing was written. Make room on it: writing then goes on by itself", .0.display())]
    Full(PathBuf),
    /// A commit or sync failed. What was asked may or may not be on disk, and no
    /// further write is accepted: the process must end and reopen the store.
    #[error("the store stopped after a failed write and must be reopened: {0}")]
    Poisoned(String),
    /// Another process holds the folder.
    #[error("{} is in use by another process; one process at a time can open it", .0.display())]
    Locked(PathBuf),
    /// A key or a value above the cap. A domain limit should have caught it.
    #[error("{table}: a {what} of {bytes} bytes is above the limit of {bytes_max}")]
    TooLarge {
        /// The table written to.
        table: &'static str,
        /// `key` or `value`.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The cap it exceeds.
        bytes_max: usize,
    },
    /// Bytes on disk that this version cannot read as the table's type.
    #[error("{table}: unreadable record: {why}")]
    Corrupt {
        /// The table read from.
        table: &'static str,
        /// What the decoder said.
        why: String,
    },
    /// The closure panicked. It left nothing behind.
    #[error("a transaction panicked and was undone: {0}")]
    Panicked(String),
    /// The folder cannot be opened or read.
    #[error("{}: {why}", dir.display())]
    Io {
        /// The store's folder.
        dir: PathBuf,
        /// What the operating system or the engine said.
        why: String,
    },
}
