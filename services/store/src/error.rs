//! The errors of a store, with texts for the operator who has to act on them.

use std::any::Any;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The reason why the store refused or failed. A variant exists only where a caller or an
/// operator acts differently. Cloneable, because a failed batch fails many callers.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The writer's queue is full. Nothing was written: the caller may try again.
    #[error("the store's queue is full; nothing was written, try again")]
    Busy,
    /// The disk is nearly full. Nothing was written; reads go on, and writes resume as soon
    /// as there is space.
    #[error("the disk of {} is nearly full; nothing was written. Free some space: writes then resume without a restart", .0.display())]
    Full(PathBuf),
    /// A commit or sync failed. Whether the writes are durable is unknown, and no further
    /// write is accepted: the process must end and reopen the store.
    #[error("the store stopped after a failed write and must be reopened: {0}")]
    Poisoned(String),
    /// Another process holds the folder.
    #[error("{} is in use by another process; one process at a time can open it", .0.display())]
    Locked(PathBuf),
    /// A key or a value above its limit, which a limit of the domain should have refused.
    #[error("{table}: a {what} of {bytes} bytes is above the limit of {bytes_max}")]
    TooLarge {
        /// The table written to.
        table: &'static str,
        /// `key` or `value`.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// Bytes on disk that this version cannot read as the table's type.
    #[error("{table}: unreadable record: {why}")]
    Corrupt {
        /// The table read from.
        table: &'static str,
        /// The decoder's error.
        why: String,
    },
    /// A file of the store is damaged, missing, or a copy of another moment.
    #[error("{}: {why}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it, and what is missing.
        why: String,
    },
    /// A snapshot's frames were taken too slowly, so some of its records are gone.
    #[error("the copy fell behind what the store writes; begin it again")]
    Behind,
    /// The closure panicked, and its writes were rolled back.
    #[error("a transaction panicked and was undone: {0}")]
    Panicked(String),
    /// The folder cannot be opened or read.
    #[error("{}: {why}", dir.display())]
    Io {
        /// The store's folder.
        dir: PathBuf,
        /// The kind of the operating system's error.
        kind: io::ErrorKind,
        /// The error of the operating system or the engine.
        why: String,
    },
}

impl Error {
    /// The error of the operating system about something in a store's folder.
    pub fn io(dir: &Path, what: impl fmt::Display, error: &io::Error) -> Self {
        let remedy = match error.kind() {
            io::ErrorKind::PermissionDenied => "; the user of this process must own it",
            _ => "",
        };
        let why = format!("{what}: {error}{remedy}");
        Self::Io { dir: dir.to_owned(), kind: error.kind(), why }
    }
}

/// The text that a panic was raised with.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into())
}
