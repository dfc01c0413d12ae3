//! The write-ahead journal, which makes a batch durable before the database has it.
//!
//! Two segments (files) alternate. A batch is one record, appended and synced; its rows
//! are in a memtable (see `memtables`). When a segment is full the journal rotates to the
//! other one, and a checkpoint moves the rows of the full one into the database beside
//! the running work. Opening replays what no checkpoint had finished: rows are whole
//! values, so applying them twice, or over newer ones, ends the same.
//!
//! **Invariants:** a row is in the database only if its record is synced. A segment is
//! written over only once the database has all its rows, synced, and begins empty. One
//! record is written at a time, so only the last can be torn; anything else that does not
//! read is damage and reported. A segment has the blocks of a record before its batch is
//! visible: a full disk refuses the batch and never leaves half a record.

mod segment;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use self::segment::{Segment, decode, encode, length};
use crate::Error;
use crate::engine::Engine;
use crate::overlay::Overlay;
use crate::view::View;

/// A segment above this size is rotated and its memtable checkpointed, in bytes. The
/// journal takes twice as much on disk, the memtables a few times as much in memory under
/// load, and a replay after a crash as much. When batches come faster than checkpoints, a
/// rotation waits for the checkpoint before: the longer, the larger this is.
const SEGMENT_BYTES_MAX: u64 = 256 * 1024;

/// How far a segment grows at once, in bytes: a sync of blocks that exist takes half the
/// time of one that adds some.
const GROWTH_BYTES: u64 = 256 * 1024;

const HEAD_BYTES: usize = 32;

/// The open journal of a store, owned by its writer.
pub(crate) struct Journal {
    dir: PathBuf,
    files: [File; 2],
    sizes: [u64; 2],
    sync: fn(&File) -> io::Result<()>,
    generation: u64,
    /// The number of the last record.
    number: u64,
    /// The offset of the next record.
    end: u64,
    /// The last generation that the database has: the previous one, or, while its
    /// checkpoint runs, the one before that.
    checkpointed: u64,
    /// The running checkpoint of the previous generation.
    checkpoint: Option<JoinHandle<Result<(), Error>>>,
    record: Vec<u8>,
}

impl Journal {
    /// Opens the journal in `dir` and replays it into `engine`.
    ///
    /// # Errors
    /// [`Error::Io`] from the disk; [`Error::Corrupt`] for a damaged record.
    pub(crate) fn open(
        dir: &Path,
        sync: fn(&File) -> io::Result<()>,
        engine: &Engine,
    ) -> Result<Self, Error> {
        let failed = |error: io::Error| io_error(dir, &error);
        let open = |name: &str| {
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(false);
            options.open(dir.join(name))
        };
        let files = [
            open("journal.0").map_err(failed)?,
            open("journal.1").map_err(failed)?,
        ];
        // The entries of the files must be durable, too.
        let entries = File::open(dir).and_then(|entries| entries.sync_all());
        entries.map_err(failed)?;
        let mut segments = Vec::new();
        let mut sizes = [0; 2];
        for (file, size) in files.iter().zip(&mut sizes) {
            // A killed process may have written without a sync. If the power were cut
            // during the replay, the database would have part of a batch for good.
            sync(file).map_err(failed)?;
            *size = file.metadata().map_err(failed)?.len();
            let mut bytes = vec![0; usize::try_from(*size).unwrap_or(usize::MAX)];
            file.read_exact_at(&mut bytes, 0).map_err(failed)?;
            segments.extend(Segment::read(bytes)?);
        }
        segments.sort_by_key(|segment| segment.generation);
        if let [before, after] = &*segments
            && before.last + 1 != after.first
        {
            return Err(damaged("records between its two files are missing"));
        }
        let checkpointed = segments
            .iter()
            .map(|segment| segment.checkpointed)
            .max()
            .unwrap_or(0);
        let replayed = segments
            .iter()
            .filter(|segment| segment.generation > checkpointed);
        let mut tables = BTreeMap::new();
        for rows in replayed.flat_map(Segment::batches) {
            decode(rows, &mut tables).ok_or_else(|| damaged("rows that do not read"))?;
        }
        engine.checkpoint(&tables)?;
        let last = segments.last();
        let generation = last.map_or(0, |segment| segment.generation);
        let mut journal = Self {
            dir: dir.to_owned(),
            files,
            sizes,
            sync,
            generation,
            number: last.map_or(0, |segment| segment.last),
            end: 0,
            checkpointed: generation,
            checkpoint: None,
            record: Vec::new(),
        };
        journal.begin().map_err(failed)?;
        Ok(journal)
    }

    /// Encodes a batch as the next record and allocates its blocks.
    ///
    /// # Errors
    /// [`Error::Full`], and nothing happened; others when the checkpoint failed.
    pub(crate) fn prepare(&mut self, view: &Arc<View>, batch: &Overlay) -> Result<(), Error> {
        self.poll_checkpoint(view)?;
        if self.end >= SEGMENT_BYTES_MAX {
            // The rotation met a full disk.
            self.rotate(view)?;
        }
        let record = &mut self.record;
        record.clear();
        record.resize(HEAD_BYTES, 0);
        encode(batch, record);
        let length = length(record.len() - HEAD_BYTES);
        record[4..8].copy_from_slice(&length.to_le_bytes());
        record[8..16].copy_from_slice(&self.generation.to_le_bytes());
        record[16..24].copy_from_slice(&(self.number + 1).to_le_bytes());
        record[24..32].copy_from_slice(&self.checkpointed.to_le_bytes());
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
        Ok(())
    }

    fn write(&self, record: &[u8]) -> io::Result<()> {
        let file = &self.files[self.place()];
        file.write_all_at(record, self.end)?;
        (self.sync)(file)
    }

    fn place(&self) -> usize {
        usize::from(self.generation % 2 == 1)
    }

    /// Rotates a full segment. On a full disk the next batch tries again.
    ///
    /// # Errors
    /// When the checkpoint before failed.
    pub(crate) fn rotate_if_full(&mut self, view: &Arc<View>) -> Result<(), Error> {
        if self.end < SEGMENT_BYTES_MAX {
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
        self.start_checkpoint(view)?;
        self.begin().map_err(|error| io_error(&self.dir, &error))
    }

    fn start_checkpoint(&mut self, view: &Arc<View>) -> Result<(), Error> {
        let checkpoint = std::thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(view.checkpoint())
            .map_err(|error| io_error(&self.dir, &error))?;
        self.checkpoint = Some(checkpoint);
        Ok(())
    }

    /// Begins the other segment, empty: a power cut can tear a record so that its end is
    /// written and its beginning is not, and a torn first record would leave half of the
    /// earlier generation, which reads as damage.
    fn begin(&mut self) -> io::Result<()> {
        self.generation += 1;
        self.end = 0;
        let place = self.place();
        if self.sizes[place] == 0 {
            return Ok(());
        }
        self.files[place].write_all_at(&[0; HEAD_BYTES], 0)?;
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
        if self.checkpointed + 1 < self.generation && self.checkpoint.is_none() {
            self.start_checkpoint(view)?;
        }
        Ok(())
    }

    fn end_checkpoint(&mut self, checkpoint: JoinHandle<Result<(), Error>>) -> Result<(), Error> {
        let outcome = checkpoint.join();
        outcome.unwrap_or_else(|_| Err(damaged("a checkpoint panicked")))?;
        self.checkpointed = self.generation - 1;
        Ok(())
    }

    /// Leaves nothing to replay.
    ///
    /// # Errors
    /// [`Error::Io`]; then there is something to replay.
    pub(crate) fn close(mut self, view: &Arc<View>) -> Result<(), Error> {
        if self.end == 0 && self.checkpointed + 1 == self.generation {
            return Ok(());
        }
        if self.end > 0 {
            self.rotate(view)?;
        }
        self.finish_checkpoint(view)?;
        self.prepare(view, &Overlay::default())?;
        self.append()
    }
}

fn io_error(dir: &Path, error: &io::Error) -> Error {
    Error::Io { dir: dir.to_owned(), why: format!("its journal: {error}") }
}

fn damaged(why: &str) -> Error {
    Error::Corrupt { table: "journal", why: why.into() }
}

#[cfg(test)]
mod tests;
