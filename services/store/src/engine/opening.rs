//! Opening the database folder: its lock, files that a killed process left behind, and a
//! snapshot or settings that do not read.
//!
//! **Invariant:** one process at a time has the folder open, and only that one removes files.

use std::fs::{File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::Error;
use crate::disk_reserve::DiskReserve;
use crate::error::panic_text;

/// sled's own lock outlives a closed database by a moment: its background threads
/// hold it. Our own lock excludes other processes, so opening waits for it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// The database as it was before it was opened without its snapshot; salvage reads it.
pub(crate) const KEPT_DATABASE: &str = "db.kept";

/// How long opening waits for the folder's lock. A store that was just closed is held by the last
/// task that reads it, for as long as a busy machine takes to end that.
const FOLDER_TIMEOUT: Duration = Duration::from_secs(1);
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// Locks the folder for this process, or fails when another process has it.
pub(crate) fn lock(dir: &Path) -> Result<File, Error> {
    let failed = |error: io::Error| Error::io(dir, "its lock", &error);
    let path = dir.join("lock");
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    let file = options.open(&path).map_err(failed)?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if begun.elapsed() < FOLDER_TIMEOUT => {
                std::thread::sleep(RETRY_INTERVAL);
            }
            Err(TryLockError::WouldBlock) => return Err(Error::Locked(dir.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    let inode = |metadata: io::Result<Metadata>| metadata.map(|file| file.ino()).map_err(failed);
    match inode(file.metadata())? == inode(path.metadata())? {
        true => Ok(file),
        // Compaction has put another folder in this one's place meanwhile.
        false => Err(Error::Locked(dir.to_owned())),
    }
}

/// Renames snapshots and settings whose checksum does not hold. Both follow from the data. It
/// runs before sled opens, because sled's errors do not tell a bad snapshot from a bad
/// database. A database that is opened without its snapshot loses what does not read, so a
/// copy is kept until the store has opened.
pub(super) fn set_aside_unreadable(dir: &Path, disk_reserve: &DiskReserve) -> Result<(), Error> {
    let failed = |error| disk_reserve.failed(&error);
    let wanted = |name: &str| is_snapshot(name) || name == "conf";
    for file in files_named(dir, wanted).map_err(failed)? {
        let (kind, length_bytes) = match file.ends_with("conf") {
            true => ("conf", 0),
            false => ("snap", 8),
        };
        let bytes = std::fs::read(&file).map_err(failed)?;
        if has_checksum(&bytes, length_bytes) {
            continue;
        }
        if kind == "snap" {
            keep_database(dir, disk_reserve)?;
        }
        tracing::warn!(file = %file.display(), "the file does not read and is set aside; it follows from the data");
        let aside = file.with_file_name(format!("unreadable.{kind}"));
        std::fs::rename(&file, aside).map_err(failed)?;
    }
    Ok(())
}

/// Copies the database, unless that would fill the disk.
fn keep_database(dir: &Path, disk_reserve: &DiskReserve) -> Result<(), Error> {
    let failed = |error| disk_reserve.failed(&error);
    let (database, kept) = (dir.join("db"), dir.join(KEPT_DATABASE));
    if kept.exists() {
        return Ok(());
    }
    let size = match database.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata.map_err(failed)?.len(),
    };
    if !disk_reserve.has_room_for(size)? {
        tracing::warn!(file = %kept.display(), "the disk has no space for a copy of the database");
        return Ok(());
    }
    let draft = kept.with_extension("draft");
    std::fs::copy(&database, &draft).map_err(failed)?;
    File::open(&draft)
        .and_then(|copy| copy.sync_all())
        .and_then(|()| std::fs::rename(&draft, &kept))
        .map_err(failed)
}

/// Removes the copy of the database, if there is one: the store has opened.
pub(crate) fn remove_kept_database(dir: &Path) -> Result<(), Error> {
    match std::fs::remove_file(dir.join(KEPT_DATABASE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(dir, KEPT_DATABASE, &error))
        }
        _ => Ok(()),
    }
}

/// Removes what a compaction left that was cut off: an unfinished copy, or the old store. The
/// caller has the store open.
pub(crate) fn remove_unfinished(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(unfinished(dir)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The folder beside a store that compaction uses: not the same for that one itself.
pub(crate) fn unfinished(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(".compacted");
    dir.with_file_name(name)
}

/// Whether the last bytes are the checksum of those before; a length may lie between.
fn has_checksum(bytes: &[u8], length_bytes: usize) -> bool {
    let content = bytes.len().checked_sub(4 + length_bytes);
    content.filter(|length| *length > 0).is_some_and(|length| {
        bytes[length + length_bytes..] == crc32fast::hash(&bytes[..length]).to_le_bytes()
    })
}

/// Whether the files are at fault, and not the disk or another process.
pub(super) fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | InvalidData)
}

/// Opens the database.
pub(super) fn open_patiently(config: &sled::Config) -> sled::Result<sled::Db> {
    let begun = Instant::now();
    loop {
        // On some damage it panics instead of returning an error.
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
        match opened.unwrap_or_else(|panic| Err(sled::Error::ReportableBug(panic_text(&*panic)))) {
            Err(error)
                if error.to_string().contains("could not acquire lock")
                    && begun.elapsed() < LOCK_TIMEOUT =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            outcome => return outcome,
        }
    }
}

pub(super) fn remove_unfinished_snapshots(dir: &Path) -> io::Result<()> {
    let is_unfinished = |name: &str| is_snapshot(name) && name.ends_with(".generating");
    for file in files_named(dir, is_unfinished)? {
        tracing::info!(file = %file.display(), "removing a snapshot whose making was cut off");
        std::fs::remove_file(file)?;
    }
    Ok(())
}

/// Removes the snapshots of a copy.
pub(crate) fn remove_snapshots(dir: &Path) -> io::Result<()> {
    let snapshots = files_named(dir, is_snapshot)?;
    snapshots.iter().try_for_each(std::fs::remove_file)
}

/// Whether a file of this name is sled's snapshot of where its pages lie.
pub(crate) fn is_snapshot(name: &str) -> bool {
    name.starts_with("snap.")
}

fn files_named(dir: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if wanted(&entry.file_name().to_string_lossy()) {
            files.push(entry.path());
        }
    }
    Ok(files)
}

pub(super) fn unreadable(dir: &Path, why: &str) -> Error {
    Error::Damaged { file: dir.join("db"), why: why.to_owned() }
}
