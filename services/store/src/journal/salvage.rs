//! The records of a journal that does not fit its database, for salvage.
//!
//! Rows are whole values, so a record may be applied although one before it does not read.
//! One that the database has may not: a later record, which does not read, may have written
//! its rows again.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::recovery::FILES;
use super::segment::Segment;
use crate::Error;
use crate::overlay::Rows;
use crate::rows::decode;
use crate::stamp::Stamp;

/// The rows of a damaged journal that a database does not have.
pub(crate) struct SalvagedRecords {
    pub(crate) rows: BTreeMap<String, Rows>,
    /// The number of records that these rows come from.
    pub(crate) count: u64,
    /// The highest number of a record that the journal or the database names.
    pub(crate) last: u64,
    /// What is missing or does not read.
    pub(crate) faults: Vec<String>,
}

/// Reads the records in `dir` that the database of `stamp` does not have.
///
/// # Errors
/// [`Error::Io`] when a file cannot be read.
pub(crate) fn salvage_records(dir: &Path, stamp: Option<&Stamp>) -> Result<SalvagedRecords, Error> {
    let mut faults = Vec::new();
    let mut segments = Vec::new();
    for name in FILES {
        match std::fs::read(dir.join(name)) {
            Ok(bytes) => match read(bytes, stamp) {
                Ok(segment) => segments.push(segment),
                Err(why) => faults.push(format!("{name}: {why}")),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                faults.push(format!("{name}: it is missing"));
            }
            Err(error) => {
                return Err(Error::io(dir, name, &error));
            }
        }
    }
    let records: BTreeMap<u64, &[u8]> = segments.iter().flat_map(Segment::readable).collect();
    let newest = records.last_key_value().map_or(0, |(number, _)| *number);
    let claimed = segments
        .iter()
        .map(|segment| segment.acknowledged.max(segment.head.base));
    let claimed = claimed.chain(stamp.map(|stamp| stamp.begun)).max();
    let last = newest.max(claimed.unwrap_or(0));
    let database = stamp.map_or(0, |stamp| stamp.complete);
    let is_closed = stamp.is_some_and(|stamp| stamp.closed);
    let first = segments.iter().map(|segment| segment.head.base).min();
    let synced = match first {
        // Rows of the records from there on may not have been synced.
        Some(first)
            if first <= database
                && !is_closed
                && (first + 1..=database).all(|number| records.contains_key(&number)) =>
        {
            first
        }
        _ => database,
    };
    let (mut rows, mut count) = (BTreeMap::new(), 0);
    let mut before = synced;
    for (&number, &bytes) in records.range(synced + 1..) {
        missing(before, number, &mut faults);
        before = number;
        match decode(bytes, &mut rows) {
            Some(()) => count += 1,
            None => faults.push(format!("record {number} does not read")),
        }
    }
    missing(before, last + 1, &mut faults);
    Ok(SalvagedRecords { rows, count, last, faults })
}

/// Names the records between two numbers.
fn missing(before: u64, next: u64, faults: &mut Vec<String>) {
    match next.saturating_sub(before + 1) {
        0 => {}
        1 => faults.push(format!("record {} does not read", before + 1)),
        _ => faults.push(format!(
            "records {} to {} do not read",
            before + 1,
            next - 1
        )),
    }
}

fn read(bytes: Vec<u8>, stamp: Option<&Stamp>) -> Result<Segment, &'static str> {
    let Some(stamp) = stamp else {
        let segment = Segment::read(bytes.clone()).or_else(|| Segment::read_old(bytes));
        return segment.ok_or("it has no record");
    };
    match Segment::read(bytes.clone()) {
        Some(segment) if segment.head.store != stamp.store => Err("it belongs to another store"),
        Some(segment) => Ok(segment),
        None => Segment::read_headless(bytes).ok_or("neither its head nor a record reads"),
    }
}
