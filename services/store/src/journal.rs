//! The write-ahead journal, which makes a batch durable before the database has it.
//!
//! Two segments (files) alternate. A batch is one record, appended and synced; its rows
//! are in a memtable (see `memtables`). When a segment is full the journal rotates to the
//! other one, and a checkpoint moves the rows of the full one into the database beside
//! the running work. Opening replays what no checkpoint had finished: rows are whole
//! values, so applying them twice ends the same (see `recovery`).
//!
//! **Invariants:** a row is in the database only if its record is synced. A segment is
//! written over only once the database has all its rows, synced, and begins empty. One
//! record is written at a time, so only the last can be torn; anything else that does not
//! read is damage and reported. A segment has the blocks of a record before its batch is
//! visible: a full disk refuses the batch and never leaves half a record.

mod recovery;
mod salvage;
mod segment;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use self::recovery::{FILES, Recovered, recover};
pub(crate) use self::salvage::{SalvagedRecords, salvage_records};
use self::segment::{
    ACKNOWLEDGED_AT, RECORD_HEAD_BYTES, SEGMENT_HEAD_BYTES, SegmentHead, acknowledged,
};
use crate::Error;
use crate::engine::Engine;
use crate::overlay::Rows;
use crate::rows::{self, length};
use crate::view::View;

/// A segment above this size is rotated and its memtable checkpointed, in bytes. The
/// journal takes twice as much on disk, the memtables a few times as much in memory under
/// load, and a replay after a crash as much. When batches come faster than checkpoints, a
/// rotation waits for the checkpoint before: the longer, the larger this is.
const SEGMENT_BYTES_MAX: u64 = 256 * 1024;

/// How far a segment grows at once, in bytes: a sync of blocks that exist takes half the
/// time of one that adds some.
const GROWTH_BYTES: u64 = 256 * 1024;

/// The open journal of a store, owned by its writer.
pub(crate) struct Journal {
    dir: PathBuf,
    files: [File; 2],
    sizes: [u64; 2],
    sync: fn(&File) -> io::Result<()>,
    /// The store's random number (see `stamp`).
    store: u64,
    /// The number of the last record that the database has.
    complete: u64,
    generation: u64,
    /// The number of the last record before the active segment.
    base: u64,
    /// The number of the last record.
    number: u64,
    /// The offset of the next record.
    end: u64,
    /// The running checkpoint of the previous segment, which ends at `base`.
    checkpoint: Option<JoinHandle<Result<(), Error>>>,
    record: Vec<u8>,
}

impl Journal {
    /// Opens the journal in `dir` and replays it into `engine`.
    ///
    /// # Errors
    /// [`Error::Io`] from the disk; [`Error::Damaged`] for a journal that does not read or
    /// does not fit the database.
    pub(crate) fn open(
        dir: &Path,
        sync: fn(&File) -> io::Result<()>,
        engine: &Engine,
    ) -> Result<Self, Error> {
        let failed = |error: io::Error| io_error(dir, &error);
        let read = |name: &str| read_synced(&dir.join(name), sync).map_err(failed);
        let segments = [read(FILES[0])?, read(FILES[1])?];
        let sizes = segments
            .each_ref()
            .map(|segment| segment.as_ref().map_or(0, Vec::len) as u64);
        let Recovered { store, has_journal, generation, number } = recover(dir, segments, engine)?;
        let create = |name: &str| {
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(false);
            options.open(dir.join(name)).map_err(failed)
        };
        let mut journal = Self {
            dir: dir.to_owned(),
            files: [create(FILES[0])?, create(FILES[1])?],
            sizes,
            sync,
            store,
            complete: number,
            generation,
            base: number,
            number,
            end: 0,
            checkpoint: None,
            record: Vec::new(),
        };
        if !has_journal {
            journal.begin(generation).map_err(failed)?;
        }
        journal.begin(generation + 1).map_err(failed)?;
        if !has_journal {
            // The entries of the files must be durable, too.
            let entries = File::open(dir).and_then(|entries| entries.sync_all());
            entries.map_err(failed)?;
            engine.change_stamp(|stamp| stamp.has_journal = true)?;
        }
        Ok(journal)
    }

    /// Encodes batches, the later over the earlier, as the next record and allocates its blocks.
    ///
    /// # Errors
    /// [`Error::Full`], and nothing happened; others when the checkpoint failed.
    pub(crate) fn prepare(
        &mut self,
        view: &Arc<View>,
        batches: &[&BTreeMap<&'static str, Rows>],
    ) -> Result<(), Error> {
        self.poll_checkpoint(view)?;
        if self.is_full() {
            // The rotation met a full disk.
            self.rotate(view)?;
        }
        let record = &mut self.record;
        record.clear();
        record.resize(RECORD_HEAD_BYTES, 0);
        for (table, of_table) in batches.iter().copied().flatten() {
            let of_table = of_table.iter().map(|(key, value)| (key, value.as_ref()));
            rows::encode(table, of_table, record);
        }
        let length = length(record.len() - RECORD_HEAD_BYTES);
        record[4..8].copy_from_slice(&length.to_le_bytes());
        record[8..16].copy_from_slice(&self.generation.to_le_bytes());
        record[16..24].copy_from_slice(&(self.number + 1).to_le_bytes());
        let checksum = crc32fast::hash(&record[4..]);
        record[..4].copy_from_slice(&checksum.to_le_bytes());
        self.grow()
            .map_err(|error| view.engine.disk_reserve.failed(&error))
    }

    /// Allocates blocks for the prepared record.
    fn grow(&mut self) -> io::Result<()> {
        let place = self.place();
        let (file, size) = (&self.files[place], &mut self.sizes[place]);
        let end = self.end + self.record.len() as u64;
        if end > *size {
            let grown = end.next_multiple_of(GROWTH_BYTES);
            // Zeros begin no record: its checksum would not be zero.
            let zeros = vec![0; usize::try_from(grown - *size).unwrap_or(0)];
            file.write_all_at(&zeros, *size)?;
            *size = grown;
        }
        Ok(())
    }

    /// Appends the prepared record; it is durable when this returns.
    ///
    /// # Errors
    /// [`Error::Io`]; whether the batch is durable is then unknown.
    pub(crate) fn append(&mut self) -> Result<(), Error> {
        let record = std::mem::take(&mut self.record);
        self.write(&record)
            .map_err(|error| io_error(&self.dir, &error))?;
        self.number += 1;
        self.end += record.len() as u64;
        self.record = record;
        // Not synced, and lost without harm: it only tells damage from a torn record.
        let other = &self.files[1 - self.place()];
        let _ = other.write_all_at(&acknowledged(self.number), ACKNOWLEDGED_AT);
        Ok(())
    }

    /// The number of the last record.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The rows of the record that was prepared last.
    pub(crate) fn rows(&self) -> &[u8] {
        self.record.get(RECORD_HEAD_BYTES..).unwrap_or_default()
    }

    fn write(&self, record: &[u8]) -> io::Result<()> {
        let file = &self.files[self.place()];
        file.write_all_at(record, self.end)?;
        (self.sync)(file)
    }

    fn place(&self) -> usize {
        usize::from(self.generation % 2 == 1)
    }

    /// Whether the active segment is to be rotated.
    pub(crate) fn is_full(&self) -> bool {
        self.end >= SEGMENT_BYTES_MAX
    }

    /// Rotates a full segment. On a full disk the next batch tries again.
    ///
    /// # Errors
    /// When the checkpoint before failed.
    pub(crate) fn rotate_if_full(&mut self, view: &Arc<View>) -> Result<(), Error> {
        if !self.is_full() {
            return Ok(());
        }
        match self.rotate(view) {
            Err(Error::Full(_)) => Ok(()),
            outcome => outcome,
        }
    }

    fn rotate(&mut self, view: &Arc<View>) -> Result<(), Error> {
        // One checkpoint runs at a time, and its segment is not written over before.
        self.finish_checkpoint(view)?;
        view.memtables.rotate();
        self.base = self.number;
        self.start_checkpoint(view)?;
        self.begin(self.generation + 1)
            .map_err(|error| io_error(&self.dir, &error))
    }

    fn start_checkpoint(&mut self, view: &Arc<View>) -> Result<(), Error> {
        let checkpoint = std::thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(view.checkpoint(self.base))
            .map_err(|error| io_error(&self.dir, &error))?;
        self.checkpoint = Some(checkpoint);
        Ok(())
    }

    /// Makes the segment of `generation` the active one, empty: its head names the
    /// generation, so that no earlier record in the file counts.
    fn begin(&mut self, generation: u64) -> io::Result<()> {
        self.generation = generation;
        self.end = SEGMENT_HEAD_BYTES as u64;
        let (place, store, base) = (self.place(), self.store, self.base);
        let head = SegmentHead { store, generation, base }.encode();
        self.files[place].write_all_at(&head, 0)?;
        self.sizes[place] = self.sizes[place].max(head.len() as u64);
        (self.sync)(&self.files[place])
    }

    /// Notices a checkpoint that has ended, and starts one again that met a full disk.
    fn poll_checkpoint(&mut self, view: &Arc<View>) -> Result<(), Error> {
        self.ensure_checkpoint(view)?;
        match self.checkpoint.take_if(|running| running.is_finished()) {
            Some(ended) => match self.end_checkpoint(ended) {
                Err(Error::Full(_)) => Ok(()),
                outcome => outcome,
            },
            None => Ok(()),
        }
    }

    /// Waits until the database has the previous generation.
    ///
    /// # Errors
    /// [`Error::Full`] when the disk has no space for it; the error of the checkpoint.
    fn finish_checkpoint(&mut self, view: &Arc<View>) -> Result<(), Error> {
        self.ensure_checkpoint(view)?;
        match self.checkpoint.take() {
            Some(running) => self.end_checkpoint(running),
            None => Ok(()),
        }
    }

    fn ensure_checkpoint(&mut self, view: &Arc<View>) -> Result<(), Error> {
        if self.complete < self.base && self.checkpoint.is_none() {
            self.start_checkpoint(view)?;
        }
        Ok(())
    }

    fn end_checkpoint(&mut self, checkpoint: JoinHandle<Result<(), Error>>) -> Result<(), Error> {
        let outcome = checkpoint.join();
        let panicked = || Error::Panicked("a checkpoint".into());
        outcome.unwrap_or_else(|_| Err(panicked()))?;
        self.complete = self.base;
        Ok(())
    }

    /// Leaves nothing to replay.
    ///
    /// # Errors
    /// [`Error::Io`]; then there is something to replay.
    pub(crate) fn close(mut self, view: &Arc<View>) -> Result<(), Error> {
        if self.number > self.base {
            self.rotate(view)?;
        }
        self.finish_checkpoint(view)?;
        view.engine.change_stamp(|stamp| stamp.closed = true)
    }
}

/// Reads a file after a sync, or `None` if there is none: a killed process may have written
/// without one, and if the power were cut during the replay, the database would have part
/// of a batch for good.
fn read_synced(file: &Path, sync: fn(&File) -> io::Result<()>) -> io::Result<Option<Vec<u8>>> {
    let file = match File::options().read(true).write(true).open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    sync(&file)?;
    let mut bytes = Vec::new();
    (&file).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn io_error(dir: &Path, error: &io::Error) -> Error {
    Error::io(dir, "its journal", error)
}

#[cfg(test)]
mod tests;
