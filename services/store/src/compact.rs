//! Compaction: a store at rest is written anew, without what its file holds beside its rows.
//!
//! The engine leaves replaced pages in its file and fills pages half. A new store of the same
//! rows is made beside the old one, opened once, and then both folders change places at once.
//!
//! **Invariants:** until they do, the old store is as it was; afterwards the new one is
//! complete and durable. Whatever a kill leaves in the folder beside is of no use then, and
//! the next opening removes it. A copy whose rows are not those that were written is
//! discarded.

use std::io;
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::Serialize;

use crate::builder::StoreBuilder;
use crate::engine::{Engine, lock, remove_unfinished, unfinished};
use crate::journal::Journal;
use crate::{Error, Options, Store};

/// What compaction did to a store.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Compacted {
    /// The rows of the store.
    pub rows: u64,
    /// The bytes on disk before.
    pub bytes_before: u64,
    /// The bytes on disk after; as before if a new store would not be smaller.
    pub bytes_after: u64,
}

/// Writes the store in `dir` anew. Blocks. `progress` is called with the number of rows
/// copied so far, and of all rows.
///
/// # Errors
/// [`Error::Locked`] while a process has it open; [`Error::Full`] if the disk has no space
/// for a second copy; [`Error::Damaged`] if its rows are not those that were written. The
/// store is as it was then.
pub fn compact(
    dir: &Path,
    options: &Options,
    progress: impl FnMut(u64, u64),
) -> Result<Compacted, Error> {
    let engine = Engine::open(dir, options)?;
    // Absolute: a relative path of one word has no parent to sync.
    let dir = &engine.dir().to_owned();
    let failed = |error: io::Error| Error::io(dir, "its compaction", &error);
    remove_unfinished(dir).map_err(failed)?;
    let bytes_before = bytes_on_disk(dir).map_err(failed)?;
    if !engine.disk_reserve.has_room_for(bytes_before)? {
        let mib = bytes_before.div_ceil(1024 * 1024);
        let why = format!("its compaction needs {mib} MiB on the disk, above what is kept free");
        return Err(Error::Io { dir: dir.to_owned(), kind: io::ErrorKind::StorageFull, why });
    }
    // What only the journal has goes into the database.
    let last = Journal::open(dir, options.sync, &engine)?.number();
    let unfinished = unfinished(dir);
    let rows = copy(&engine, &unfinished, last, options, progress)?;
    // Its first opening makes its journal.
    Store::open(&unfinished, options)?.close();
    if bytes_on_disk(&unfinished).map_err(failed)? >= bytes_before {
        // It has no dead weight.
        remove_unfinished(dir).map_err(failed)?;
        return Ok(Compacted { rows, bytes_before, bytes_after: bytes_before });
    }
    renameat_with(CWD, &unfinished, CWD, dir, RenameFlags::EXCHANGE)
        .map_err(|error| failed(error.into()))?;
    sync_folder(dir.parent()).map_err(failed)?;
    drop(engine);
    remove_unfinished(dir).map_err(failed)?;
    let bytes_after = bytes_on_disk(dir).map_err(failed)?;
    Ok(Compacted { rows, bytes_before, bytes_after })
}

/// Whether a process has the store in `dir` open.
///
/// # Errors
/// [`Error::Io`] if that cannot be seen.
pub fn is_open(dir: &Path) -> Result<bool, Error> {
    match lock(dir) {
        Ok(_) => Ok(false),
        Err(Error::Locked(_)) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Copies all rows of a database into a new store; returns their number.
fn copy(
    engine: &Engine,
    into: &Path,
    last: u64,
    options: &Options,
    mut progress: impl FnMut(u64, u64),
) -> Result<u64, Error> {
    let (mut copied, all) = (0, engine.row_count());
    let mut copy = StoreBuilder::create(into, options, last)?;
    for table in engine.tables() {
        let in_key_order = false;
        for row in engine.scan(&table, (Bound::Unbounded, Bound::Unbounded), in_key_order)? {
            let (key, value) = row?;
            copy.add(&table, key, value)?;
            copied += 1;
            progress(copied, all);
        }
    }
    copy.write()?;
    if copy.digests() != engine.digests() {
        return Err(Error::Damaged {
            file: engine.dir().join("db"),
            why: "its rows are not those that were written; `konbini check` says which".into(),
        });
    }
    copy.finish()?;
    Ok(copied)
}

/// The bytes that the files of a folder take on disk, without the blocks that they own beyond
/// their end: a store has those only after its first checkpoint (see `disk_reserve`).
fn bytes_on_disk(dir: &Path) -> io::Result<u64> {
    /// The unit of `st_blocks`, whatever the file system's own blocks are.
    const BLOCK_BYTES: u64 = 512;
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let file = entry?.metadata()?;
        bytes += file.len().min(file.blocks() * BLOCK_BYTES);
    }
    Ok(bytes)
}

fn sync_folder(folder: Option<&Path>) -> io::Result<()> {
    match folder {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
