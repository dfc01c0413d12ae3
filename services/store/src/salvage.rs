//! Salvage: everything of a damaged store that reads, in a new one.
//!
//! A store whose files are damaged, or do not fit each other, does not open, since some of
//! its acknowledged rows are missing or old. Where no copy of it exists, most of it is better
//! than nothing: the rows of the database that read, and above them the records of the
//! journal that the database does not have.
//!
//! **Invariant:** the damaged store is not changed: opening a database changes it, so a copy
//! is opened. The new store opens like any other.

mod copy;

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;

use self::copy::Copy;
use crate::builder::StoreBuilder;
use crate::journal::{SalvagedRecords, salvage_records};
use crate::stamp::TableDigest;
use crate::{Error, Options};

/// What was salvaged and what was not.
#[derive(Debug, Serialize)]
pub struct Salvaged {
    /// The tables of the database, by name.
    pub tables: Vec<SalvagedTable>,
    /// Whether the database knows how many rows its tables should have.
    pub rows_known: bool,
    /// The records of the journal that were applied to them.
    pub records: u64,
    /// The journal's faults.
    pub journal_faults: Vec<String>,
    /// The places in files that the disk does not read. They count as zeros.
    pub disk_faults: Vec<String>,
}

impl Salvaged {
    /// Whether all rows of a table were read as they were written, as far as that can be known.
    pub fn is_whole(&self, table: &str) -> bool {
        let table = self.tables.iter().find(|one| one.name == table);
        table.map_or(self.rows_known, |table| table.is_whole)
    }
}

/// A table of a salvaged store.
#[derive(Debug, Serialize)]
pub struct SalvagedTable {
    /// Its name.
    pub name: String,
    /// The rows that the database had and that read.
    pub rows: u64,
    /// The rows that the database should have; `None` if it does not know.
    pub rows_expected: Option<u64>,
    /// Whether all of them were read, each as it was written. If the database does not know,
    /// whether nothing stopped a scan that found some.
    pub is_whole: bool,
    /// Why rows did not read, once for each place.
    pub faults: Vec<String>,
}

/// Reads the store in `from` and makes a new one of it in `into`, which must be absent.
/// `progress` is called with the number of rows read so far, and of those expected.
///
/// # Errors
/// [`Error::Locked`] while a process has `from` open; [`Error::Damaged`] if its database does
/// not open at all; [`Error::Full`] and [`Error::Io`] when the new store cannot be written.
pub fn salvage(
    from: &Path,
    into: &Path,
    options: &Options,
    mut progress: impl FnMut(u64, u64),
) -> Result<Salvaged, Error> {
    let copy = Copy::of(from, into, options)?;
    let damaged = copy.open(options).map_err(|error| match error {
        Error::Damaged { why, .. } => Error::Damaged {
            file: from.join("db"),
            why: format!("nothing of it reads ({why}); only a copy helps"),
        },
        error => error,
    })?;
    // An unreadable stamp is one more fault, and its knowledge is missing.
    let stamp = damaged.readable_stamp();
    let expected = stamp.as_ref().filter(|stamp| stamp.begun == stamp.complete);
    let rows_in_all = expected.map_or(0, |stamp| {
        stamp.tables.values().map(|digest| digest.rows).sum::<u64>()
    });
    let records = salvage_records(copy.dir(), stamp.as_ref())?;
    let mut saved = StoreBuilder::create(into, options, records.last)?;
    let (mut tables, mut read) = (Vec::new(), 0);
    let mut names: BTreeSet<_> = damaged.tables().into_iter().collect();
    names.extend(
        expected
            .iter()
            .flat_map(|stamp| stamp.tables.keys().cloned()),
    );
    for name in names {
        let mut found = TableDigest::default();
        let faults = damaged.readable_rows(&name, |(key, value)| {
            found.add(&key, &value);
            read += 1;
            progress(read, rows_in_all);
            saved.add(&name, key, value)
        })?;
        let digest = expected.map(|stamp| stamp.tables.get(&name).copied().unwrap_or_default());
        tables.push(SalvagedTable {
            name,
            rows: found.rows,
            rows_expected: digest.map(|digest| digest.rows),
            is_whole: faults.is_empty() && digest.map_or(found.rows > 0, |digest| digest == found),
            faults,
        });
    }
    let SalvagedRecords { rows, count, faults, .. } = records;
    saved.add_tables(rows)?;
    saved.finish()?;
    Ok(Salvaged {
        tables,
        rows_known: expected.is_some(),
        records: count,
        journal_faults: faults,
        disk_faults: copy.unreadable().to_vec(),
    })
}
