//! The write-ahead journal: what makes a batch durable, before the database has it.
//!
//! Two files take turns. A batch is one record, appended and synced; readers find its
//! rows in a layer above the database (see `layers`), which takes them in when a file
//! is full, beside the running work. Opening brings in whatever was not: rows are
//! whole values, so doing that twice, or over newer ones, ends the same.
//!
//! **Invariants:** a row is in the database only if its record is synced. A file is
//! written over only once the database has all its rows, synced, and begins empty.
//! Since one record is written at a time, only the last one can be torn; anything else
//! that does not read is damage, and is said rather than passed over. A file has the
//! blocks of a record before its batch is shown: a full disk refuses the batch, and
//! never leaves half of a record.

mod record;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use self::record::{Turn, decode, encode, length};
use crate::Error;
use crate::engine::Engine;
use crate::overlay::Overlay;
use crate::view::View;

/// A file above this size has had its turn. The journal takes twice as much on disk,
/// its layers a few times as much in memory while there is much to do, and opening
/// after a crash replays as much. While more comes than the database takes in, a
/// writer waits at each turn for the file before: as long as this is large.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// How far a file grows at once: syncing blocks that are there already takes half the
/// time of adding some.
const GROWTH_BYTES: u64 = 256 * 1024;

const HEAD_BYTES: usize = 32;

/// The open journal of a store, owned by its writer.
pub(crate) struct Journal {
    dir: PathBuf,
    files: [File; 2],
    sizes: [u64; 2],
    sync: fn(&File) -> io::Result<()>,
    generation: u64,
    /// Of the last record.
    number: u64,
    /// Where the next record goes.
    end: u64,
    /// The last generation that the database has: the one before this, or, until that
    /// is done, the one before that.
    settled: u64,
    /// What brings the generation before this one into the database.
    settling: Option<JoinHandle<Result<(), Error>>>,
    record: Vec<u8>,
}

impl Journal {
    /// Opens the journal in `dir` and brings `engine` up to its end.
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
        // The files must be found again.
        let entries = File::open(dir).and_then(|entries| entries.sync_all());
        entries.map_err(failed)?;
        let mut turns = Vec::new();
        let mut sizes = [0; 2];
        for (file, size) in files.iter().zip(&mut sizes) {
            // What a killed process wrote is perhaps in memory only; were the power cut
            // below, the database would have a part of a batch that nothing completes.
            sync(file).map_err(failed)?;
            *size = file.metadata().map_err(failed)?.len();
            let mut bytes = vec![0; usize::try_from(*size).unwrap_or(usize::MAX)];
            file.read_exact_at(&mut bytes, 0).map_err(failed)?;
            turns.extend(Turn::read(bytes)?);
        }
        turns.sort_by_key(|turn| turn.generation);
        if let [before, after] = &*turns
            && before.last + 1 != after.first
        {
            return Err(damaged("records between its two files are missing"));
        }
        let settled = turns.iter().map(|turn| turn.settled).max().unwrap_or(0);
        let unsettled = turns.iter().filter(|turn| turn.generation > settled);
        let mut tables = BTreeMap::new();
        for rows in unsettled.flat_map(Turn::batches) {
            decode(rows, &mut tables).ok_or_else(|| damaged("rows that do not read"))?;
        }
        engine.settle(&tables)?;
        let last = turns.last();
        let generation = last.map_or(0, |turn| turn.generation);
        let mut journal = Self {
            dir: dir.to_owned(),
            files,
            sizes,
            sync,
            generation,
            number: last.map_or(0, |turn| turn.last),
            end: 0,
            settled: generation,
            settling: None,
            record: Vec::new(),
        };
        journal.begin().map_err(failed)?;
        Ok(journal)
    }

    /// Makes a batch the record to be written next, and the room for it.
    ///
    /// # Errors
    /// [`Error::Full`], and nothing happened; others when the database could not take
    /// in what is older.
    pub(crate) fn prepare(&mut self, view: &Arc<View>, batch: &Overlay) -> Result<(), Error> {
        self.go_on_settling(view, false)?;
        if self.end >= FILE_BYTES_MAX {
            // It could not turn for want of room.
            self.turn(view)?;
        }
        let record = &mut self.record;
        record.clear();
        record.resize(HEAD_BYTES, 0);
        encode(batch, record);
        let length = length(record.len() - HEAD_BYTES);
        record[4..8].copy_from_slice(&length.to_le_bytes());
        record[8..16].copy_from_slice(&self.generation.to_le_bytes());
        record[16..24].copy_from_slice(&(self.number + 1).to_le_bytes());
        record[24..32].copy_from_slice(&self.settled.to_le_bytes());
        let checksum = crc32fast::hash(&record[4..]);
        record[..4].copy_from_slice(&checksum.to_le_bytes());
        self.grow().map_err(|error| view.engine.room.failed(&error))
    }

    /// Has the file take up blocks for the prepared record.
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

    /// Writes the prepared batch down; it is durable when this returns.
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

    /// Goes on in the other file when this one is full, and has the database take in
    /// what this one holds meanwhile. Without room for that, the next batch tries.
    ///
    /// # Errors
    /// When the database could not take in what is older.
    pub(crate) fn turn_if_full(&mut self, view: &Arc<View>) -> Result<(), Error> {
        if self.end < FILE_BYTES_MAX {
            return Ok(());
        }
        match self.turn(view) {
            Err(Error::Full(_)) => Ok(()),
            outcome => outcome,
        }
    }

    fn turn(&mut self, view: &Arc<View>) -> Result<(), Error> {
        // One layer settles at a time, and its file is not written over before.
        self.go_on_settling(view, true)?;
        view.layers.turn();
        self.settle(view)?;
        self.begin().map_err(|error| io_error(&self.dir, &error))
    }

    fn settle(&mut self, view: &Arc<View>) -> Result<(), Error> {
        let settling = std::thread::Builder::new()
            .name("store-settling".into())
            .spawn(view.settle())
            .map_err(|error| io_error(&self.dir, &error))?;
        self.settling = Some(settling);
        Ok(())
    }

    /// Goes on in the other file, which begins empty: a power cut can tear a record so
    /// that its end is written and its beginning is not, and the first one would then
    /// leave half of the turn before, which reads as damage.
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

    /// Takes in that the generation before this one is settled; if `wait`, once it
    /// is. What found no room on the disk is begun again.
    ///
    /// # Errors
    /// [`Error::Full`], if `wait`, when there is still none.
    fn go_on_settling(&mut self, view: &Arc<View>, wait: bool) -> Result<(), Error> {
        if self.settled + 1 < self.generation && self.settling.is_none() {
            self.settle(view)?;
        }
        let Some(settling) = self
            .settling
            .take_if(|running| wait || running.is_finished())
        else {
            return Ok(());
        };
        let settled = settling.join();
        match settled.unwrap_or_else(|_| Err(damaged("syncing the database panicked"))) {
            Ok(()) => self.settled = self.generation - 1,
            Err(Error::Full(_)) if !wait => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Leaves nothing to replay.
    ///
    /// # Errors
    /// [`Error::Io`]; then there is something to replay.
    pub(crate) fn close(mut self, view: &Arc<View>) -> Result<(), Error> {
        if self.end == 0 && self.settled + 1 == self.generation {
            return Ok(());
        }
        if self.end > 0 {
            self.turn(view)?;
        }
        self.go_on_settling(view, true)?;
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
