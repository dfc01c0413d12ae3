//! Opening the database folder: its lock, files that a killed process left behind, and a
//! snapshot or settings that do not read.
//!
//! **Invariant:** one process at a time has the folder open, and only that one removes files.

use std::fs::{File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::Error;
use crate::error::panic_text;

/// sled's own lock outlives a closed database by a moment: its background threads
/// hold it. Our own lock excludes other processes, so opening waits for it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Locks the folder for this process, or fails when another process has it.
pub(super) fn lock(dir: &Path) -> Result<File, Error> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join("lock"))
        .map_err(TryLockError::Error)
        .and_then(|file| file.try_lock().map(|()| file))
        .map_err(|error| match error {
            TryLockError::WouldBlock => Error::Locked(dir.to_owned()),
            TryLockError::Error(error) => {
                Error::io(dir, "its lock", &error)
            }
        })
}

/// Opens the database, if need be without its snapshot and its settings: the one can be made
/// anew from the data, and the others are always the same.
pub(super) fn open_with_data_alone(dir: &Path, config: &sled::Config) -> sled::Result<sled::Db> {
    let refused = match open_patiently(config) {
        Err(error) if is_damage(&error) => error,
        outcome => return outcome,
    };
    let derived = files_named(dir, |name| name.starts_with("snap.") || name == "conf")?;
    if derived.is_empty() {
        return Err(refused);
    }
    let aside = |file: &Path| {
        let kind = if file.ends_with("conf") { "conf" } else { "snap" };
        file.with_file_name(format!("unreadable.{kind}"))
    };
    for file in &derived {
        std::fs::rename(file, aside(file))?;
    }
    let opened = open_patiently(config);
    for file in &derived {
        match opened {
            Ok(_) => {
                tracing::warn!(file = %file.display(), why = %refused, "a file that follows from the data did not read and was set aside");
            }
            // It was not the reason.
            Err(_) => std::fs::rename(aside(file), file)?,
        }
    }
    opened
}

/// Whether the files are at fault, and not the disk or another process.
pub(super) fn is_damage(error: &sled::Error) -> bool {
    match error {
        sled::Error::Io(error) => matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData
        ),
        _ => true,
    }
}

fn open_patiently(config: &sled::Config) -> sled::Result<sled::Db> {
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
    let is_unfinished = |name: &str| name.starts_with("snap.") && name.ends_with(".generating");
    for file in files_named(dir, is_unfinished)? {
        tracing::info!(file = %file.display(), "removing a snapshot whose making was cut off");
        std::fs::remove_file(file)?;
    }
    Ok(())
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
