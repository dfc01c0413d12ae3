//! The journal's format: a segment is a head and the records after it.
//!
//! | head | bytes, little-endian |
//! | --- | --- |
//! | checksum of the rest of the head (CRC-32) | 4 |
//! | `kbj2` | 4 |
//! | the store's random number (see [`Stamp`](crate::stamp::Stamp)) | 8 |
//! | generation: counts rotations | 8 |
//! | base: the number of the last record before this segment | 8 |
//! | checksum of the acknowledged number | 4 |
//! | acknowledged: see [`acknowledged`] | 8 |
//! | zeros | 20 |
//!
//! | record | bytes, little-endian |
//! | --- | --- |
//! | checksum of everything after it (CRC-32) | 4 |
//! | length of the rows | 4 |
//! | generation | 8 |
//! | number, consecutive over both segments | 8 |
//! | rows: see [`rows`](crate::rows) | length |
//!
//! Segments of earlier versions had no head, and 8 more bytes in each record's; they are
//! read once, when such a store is opened.
//!
//! **Invariant:** since one record is written at a time, only the last of a segment
//! can be torn; one that others follow and that does not read is damage.

use std::ops::Range;

/// The bytes before a segment's first record.
pub(super) const SEGMENT_HEAD_BYTES: usize = 64;

/// The bytes of a record before its rows.
pub(super) const RECORD_HEAD_BYTES: usize = 24;

/// The same in segments of earlier versions.
const OLD_RECORD_HEAD_BYTES: usize = 32;

/// Where in the head the acknowledged number lies.
pub(super) const ACKNOWLEDGED_AT: u64 = 32;

const MAGIC: &[u8; 4] = b"kbj2";

/// The head of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHead {
    /// The store's random number.
    pub(super) store: u64,
    pub(super) generation: u64,
    /// The number of the last record before this segment.
    pub(super) base: u64,
}

impl SegmentHead {
    /// The bytes of an empty segment's head; no record is acknowledged in it.
    pub(super) fn encode(&self) -> [u8; SEGMENT_HEAD_BYTES] {
        let mut head = [0; SEGMENT_HEAD_BYTES];
        head[4..8].copy_from_slice(MAGIC);
        head[8..16].copy_from_slice(&self.store.to_le_bytes());
        head[16..24].copy_from_slice(&self.generation.to_le_bytes());
        head[24..32].copy_from_slice(&self.base.to_le_bytes());
        let checksum = crc32fast::hash(&head[4..32]);
        head[..4].copy_from_slice(&checksum.to_le_bytes());
        head
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let head = bytes.get(..SEGMENT_HEAD_BYTES)?;
        let reads =
            head[4..8] == *MAGIC && head[..4] == crc32fast::hash(&head[4..32]).to_le_bytes();
        reads.then_some(())?;
        Some(Self {
            store: long_at(head, 8)?,
            generation: long_at(head, 16)?,
            base: long_at(head, 24)?,
        })
    }
}

/// The number of the last acknowledged record as it lies in a segment's head, with its
/// checksum. It is written after each record into the *other* segment, without a sync: a
/// killed process has always written it, after a power cut it may be older. It tells a
/// record that was never acknowledged from one that was and no longer reads.
pub(super) fn acknowledged(number: u64) -> [u8; 12] {
    let number = number.to_le_bytes();
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&crc32fast::hash(&number).to_le_bytes());
    bytes[4..].copy_from_slice(&number);
    bytes
}

fn acknowledged_of(head: &[u8]) -> Option<u64> {
    let bytes = head.get(32..44)?;
    let number = long_at(bytes, 4)?;
    (acknowledged(number) == *bytes).then_some(number)
}

/// A file's head and records, all of one generation.
pub(super) struct Segment {
    pub(super) head: SegmentHead,
    /// The number of the last record that was acknowledged, as far as this file knows.
    pub(super) acknowledged: u64,
    /// The numbers and rows of the records up to the first that does not read.
    pub(super) records: Vec<(u64, Range<usize>)>,
    /// Those of later records that do read.
    later: Vec<(u64, Range<usize>)>,
    /// Whether the bytes after the last record are the beginning of another one.
    pub(super) is_torn: bool,
    bytes: Vec<u8>,
}

impl Segment {
    /// Reads a segment; `None` if its head does not read.
    pub(super) fn read(bytes: Vec<u8>) -> Option<Self> {
        let head = SegmentHead::decode(&bytes)?;
        Some(Self::read_records(
            bytes,
            head,
            SEGMENT_HEAD_BYTES,
            RECORD_HEAD_BYTES,
        ))
    }

    /// Reads a segment whose head does not read, by the newest generation of its records;
    /// `None` if it has none.
    pub(super) fn read_headless(bytes: Vec<u8>) -> Option<Self> {
        let mut newest: Option<SegmentHead> = None;
        let mut at = 0;
        while at < bytes.len() {
            let Some(record) = Record::at(&bytes, at, RECORD_HEAD_BYTES) else {
                at += 1;
                continue;
            };
            let (generation, base) = (record.generation, record.number.saturating_sub(1));
            if newest.is_none_or(|newest| newest.generation < generation) {
                newest = Some(SegmentHead { store: 0, generation, base });
            }
            at = record.rows.end;
        }
        let head = newest?;
        Some(Self::read_records(
            bytes,
            head,
            SEGMENT_HEAD_BYTES,
            RECORD_HEAD_BYTES,
        ))
    }

    /// Reads a segment of an earlier version; `None` if it has no record.
    pub(super) fn read_old(bytes: Vec<u8>) -> Option<Self> {
        let first = Record::at(&bytes, 0, OLD_RECORD_HEAD_BYTES)?;
        let (generation, base) = (first.generation, first.number.checked_sub(1)?);
        let head = SegmentHead { store: 0, generation, base };
        Some(Self::read_records(bytes, head, 0, OLD_RECORD_HEAD_BYTES))
    }

    fn read_records(bytes: Vec<u8>, head: SegmentHead, begin: usize, record_head: usize) -> Self {
        let (mut at, mut last) = (begin, head.base);
        let mut records = Vec::new();
        while let Some(record) = Record::at(&bytes, at, record_head)
            .filter(|record| record.generation == head.generation && record.number == last + 1)
        {
            records.push((record.number, record.rows.clone()));
            (at, last) = (record.rows.end, record.number);
        }
        // A record whose head is damaged says nothing about where the next one begins.
        let mut later = Vec::new();
        let mut after = at;
        while let Some(record) = (after..bytes.len()).find_map(|at| {
            (long_at(&bytes, at + 8)? == head.generation).then_some(())?;
            Record::at(&bytes, at, record_head).filter(|record| record.number > last)
        }) {
            after = record.rows.end;
            later.push((record.number, record.rows));
        }
        let is_torn = long_at(&bytes, at + 8) == Some(head.generation);
        let acknowledged = acknowledged_of(&bytes[..begin]).unwrap_or(0);
        Self { head, acknowledged, records, later, is_torn, bytes }
    }

    /// The number of the last record, or of the last one before this segment.
    pub(super) fn last(&self) -> u64 {
        self.records
            .last()
            .map_or(self.head.base, |(number, _)| *number)
    }

    /// The number of a record that reads behind one that does not.
    pub(super) fn beyond(&self) -> Option<u64> {
        self.later.first().map(|(number, _)| *number)
    }

    /// The numbers and rows of all records that read, past those that do not.
    pub(super) fn readable(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let all = self.records.iter().chain(&self.later);
        all.map(|(number, rows)| (*number, &self.bytes[rows.clone()]))
    }

    /// The rows of the records after `number`, oldest first.
    pub(super) fn rows_after(&self, number: u64) -> impl Iterator<Item = (u64, &[u8])> {
        let later = self.records.iter().filter(move |(own, _)| *own > number);
        later.map(|(number, rows)| (*number, &self.bytes[rows.clone()]))
    }
}

struct Record {
    generation: u64,
    number: u64,
    rows: Range<usize>,
}

impl Record {
    /// The record at `at`, if its checksum holds.
    fn at(bytes: &[u8], at: usize, head_bytes: usize) -> Option<Self> {
        let head = bytes.get(at..at.checked_add(head_bytes)?)?;
        let length = u32::from_le_bytes(head[4..8].try_into().ok()?);
        let begin = at + head_bytes;
        let end = begin.checked_add(usize::try_from(length).ok()?)?;
        let checksum = crc32fast::hash(bytes.get(at + 4..end)?);
        (head[..4] == checksum.to_le_bytes()).then_some(())?;
        Some(Self {
            generation: long_at(head, 8)?,
            number: long_at(head, 16)?,
            rows: begin..end,
        })
    }
}

fn long_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}
