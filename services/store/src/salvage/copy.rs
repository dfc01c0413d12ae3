//! The copy of a damaged store that salvage reads.
//!
//! Opening a database changes it, and a disk that fails reads some blocks and not others. So
//! every file is copied first, with zeros for the blocks that do not read: their checksums do
//! not hold, and the rest of the file is read around them.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::engine::{Engine, KEPT_DATABASE, is_snapshot, lock, remove_snapshots};
use crate::{Error, Options};

/// What is read at once, in bytes.
const CHUNK_BYTES: usize = 1024 * 1024;

/// The part of a chunk that is read alone when the chunk does not read, in bytes: a page of
/// the kernel's cache, which holds a sector of any disk.
const BLOCK_BYTES: usize = 4096;

/// The copy; removed when dropped.
pub(super) struct Copy {
    dir: PathBuf,
    /// The damaged database.
    database: PathBuf,
    unreadable: Vec<String>,
    /// Keeps other processes away from the damaged store.
    _lock: File,
}

impl Copy {
    /// Copies the store in `from` beside the new store `into`.
    pub(super) fn of(from: &Path, into: &Path, options: &Options) -> Result<Self, Error> {
        let lock = lock(from)?;
        let dir = into.with_extension("copy");
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::StorageFull => Error::Full(dir.clone()),
            _ => Error::io(&dir, "copy of the damaged store", &error),
        };
        let kept = from.join(KEPT_DATABASE);
        let has_kept = kept.is_file();
        let database = if has_kept { kept } else { from.join("db") };
        let mut copy = Self {
            dir: dir.clone(),
            database,
            unreadable: Vec::new(),
            _lock: lock,
        };
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).map_err(failed)?;
        // The copy, what opening it keeps, and the new store.
        let size = std::fs::metadata(&copy.database).map_or(0, |db| db.len());
        if (options.free_bytes)(&dir).map_err(failed)? < 3 * size {
            return Err(Error::Full(dir));
        }
        for entry in std::fs::read_dir(from).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            let belongs_to_database = has_kept && is_snapshot(name);
            let is_copied = path.is_file() && !["lock", "db", KEPT_DATABASE].contains(&name);
            if is_copied && !belongs_to_database {
                let unreadable = copy_file(&path, &dir.join(name)).map_err(failed)?;
                copy.unreadable.extend(unreadable);
            }
        }
        let unreadable = copy.copy_database().map_err(failed)?;
        copy.unreadable.extend(unreadable);
        Ok(copy)
    }

    fn copy_database(&self) -> io::Result<Vec<String>> {
        match copy_file(&self.database, &self.dir.join("db")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            copied => copied,
        }
    }

    /// The copy's folder.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The places that the disk does not read.
    pub(super) fn unreadable(&self) -> &[String] {
        &self.unreadable
    }

    /// Opens the database with its snapshot, or else what reads of it without.
    pub(super) fn open(&self, options: &Options) -> Result<Engine, Error> {
        match Engine::open(&self.dir, options) {
            Err(Error::Damaged { .. }) => {}
            opened => return opened,
        }
        remove_snapshots(&self.dir)
            .and_then(|()| self.copy_database())
            .map_err(|error| Error::io(&self.dir, "its snapshot", &error))?;
        Engine::open(&self.dir, options)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What is left of it is removed by the next salvage.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Copies a file, and returns the places that do not read.
fn copy_file(from: &Path, to: &Path) -> io::Result<Vec<String>> {
    let (source, target) = (File::open(from)?, File::create(to)?);
    let length = source.metadata()?.len();
    let read = |bytes: &mut [u8], at| source.read_exact_at(bytes, at);
    let unreadable = copy_readable(length, read, |bytes, at| target.write_all_at(bytes, at))?;
    let name = from.file_name().unwrap_or_default().to_string_lossy();
    let place = |at| format!("{name}: {BLOCK_BYTES} bytes at {at} do not read");
    Ok(unreadable.into_iter().map(place).collect())
}

/// Copies `length` bytes, and returns where blocks begin that do not read.
///
/// # Errors
/// Those of `write`.
fn copy_readable(
    length: u64,
    read: impl Fn(&mut [u8], u64) -> io::Result<()>,
    write: impl Fn(&[u8], u64) -> io::Result<()>,
) -> io::Result<Vec<u64>> {
    let mut unreadable = Vec::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    for at in (0..length).step_by(CHUNK_BYTES) {
        let rest = usize::try_from(length - at).unwrap_or(CHUNK_BYTES);
        let bytes = &mut chunk[..rest.min(CHUNK_BYTES)];
        if read(bytes, at).is_err() {
            for (number, block) in (0..).zip(bytes.chunks_mut(BLOCK_BYTES)) {
                let at = at + number * BLOCK_BYTES as u64;
                if read(block, at).is_err() {
                    block.fill(0);
                    unreadable.push(at);
                }
            }
        }
        write(bytes, at)?;
    }
    Ok(unreadable)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn blocks_that_do_not_read_are_zeros_and_named() {
        let length = 2 * CHUNK_BYTES + BLOCK_BYTES + 10;
        let source: Vec<u8> = (1..=251).cycle().take(length).collect();
        let bad = [CHUNK_BYTES + 5, 2 * CHUNK_BYTES + BLOCK_BYTES + 3];
        let copied = RefCell::new(vec![0; length]);
        let read = |bytes: &mut [u8], at| {
            let at = usize::try_from(at).unwrap();
            let range = at..at + bytes.len();
            if bad.iter().any(|place| range.contains(place)) {
                return Err(io::Error::from_raw_os_error(5));
            }
            bytes.copy_from_slice(&source[range]);
            Ok(())
        };
        let write = |bytes: &[u8], at| {
            let at = usize::try_from(at).unwrap();
            copied.borrow_mut()[at..at + bytes.len()].copy_from_slice(bytes);
            Ok(())
        };
        let unreadable = copy_readable(length as u64, read, write).unwrap();
        let places = [CHUNK_BYTES, 2 * CHUNK_BYTES + BLOCK_BYTES];
        assert_eq!(unreadable, places.map(|place| place as u64));
        let mut expected = source.clone();
        expected[places[0]..places[0] + BLOCK_BYTES].fill(0);
        expected[places[1]..].fill(0);
        assert!(*copied.borrow() == expected);
    }
}
