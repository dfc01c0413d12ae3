//! Snapshots: a copy of a store that serves meanwhile.
//!
//! All tables are read in key order, without a lock, and every record that is journalled
//! meanwhile is kept. Rows are whole values: the rows that were read, and over them the
//! records in their order, are the store as it was after the last of these records.
//!
//! A snapshot is a sequence of frames:
//!
//! | frame | bytes, little-endian |
//! | --- | --- |
//! | checksum of everything after it (CRC-32) | 4 |
//! | length of the rows | 4 |
//! | kind, see [`FrameKind`] | 1 |
//! | number | 8 |
//! | rows: see [`rows`](crate::rows) | length |
//!
//! **Invariant:** a frame of kind `Scanned` comes only once every row that was read is
//! durable, so a copy that ends at a record behind it has no part of a batch.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::spawn_blocking;

use crate::rows::{self, length};
use crate::taps::{TappedRecord, Taps};
use crate::view::View;
use crate::{Error, Store};

/// The rows of a frame, in bytes; a frame has one row more than fits.
const CHUNK_BYTES: usize = 256 * 1024;

/// The pause after each reading of rows, as a multiple of its time: beside requests a copy takes a third of a
/// core from the requests of a small host, and not all of one.
const PAUSE: u32 = 2;

/// The bytes of a frame before its rows.
const HEAD_BYTES: usize = 17;

/// The largest rows of a frame, in bytes: a batch is far smaller, so more is damage.
const ROWS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// The beginning, with the number of the last record before it.
    Begin = 1,
    /// About how many rows the store has.
    Total,
    /// Rows that were read.
    Rows,
    /// The end of the rows; records go on.
    Scanned,
    /// A record of the journal, by its number.
    Record,
}

impl FrameKind {
    const ALL: [Self; 5] = [
        Self::Begin,
        Self::Total,
        Self::Rows,
        Self::Scanned,
        Self::Record,
    ];

    fn of(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == code)
    }
}

/// A piece of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it holds.
    pub kind: FrameKind,
    /// The number of the record, or of the rows.
    pub number: u64,
    /// The frame as it is sent and stored.
    bytes: Vec<u8>,
}

impl Frame {
    fn new(kind: FrameKind, number: u64, rows: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + rows.len());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&length(rows.len()).to_le_bytes());
        bytes.push(kind as u8);
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(rows);
        let checksum = crc32fast::hash(&bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        Self { kind, number, bytes }
    }

    /// The frame as it is sent and stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The frame as it is sent and stored.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The encoded rows.
    pub(crate) fn rows(&self) -> &[u8] {
        &self.bytes[HEAD_BYTES..]
    }

    /// Takes the first frame out of `bytes`; `None` if it is not there as a whole.
    ///
    /// # Errors
    /// Why it does not read.
    pub fn take(bytes: &mut Vec<u8>) -> Result<Option<Self>, String> {
        let Some((checksum, length, code, number)) = head(bytes) else {
            return Ok(None);
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > ROWS_BYTES_MAX {
            return Err(format!("a frame has {length} bytes"));
        }
        let end = HEAD_BYTES + length;
        if bytes.len() < end {
            return Ok(None);
        }
        if crc32fast::hash(&bytes[4..end]) != checksum {
            return Err("a frame does not have its checksum".into());
        }
        let Some(kind) = FrameKind::of(code) else {
            return Err(format!("a frame is of the unknown kind {code}"));
        };
        let rest = bytes.split_off(end);
        let bytes = std::mem::replace(bytes, rest);
        Ok(Some(Self { kind, number, bytes }))
    }
}

/// The checksum, the length of the rows, the kind and the number of a frame.
fn head(mut bytes: &[u8]) -> Option<(u32, u32, u8, u64)> {
    let (checksum, length) = (rows::long(&mut bytes)?, rows::long(&mut bytes)?);
    let (code, number) = bytes.split_first()?;
    let number = number.first_chunk().copied().map(u64::from_le_bytes)?;
    Some((checksum, length, *code, number))
}

/// A snapshot that is being taken.
pub struct Snapshot {
    view: Arc<View>,
    taps: Arc<Taps>,
    records: flume::Receiver<TappedRecord>,
    scan: Scan,
    /// The pause after each reading of rows, as a multiple of its time.
    pause: u32,
    /// Whether rows are next: records and rows take turns, so that neither waits for long.
    rows_next: bool,
}

/// How far the tables are read.
enum Scan {
    /// Nothing is read; this is the last record before the snapshot.
    Begin(u64),
    Total,
    /// The tables that are left, the present one last, and the key that was read last.
    Tables(Vec<String>, Option<Vec<u8>>),
    /// Everything is read; readers may have seen rows up to this record.
    Read(u64),
    Over,
}

impl Snapshot {
    pub(crate) fn new(view: Arc<View>, taps: Arc<Taps>) -> Self {
        let (before, records) = taps.add();
        Self {
            view,
            taps,
            records,
            scan: Scan::Begin(before),
            pause: PAUSE,
            rows_next: true,
        }
    }

    /// The same without pauses, for a store at rest.
    #[must_use]
    pub fn without_pauses(self) -> Self {
        Self { pause: 0, ..self }
    }

    /// The next frame: records as they are journalled, and between them the rows. After the
    /// rows it goes on with records for as long as it is asked.
    ///
    /// # Errors
    /// [`Error::Io`] when the store cannot be read; [`Error::Behind`] when the frames were
    /// taken too slowly.
    pub async fn next(&mut self) -> Result<Frame, Error> {
        loop {
            let is_read = match self.scan {
                Scan::Read(visible) if self.taps.durable() >= visible => {
                    self.scan = Scan::Over;
                    return Ok(Frame::new(FrameKind::Scanned, 0, &[]));
                }
                Scan::Read(_) | Scan::Over => true,
                _ => false,
            };
            if is_read || !std::mem::take(&mut self.rows_next) {
                match self.records.try_recv() {
                    Ok(record) => {
                        self.rows_next = true;
                        return Ok(frame(record));
                    }
                    Err(flume::TryRecvError::Disconnected) => return Err(Error::Behind),
                    Err(flume::TryRecvError::Empty) => {}
                }
            }
            match std::mem::replace(&mut self.scan, Scan::Over) {
                Scan::Begin(before) => {
                    self.scan = Scan::Total;
                    return Ok(Frame::new(FrameKind::Begin, before, &[]));
                }
                Scan::Total => return self.total().await,
                Scan::Tables(tables, after) => {
                    if let Some(frame) = self.read(tables, after).await? {
                        return Ok(frame);
                    }
                }
                scan => {
                    self.scan = scan;
                    let record = self.records.recv_async().await;
                    return record.map(frame).map_err(|_| Error::Behind);
                }
            }
        }
    }

    async fn total(&mut self) -> Result<Frame, Error> {
        let view = self.view.clone();
        let known = spawn_blocking(move || (view.tables(), view.engine.row_count())).await;
        let (mut tables, rows) = known.map_err(|panic| Error::Panicked(panic.to_string()))?;
        tables.reverse();
        self.scan = Scan::Tables(tables, None);
        Ok(Frame::new(FrameKind::Total, rows, &[]))
    }

    /// Reads the next rows; `None` at the end of a table.
    async fn read(
        &mut self,
        mut tables: Vec<String>,
        after: Option<Vec<u8>>,
    ) -> Result<Option<Frame>, Error> {
        let Some(table) = tables.last().cloned() else {
            self.scan = Scan::Read(self.taps.visible());
            return Ok(None);
        };
        let (view, begun) = (self.view.clone(), Instant::now());
        let read = spawn_blocking(move || chunk(&view, &table, after)).await;
        let read = read.map_err(|panic| Error::Panicked(panic.to_string()))??;
        tokio::time::sleep(begun.elapsed() * self.pause).await;
        let Some((frame, last)) = read else {
            tables.pop();
            self.scan = Scan::Tables(tables, None);
            return Ok(None);
        };
        self.scan = Scan::Tables(tables, Some(last));
        Ok(Some(frame))
    }
}

fn frame(record: TappedRecord) -> Frame {
    Frame::new(FrameKind::Record, record.number, &record.rows)
}

/// The rows of a table after a key, as one frame, and the last of their keys.
fn chunk(
    view: &View,
    table: &str,
    after: Option<Vec<u8>>,
) -> Result<Option<(Frame, Vec<u8>)>, Error> {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let newest_first = false;
    for row in view.scan(table, (from, Bound::Unbounded), newest_first)? {
        let (key, value) = row?;
        bytes += key.len() + value.len();
        rows.push((key, value));
        if bytes >= CHUNK_BYTES {
            break;
        }
    }
    let Some((last, _)) = rows.last() else {
        return Ok(None);
    };
    let (last, number) = (last.clone(), rows.len() as u64);
    let mut encoded = Vec::with_capacity(bytes + rows.len() * 6 + table.len() + 5);
    let rows = rows.iter().map(|(key, value)| (key, Some(value)));
    rows::encode(table, rows, &mut encoded);
    Ok(Some((Frame::new(FrameKind::Rows, number, &encoded), last)))
}

impl Store {
    /// Begins a [snapshot](Snapshot).
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.0.view.clone(), self.0.taps.clone())
    }

    /// The number of the last durable record of the journal.
    pub fn last_record(&self) -> u64 {
        self.0.taps.durable()
    }
}
