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
//! - `flush_async` deadlocks (sled issue 1308) and is never called.
//! - Its flusher thread syncs the file at every interval, whether or not anything changed,
//!   so that an idle shop would wear its disk. It is off: checkpoints sync, and a page that
//!   is replaced collects one page of garbage.
//! - Transactions and batches take a lock global to the process, for which every reader
//!   waits, and write to the disk twice. None is used: rows go in one by one, beside
//!   readers that need no lock, and the journal makes a batch whole.
//! - It does not recover from a write that met a full disk. Rows go in only while its
//!   file owns space to grow (see `disk_reserve`).

mod checkpoint;
mod opening;
mod readable;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

pub(crate) use self::opening::{
    KEPT_DATABASE, is_snapshot, lock, remove_kept_database, remove_snapshots, remove_unfinished,
    unfinished,
};
use self::opening::{
    is_damage, open_patiently, remove_unfinished_snapshots, set_aside_unreadable, unreadable,
};
use crate::disk_health::DiskHealth;
use crate::disk_reserve::DiskReserve;
use crate::read::RawRow;
use crate::record::{decode, encode};
use crate::stamp::{Stamp, TableDigest};
use crate::table::Bounds;
use crate::{Error, KEY_BYTES_MAX, Options, VALUE_BYTES_MAX};

const SEGMENT_BYTES: usize = 4 * 1024 * 1024;
const LEAF_ROWS: usize = 16;

/// The table and the key of the stamp's row.
const STAMP_TABLE: &str = "store_stamp";
const STAMP_KEY: &[u8] = b"stamp";

/// The trees that every database has: sled's own, and the stamp's.
const DEFAULT_TREES: [&[u8]; 2] = [b"__sled__default", STAMP_TABLE.as_bytes()];

/// How long a count of rows waits for a checkpoint. A scrape asks for one or more of each
/// store, and is given up after 10 s in all.
const COUNT_TIMEOUT: Duration = Duration::from_millis(250);

/// How often a table is read for its digest while checkpoints may change it.
const READS_BESIDE_WRITES: usize = 3;

// Half as much again, since a leaf is a moment above its size before it splits.
const _: () =
    assert!(LEAF_ROWS * 3 / 2 * (VALUE_BYTES_MAX + KEY_BYTES_MAX) < SEGMENT_BYTES / 4 - 20);

/// An open database folder.
pub(crate) struct Engine {
    db: sled::Db,
    trees: RwLock<HashMap<String, sled::Tree>>,
    file: File,
    pub(crate) disk_reserve: DiskReserve,
    pub(crate) disk_health: DiskHealth,
    sync: fn(&File) -> io::Result<()>,
    dir: PathBuf,
    /// The present stamp; locked while a checkpoint runs.
    stamp: Mutex<Stamp>,
    /// Held for as long as the rest of this struct; fields drop in order.
    _lock: File,
}

impl Engine {
    pub(crate) fn open(dir: &Path, options: &Options) -> Result<Self, Error> {
        // A relative path of one word has no parent to sync.
        let dir = std::path::absolute(dir).map_err(|error| Error::io(dir, "its path", &error))?;
        let dir = dir.as_path();
        let disk_reserve = DiskReserve::new(dir, options.free_bytes);
        let failed = |error| disk_reserve.failed(&error);
        std::fs::create_dir_all(dir).map_err(failed)?;
        let lock = lock(dir)?;
        remove_unfinished_snapshots(dir).map_err(failed)?;
        set_aside_unreadable(dir, &disk_reserve)?;
        let config = sled::Config::new()
            .path(dir)
            .mode(sled::Mode::LowSpace)
            .segment_size(SEGMENT_BYTES)
            .cache_capacity(options.cache_bytes)
            .flush_every_ms(None);
        let db = open_patiently(&config).map_err(|error| match error {
            sled::Error::Io(error) if !is_damage(&error) => disk_reserve.failed(&error),
            error => unreadable(dir, &error.to_string()),
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
            disk_health: DiskHealth::new(),
            sync: options.sync,
            dir: dir.to_owned(),
            stamp: Mutex::new(Stamp::new()),
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
        table: &str,
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

    /// The stamp as it lies in the database; `None` in a new store, and in one of an
    /// earlier version.
    pub(crate) fn stored_stamp(&self) -> Result<Option<Stamp>, Error> {
        let stamp = self.get(STAMP_TABLE, STAMP_KEY)?;
        let read = |bytes: Vec<u8>| decode(&bytes).map_err(|why| self.unreadable_stamp(&why));
        stamp.map(read).transpose()
    }

    /// Makes a stamp the present one, without writing it.
    pub(crate) fn adopt_stamp(&self, stamp: Stamp) {
        *self.stamp.lock() = stamp;
    }

    /// Changes the stamp, and returns once that is durable. A stamp that is so already costs
    /// nothing: a store that was only read is closed without a write.
    pub(crate) fn change_stamp(&self, change: impl FnOnce(&mut Stamp)) -> Result<(), Error> {
        let mut stamp = self.stamp.lock();
        let before = stamp.clone();
        change(&mut stamp);
        if *stamp == before {
            return Ok(());
        }
        self.write_stamp(&stamp)?;
        self.sync()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the stamp is not a row of the writer's"
    )]
    fn write_stamp(&self, stamp: &Stamp) -> Result<(), Error> {
        let value = encode(stamp).map_err(|why| self.unreadable_stamp(&why))?;
        let tree = self.tree(STAMP_TABLE)?;
        tree.insert(STAMP_KEY, value)
            .map_err(|error| self.failed(&error))?;
        Ok(())
    }

    fn unreadable_stamp(&self, why: &str) -> Error {
        unreadable(&self.dir, &format!("its stamp: {why}"))
    }

    /// The names of the tables.
    pub(crate) fn tables(&self) -> Vec<String> {
        let names = self.db.tree_names().into_iter();
        let names = names.filter(|name| !DEFAULT_TREES.contains(&name.as_ref()));
        names
            .map(|name| String::from_utf8_lossy(&name).into_owned())
            .collect()
    }

    /// Calls `read` with the number of a table's rows while no checkpoint changes them.
    /// `None` if one goes on for longer than [`COUNT_TIMEOUT`].
    pub(crate) fn with_row_count<T>(&self, table: &str, read: impl FnOnce(u64) -> T) -> Option<T> {
        let stamp = self.stamp.try_lock_for(COUNT_TIMEOUT)?;
        Some(read(
            stamp.tables.get(table).map_or(0, |digest| digest.rows),
        ))
    }

    /// The number of rows by the stamp.
    pub(crate) fn row_count(&self) -> u64 {
        let stamp = self.stamp.lock();
        stamp.tables.values().map(|digest| digest.rows).sum()
    }

    /// The number of rows of each table by the stamp.
    pub(crate) fn row_counts(&self) -> BTreeMap<String, u64> {
        let stamp = self.stamp.lock();
        let tables = stamp.tables.iter();
        tables
            .map(|(name, digest)| (name.clone(), digest.rows))
            .collect()
    }

    /// The digests, by the stamp, of the tables with rows.
    pub(crate) fn digests(&self) -> BTreeMap<String, TableDigest> {
        let mut digests = self.stamp.lock().tables.clone();
        digests.retain(|_, digest| digest.rows > 0);
        digests
    }

    /// Reads a table's rows and returns their digest.
    pub(crate) fn digest(&self, table: &str) -> Result<TableDigest, Error> {
        let mut digest = TableDigest::default();
        for row in &self.tree(table)? {
            let (key, value) = row.map_err(|error| self.failed(&error))?;
            digest.add(&key, &value);
        }
        Ok(digest)
    }

    /// Reads every row of the database, and returns what the stamp says and is not so. A
    /// table that checkpoints change meanwhile is read again, at last while they wait.
    pub(crate) fn verify(&self) -> Result<Vec<String>, Error> {
        let mut names: BTreeSet<String> = self.tables().into_iter().collect();
        names.extend(self.stamp.lock().tables.keys().cloned());
        let mut faults = Vec::new();
        for name in &names {
            let (expected, found) = self.compare(name)?;
            if expected.rows != found.rows {
                faults.push(format!(
                    "{name}: {} rows, and there were {}",
                    found.rows, expected.rows
                ));
            } else if expected != found {
                faults.push(format!("{name}: rows are not as they were written"));
            }
        }
        Ok(faults)
    }

    /// The digest of a table by the stamp, and that of its rows.
    fn compare(&self, table: &str) -> Result<(TableDigest, TableDigest), Error> {
        let expected = |stamp: &Stamp| stamp.tables.get(table).copied().unwrap_or_default();
        for _ in 0..READS_BESIDE_WRITES {
            let before = expected(&self.stamp.lock());
            let found = self.digest(table)?;
            if expected(&self.stamp.lock()) == before {
                return Ok((before, found));
            }
        }
        let stamp = self.stamp.lock();
        Ok((expected(&stamp), self.digest(table)?))
    }

    /// Makes every earlier write durable.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.sync_by(self.sync)
    }

    /// As [`sync`](Self::sync), by another function than that of its options.
    pub(crate) fn sync_by(&self, sync: fn(&File) -> io::Result<()>) -> Result<(), Error> {
        self.db.flush().map_err(|error| self.failed(&error))?;
        sync(&self.file).map_err(|error| Error::io(&self.dir, "fdatasync", &error))
    }

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
        self.disk_health.note_failed_read();
        match error {
            sled::Error::Io(error) => Error::io(&self.dir, "db", error),
            error => Error::Io {
                dir: self.dir.clone(),
                kind: io::ErrorKind::Other,
                why: error.to_string(),
            },
        }
    }
}
