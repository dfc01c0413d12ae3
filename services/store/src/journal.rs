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
//! that does not read is damage, and is said rather than passed over.

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
    settled: u64,
    /// The database's sync of the generation before this one.
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

    /// Makes a batch the record to be written next.
    ///
    /// # Errors
    /// When the database could not take in what is older.
    pub(crate) fn prepare(&mut self, batch: &Overlay) -> Result<(), Error> {
        self.note_settled(false)?;
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

    fn write(&mut self, record: &[u8]) -> io::Result<()> {
        let place = self.place();
        let (file, size) = (&self.files[place], &mut self.sizes[place]);
        let end = self.end + record.len() as u64;
        if end > *size {
            let grown = end.next_multiple_of(GROWTH_BYTES);
            // Zeros begin no record: its checksum would not be zero.
            let zeros = vec![0; usize::try_from(grown - *size).unwrap_or(0)];
            file.write_all_at(&zeros, *size)?;
            *size = grown;
        }
        file.write_all_at(record, self.end)?;
        (self.sync)(file)
    }

    fn place(&self) -> usize {
        usize::from(self.generation % 2 == 1)
    }

    /// Goes on in the other file when this one is full, and has the database take in
    /// what this one holds meanwhile.
    ///
    /// # Errors
    /// When the database could not take in what is older.
    pub(crate) fn turn_if_full(&mut self, view: &Arc<View>) -> Result<(), Error> {
        if self.end < FILE_BYTES_MAX {
            return Ok(());
        }
        self.turn(view)
    }

    fn turn(&mut self, view: &Arc<View>) -> Result<(), Error> {
        // One layer settles at a time, and its file is not written over before.
        self.note_settled(true)?;
        let settling = std::thread::Builder::new()
            .name("store-settling".into())
            .spawn(view.settle())
            .map_err(|error| io_error(&self.dir, &error))?;
        self.settling = Some(settling);
        self.begin().map_err(|error| io_error(&self.dir, &error))
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
    /// is.
    fn note_settled(&mut self, wait: bool) -> Result<(), Error> {
        if let Some(settling) = self
            .settling
            .take_if(|running| wait || running.is_finished())
        {
            settling
                .join()
                .unwrap_or_else(|_| Err(damaged("syncing the database panicked")))?;
            self.settled = self.generation - 1;
        }
        Ok(())
    }

    /// Leaves nothing to replay.
    ///
    /// # Errors
    /// [`Error::Io`]; then there is something to replay.
    pub(crate) fn close(mut self, view: &Arc<View>) -> Result<(), Error> {
        if self.end == 0 && self.settling.is_none() {
            return Ok(());
        }
        if self.end > 0 {
            self.turn(view)?;
        }
        self.note_settled(true)?;
        self.prepare(&Overlay::default())?;
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
mod tests {
    use super::*;
    use crate::{Options, Read, Store, Table};

    const ROWS: Table<u64, String> = Table::new("rows");

    fn open(dir: &Path) -> Result<Store, Error> {
        Store::open(dir, &Options::default())
    }

    /// What a killed process leaves: the journal as it was, and a database that is
    /// missing, or has, whatever was not synced.
    async fn crash(store: &Store, to: &Path) {
        store
            .write(|tx| tx.put(ROWS, &0, &"last".into()))
            .await
            .unwrap();
        for name in ["journal.0", "journal.1"] {
            std::fs::copy(store.dir().join(name), to.join(name)).unwrap();
        }
    }

    async fn fill(store: &Store, rows: std::ops::Range<u64>) {
        for row in rows {
            let text = row.to_string().repeat(5000);
            store
                .write(move |tx| tx.put(ROWS, &row, &text))
                .await
                .unwrap();
        }
    }

    #[tokio::test]
    async fn what_the_database_lost_is_replayed() {
        let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = open(dir.path()).unwrap();
        fill(&store, 1..20).await;
        crash(&store, copy.path()).await;
        let again = open(copy.path()).unwrap();
        assert_eq!(again.scan(ROWS.all()).unwrap().count(), 20);
        assert_eq!(again.get(ROWS, &0).unwrap(), Some("last".into()));
    }

    #[tokio::test]
    async fn a_torn_end_is_forgotten_and_damage_is_told() {
        let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = open(dir.path()).unwrap();
        fill(&store, 1..20).await;
        crash(&store, copy.path()).await;
        // The first generation is 1 and lies in the second file.
        let file = copy.path().join("journal.1");
        let whole = std::fs::read(&file).unwrap();
        let turn = Turn::read(whole.clone()).unwrap().unwrap();
        let last = turn.batches.last().unwrap().start;

        let mut torn = whole.clone();
        torn[last] ^= 1;
        std::fs::write(&file, &torn).unwrap();
        let again = open(copy.path()).unwrap();
        assert_eq!(again.get(ROWS, &0).unwrap(), None);
        assert_eq!(again.scan(ROWS.all()).unwrap().count(), 19);
        again.close();

        for record in [0, 5] {
            let mut damaged = whole.clone();
            damaged[turn.batches[record].start] ^= 1;
            assert!(Turn::read(damaged).is_err());
        }
    }

    /// The first record of a turn is torn so that only its end was written.
    #[test]
    fn a_turn_begins_empty() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let engine = Engine::open(dir.path(), &Options::default()).unwrap();
            let journal = Journal::open(dir.path(), File::sync_data, &engine).unwrap();
            let layers = crate::layers::Layers::default();
            (journal, Arc::new(View { layers, engine }))
        };
        let batch = |bytes: usize| {
            let mut batch = Overlay::default();
            batch.set("rows", vec![1], Some(vec![1; bytes]));
            batch
        };
        let (mut journal, view) = open();
        for _ in 0..2 {
            for _ in 0..20 {
                journal.prepare(&batch(1000)).unwrap();
                journal.append().unwrap();
            }
            journal.turn(&view).unwrap();
        }
        journal.prepare(&batch(9000)).unwrap();
        let end = &journal.record[4096..];
        let file = &journal.files[journal.place()];
        file.write_all_at(end, 4096).unwrap();
        journal.note_settled(true).unwrap();
        drop((journal, view));
        let (journal, _) = open();
        assert_eq!((journal.generation, journal.number), (3, 40));
    }

    /// Several turns of both files, then a crash, then a clean end.
    #[tokio::test]
    async fn files_take_turns() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();
        fill(&store, 1..400).await;
        store.close();
        let generation = |name: &str| {
            let bytes = std::fs::read(dir.path().join(name)).unwrap();
            assert!(bytes.len() as u64 <= FILE_BYTES_MAX + GROWTH_BYTES);
            Turn::read(bytes).unwrap().unwrap()
        };
        let mut turns = [generation("journal.0"), generation("journal.1")];
        turns.sort_by_key(|turn| turn.generation);
        assert!(turns[1].generation > 3, "it never turned");
        assert_eq!(
            turns[1].settled, turns[0].generation,
            "a clean end leaves nothing"
        );
        let again = open(dir.path()).unwrap();
        assert_eq!(again.scan(ROWS.all()).unwrap().count(), 399);
    }
}
