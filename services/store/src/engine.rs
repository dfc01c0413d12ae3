//! The engine: sled 0.34.7 and the settings it needs. No other file names sled.
//!
//! Faults of that version, found in its source, and their remedies here:
//! - `flush()` is `sync_file_range` on Linux, not `fsync`: a power cut loses what
//!   it acknowledged. [`Engine::sync`] adds an `fdatasync` on a descriptor of our
//!   own, and so does opening before the first read: after a crash
//!   the page cache may hold what the disk does not.
//! - A kill while opening leaves `snap.*.generating`, which makes every later
//!   open fail (sled issue 1527). The data is intact; the file is removed, under
//!   a lock of our own: it may be the live file of a process just opening.
//! - Messages above a quarter of a segment go to files that are never synced.
//!   With 4 MiB segments a leaf of sixteen values at the cap stays half below.
//! - `flush_async` deadlocks (sled issue 1308) and is never called; the flusher
//!   thread stays on, since it is also the only garbage collection.
//! - Transactions and batches take a lock global to the process, for which every reader
//!   waits, and write to the disk twice. None is used: rows go in one by one, beside
//!   readers that need no lock, and the journal makes a batch whole.
//! - It does not recover from a write that met a full disk. Rows go in only while its
//!   file owns space to grow (see `disk_reserve`).

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use crate::disk_reserve::DiskReserve;
use crate::overlay::Rows;
use crate::read::RawRow;
use crate::table::Bounds;
use crate::{Error, KEY_BYTES_MAX, Options, VALUE_BYTES_MAX};

const SEGMENT_BYTES: usize = 4 * 1024 * 1024;
const LEAF_ROWS: usize = 16;
const FLUSH_EVERY_MS: u64 = 500;

/// The most rows, and bytes of them, between two syncs of a checkpoint. sled writes over
/// moved data about one of its own segments of log later, synced or not, so the rows, the
/// leaves rewritten for them and the data that its collection moves meanwhile must stay
/// well below a segment: 1.7 MiB at most were measured during an import.
const UNSYNCED_ROWS: usize = 256;
const UNSYNCED_BYTES: usize = 128 * 1024;

/// A row, and the place of its table among all of them.
type PlacedRow<'a> = (usize, (&'a Vec<u8>, &'a Option<Vec<u8>>));

/// sled's own lock outlives a closed database by a moment: its background threads
/// hold it. Our own lock excludes other processes, so opening waits for it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

// Half as much again, since a leaf is a moment above its size before it splits.
const _: () =
    assert!(LEAF_ROWS * 3 / 2 * (VALUE_BYTES_MAX + KEY_BYTES_MAX) < SEGMENT_BYTES / 4 - 20);

/// An open database folder.
pub(crate) struct Engine {
    db: sled::Db,
    trees: RwLock<HashMap<String, sled::Tree>>,
    file: File,
    pub(crate) disk_reserve: DiskReserve,
    sync: fn(&File) -> io::Result<()>,
    dir: PathBuf,
    /// Held for as long as the rest of this struct; fields drop in order.
    _lock: File,
}

impl Engine {
    pub(crate) fn open(dir: &Path, options: &Options) -> Result<Self, Error> {
        // A relative path of one word has no parent to sync.
        let dir = std::path::absolute(dir)
            .map_err(|error| Error::Io { dir: dir.to_owned(), why: error.to_string() })?;
        let dir = dir.as_path();
        let disk_reserve = DiskReserve::new(dir, options.free_bytes);
        let failed = |error| disk_reserve.failed(&error);
        std::fs::create_dir_all(dir).map_err(failed)?;
        let lock = lock(dir)?;
        remove_unfinished_snapshots(dir).map_err(failed)?;
        let config = sled::Config::new()
            .path(dir)
            .mode(sled::Mode::LowSpace)
            .segment_size(SEGMENT_BYTES)
            .cache_capacity(options.cache_bytes)
            .flush_every_ms(Some(FLUSH_EVERY_MS));
        let db = open_patiently(&config).map_err(|error| match error {
            sled::Error::Io(error) => disk_reserve.failed(&error),
            error => Error::Io { dir: dir.to_owned(), why: error.to_string() },
        })?;
        let file = File::options()
            .read(true)
            .write(true)
            .open(dir.join("db"))
            .map_err(failed)?;
        // The folder's own entries must be durable, too.
        for folder in [Some(dir), dir.parent()].into_iter().flatten() {
            File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(failed)?;
        }
        let engine = Self {
            db,
            trees: RwLock::default(),
            file,
            disk_reserve,
            sync: options.sync,
            dir: dir.to_owned(),
            _lock: lock,
        };
        engine.sync()?;
        Ok(engine)
    }

    pub(crate) fn get(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let value = self.tree(table)?.get(key).map_err(|e| self.failed(&e))?;
        Ok(value.map(|bytes| bytes.to_vec()))
    }

    pub(crate) fn scan(
        &self,
        table: &'static str,
        bounds: Bounds,
        newest_first: bool,
    ) -> Result<Box<dyn Iterator<Item = RawRow> + '_>, Error> {
        let rows = self.tree(table)?.range::<Vec<u8>, _>(bounds);
        let raw = |row: sled::Result<(sled::IVec, sled::IVec)>| match row {
            Ok((key, value)) => Ok((key.to_vec(), value.to_vec())),
            Err(error) => Err(self.failed(&error)),
        };
        Ok(if newest_first {
            Box::new(rows.rev().map(raw))
        } else {
            Box::new(rows.map(raw))
        })
    }

    /// Writes the rows of a memtable and returns once they are durable. A crash leaves some
    /// of them; the journal has all.
    ///
    /// # Errors
    /// [`Error::Full`] after some of the rows: call it again. After any other error the
    /// engine is unusable.
    pub(crate) fn checkpoint<N, R>(&self, tables: &BTreeMap<N, R>) -> Result<(), Error>
    where
        N: AsRef<str>,
        R: Borrow<Rows>,
    {
        let mut trees = Vec::with_capacity(tables.len());
        let mut rows = Vec::new();
        for (place, (name, of_table)) in tables.iter().enumerate() {
            trees.push(self.tree(name.as_ref())?);
            rows.extend(of_table.borrow().iter().map(|row| (place, row)));
        }
        let mut left = rows.as_slice();
        while !left.is_empty() {
            let (some, later) = left.split_at(fitting(left));
            self.disk_reserve.keep_ahead(&self.file)?;
            self.put(&trees, some)?;
            self.sync()?;
            left = later;
        }
        Ok(())
    }

    /// Writes rows, each with the index of its tree.
    #[expect(
        clippy::disallowed_methods,
        reason = "the writer's rows arrive here, and are synced next"
    )]
    fn put(&self, trees: &[sled::Tree], rows: &[PlacedRow<'_>]) -> Result<(), Error> {
        for (place, (key, value)) in rows {
            let tree = &trees[*place];
            match value {
                Some(value) => tree.insert(key, value.as_slice()),
                None => tree.remove(key),
            }
            .map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    /// Makes every earlier write durable.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.db.flush().map_err(|error| self.failed(&error))?;
        (self.sync)(&self.file).map_err(|error| Error::Io {
            dir: self.dir.clone(),
            why: format!("fdatasync: {error}"),
        })
    }

    #[cfg(test)]
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The size of the database on disk, in bytes.
    pub(crate) fn disk_bytes(&self) -> Result<u64, Error> {
        self.db.size_on_disk().map_err(|error| self.failed(&error))
    }

    fn tree(&self, table: &str) -> Result<sled::Tree, Error> {
        let known = self.trees.read();
        if let Some(tree) = known.get(table) {
            return Ok(tree.clone());
        }
        drop(known);
        let tree = self.db.open_tree(table).map_err(|e| self.failed(&e))?;
        let mut known = self.trees.write();
        Ok(known.entry(table.to_owned()).or_insert(tree).clone())
    }

    fn failed(&self, error: &sled::Error) -> Error {
        Error::Io { dir: self.dir.clone(), why: error.to_string() }
    }
}

/// The number of rows before the next sync: at least one.
fn fitting(rows: &[PlacedRow<'_>]) -> usize {
    let mut bytes = 0;
    let fits = |(_, (key, value)): &&PlacedRow<'_>| {
        bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        bytes <= UNSYNCED_BYTES
    };
    let count = rows.iter().take(UNSYNCED_ROWS).take_while(fits).count();
    count.max(1)
}

/// Locks the folder for this process, or fails when another process has it.
fn lock(dir: &Path) -> Result<File, Error> {
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
                Error::Io { dir: dir.to_owned(), why: format!("its lock: {error}") }
            }
        })
}

fn open_patiently(config: &sled::Config) -> sled::Result<sled::Db> {
    let begun = Instant::now();
    loop {
        match config.open() {
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

fn remove_unfinished_snapshots(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            tracing::info!(file = %name, "removing a snapshot whose making was cut off");
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
