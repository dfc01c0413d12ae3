//! [`StoreBuilder`]: a new store that is filled before it is opened, from a snapshot or from
//! what a damaged store still has.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::engine::Engine;
use crate::overlay::Rows;
use crate::rows;
use crate::snapshot::{Frame, FrameKind};
use crate::stamp::{Stamp, TableDigest};
use crate::{Error, Options};

/// The rows that are written at once, in bytes.
const CHUNK_BYTES: usize = 1024 * 1024;

/// A new store, and the rows that are not written to it yet. It opens like any other once it
/// is [finished](Self::finish).
pub struct StoreBuilder {
    engine: Engine,
    dir: PathBuf,
    rows: BTreeMap<String, Rows>,
    bytes: usize,
    /// The number of the last record of a journal that the store has.
    last: u64,
    sync: fn(&File) -> io::Result<()>,
}

impl StoreBuilder {
    /// Makes an empty store in `dir`, whose journal will go on after record `last`.
    ///
    /// # Errors
    /// As for [`Store::open`](crate::Store::open).
    pub fn create(dir: &Path, options: &Options, last: u64) -> Result<Self, Error> {
        // It counts only once it is finished, so it is synced only then.
        let unsynced = Options { sync: |_| Ok(()), ..options.clone() };
        let engine = Engine::open(dir, &unsynced)?;
        engine.adopt_stamp(Stamp::new());
        Ok(Self {
            engine,
            dir: dir.to_owned(),
            rows: BTreeMap::new(),
            bytes: 0,
            last,
            sync: options.sync,
        })
    }

    /// Puts the rows of a frame over those of the frames before it: first all frames of
    /// scanned rows, then the records in their order.
    ///
    /// # Errors
    /// [`Error::Damaged`] if they do not read; [`Error::Full`] and [`Error::Io`] when they
    /// cannot be written.
    pub fn apply(&mut self, frame: &Frame) -> Result<(), Error> {
        if !matches!(frame.kind, FrameKind::Rows | FrameKind::Record) {
            return Ok(());
        }
        self.bytes += frame.rows().len();
        rows::decode(frame.rows(), &mut self.rows).ok_or_else(|| Error::Damaged {
            file: self.dir.clone(),
            why: format!("the rows of frame {} do not read", frame.number),
        })?;
        self.write_if_many()
    }

    /// Adds a row.
    pub(crate) fn add(&mut self, table: &str, key: Vec<u8>, value: Vec<u8>) -> Result<(), Error> {
        self.bytes += key.len() + value.len();
        let rows = self.rows.entry(table.to_owned()).or_default();
        rows.insert(key, Some(value));
        self.write_if_many()
    }

    /// Puts the rows of tables over those that were added before.
    pub(crate) fn add_tables(&mut self, tables: BTreeMap<String, Rows>) -> Result<(), Error> {
        for (table, rows) in tables {
            self.rows.entry(table).or_default().extend(rows);
        }
        self.write()
    }

    /// Makes the store durable.
    ///
    /// # Errors
    /// [`Error::Full`] and [`Error::Io`] when it cannot be written.
    pub fn finish(mut self) -> Result<(), Error> {
        self.write()?;
        self.engine.sync_by(self.sync)
    }

    /// The digests of the tables with rows, as far as they are written.
    pub(crate) fn digests(&self) -> BTreeMap<String, TableDigest> {
        self.engine.digests()
    }

    fn write_if_many(&mut self) -> Result<(), Error> {
        if self.bytes < CHUNK_BYTES {
            return Ok(());
        }
        self.write()
    }

    /// Writes the rows that are not written yet.
    pub(crate) fn write(&mut self) -> Result<(), Error> {
        self.bytes = 0;
        let rows = std::mem::take(&mut self.rows);
        self.engine.checkpoint(&rows, self.last)
    }
}
