//! The journal's format: records, and the segment that they make up.
//!
//! | record | bytes, little-endian |
//! | --- | --- |
//! | checksum of everything after it (CRC-32) | 4 |
//! | length of the rows | 4 |
//! | generation: counts rotations | 8 |
//! | number, consecutive over both segments | 8 |
//! | the last generation that was checkpointed | 8 |
//! | rows: see [`encode`] | length |
//!
//! **Invariant:** since one record is written at a time, only the last of a segment
//! can be torn; one that others follow and that does not read is damage.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{HEAD_BYTES, damaged};
use crate::Error;
use crate::overlay::{Overlay, Rows};

/// In place of a value's length, for a row that is removed.
const REMOVED: u32 = u32::MAX;

/// A file's records, all of one generation.
pub(super) struct Segment {
    pub(super) generation: u64,
    pub(super) checkpointed: u64,
    pub(super) first: u64,
    pub(super) last: u64,
    bytes: Vec<u8>,
    pub(super) batches: Vec<Range<usize>>,
}

impl Segment {
    /// Reads a file up to its end or its torn last record; `None` without any.
    pub(super) fn read(bytes: Vec<u8>) -> Result<Option<Self>, Error> {
        let Some(first) = Record::at(&bytes, 0) else {
            return is_last(&bytes, Record::unchecked(&bytes, 0)).map(|()| None);
        };
        let (generation, number) = (first.generation, first.number);
        let mut batches = vec![first.rows.clone()];
        let mut last = first;
        while let Some(record) = Record::at(&bytes, last.end).filter(|one| one.follows(&last)) {
            batches.push(record.rows.clone());
            last = record;
        }
        let torn = Record::unchecked(&bytes, last.end);
        is_last(&bytes, torn.filter(|torn| torn.follows(&last)))?;
        Ok(Some(Self {
            generation,
            checkpointed: last.checkpointed,
            first: number,
            last: last.number,
            bytes,
            batches,
        }))
    }

    pub(super) fn batches(&self) -> impl Iterator<Item = &[u8]> {
        self.batches.iter().map(|rows| &self.bytes[rows.clone()])
    }
}

/// Fails when a record of the same generation follows a torn one.
fn is_last(bytes: &[u8], torn: Option<Record>) -> Result<(), Error> {
    let next = torn.and_then(|torn| Record::at(bytes, torn.end).filter(|next| next.follows(&torn)));
    match next {
        Some(_) => Err(damaged("a record that others follow does not read")),
        None => Ok(()),
    }
}

struct Record {
    generation: u64,
    number: u64,
    checkpointed: u64,
    rows: Range<usize>,
    end: usize,
}

impl Record {
    fn follows(&self, before: &Self) -> bool {
        self.generation == before.generation && self.number == before.number + 1
    }

    fn at(bytes: &[u8], at: usize) -> Option<Self> {
        let record = Self::unchecked(bytes, at)?;
        let checksum = u32::from_le_bytes(bytes[at..at + 4].try_into().ok()?);
        (checksum == crc32fast::hash(&bytes[at + 4..record.end])).then_some(record)
    }

    fn unchecked(bytes: &[u8], at: usize) -> Option<Self> {
        let head = bytes.get(at..at + HEAD_BYTES)?;
        let long = |at: usize| Some(u64::from_le_bytes(head[at..at + 8].try_into().ok()?));
        let length = u32::from_le_bytes(head[4..8].try_into().ok()?);
        let begin = at + HEAD_BYTES;
        let end = begin.checked_add(usize::try_from(length).ok()?)?;
        (end <= bytes.len()).then_some(Self {
            generation: long(8)?,
            number: long(16)?,
            checkpointed: long(24)?,
            rows: begin..end,
            end,
        })
    }
}

/// Rows by table: the name's length (1 byte), the name, the number of rows (4);
/// each row its key's length (2), the key, its value's length (4), the value.
pub(super) fn encode(batch: &Overlay, out: &mut Vec<u8>) {
    for (name, rows) in &batch.tables {
        out.push(u8::try_from(name.len()).expect("table names are short words"));
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&length(rows.len()).to_le_bytes());
        for (key, value) in rows {
            let bytes = u16::try_from(key.len()).expect("keys are capped far below");
            out.extend_from_slice(&bytes.to_le_bytes());
            out.extend_from_slice(key);
            let bytes = value.as_ref().map_or(REMOVED, |value| length(value.len()));
            out.extend_from_slice(&bytes.to_le_bytes());
            out.extend_from_slice(value.as_deref().unwrap_or_default());
        }
    }
}

pub(super) fn length(of: usize) -> u32 {
    u32::try_from(of).expect("values and batches are capped far below")
}

/// Puts the rows of a record over those of the records before it.
pub(super) fn decode(mut bytes: &[u8], tables: &mut BTreeMap<String, Rows>) -> Option<()> {
    while let Some((&name, rest)) = bytes.split_first() {
        bytes = rest;
        let name = String::from_utf8(take(&mut bytes, name.into())?.to_vec()).ok()?;
        let rows = tables.entry(name).or_default();
        for _ in 0..long(&mut bytes)? {
            let length = u16::from_le_bytes(take(&mut bytes, 2)?.try_into().ok()?);
            let key = take(&mut bytes, length.into())?.to_vec();
            let value = match long(&mut bytes)? {
                REMOVED => None,
                length => Some(take(&mut bytes, usize::try_from(length).ok()?)?.to_vec()),
            };
            rows.insert(key, value);
        }
    }
    Some(())
}

fn take<'b>(bytes: &mut &'b [u8], count: usize) -> Option<&'b [u8]> {
    let (head, tail) = bytes.split_at_checked(count)?;
    *bytes = tail;
    Some(head)
}

fn long(bytes: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(take(bytes, 4)?.try_into().ok()?))
}
