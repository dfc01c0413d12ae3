//! The stamp: the row in which the database says to which journal it belongs, how far it
//! has that journal, and what its tables contain.
//!
//! A database and a journal of different moments each read well alone, and together they
//! are a store with acknowledged rows missing. The stamp and the heads of the journal's
//! segments say what fits (see `journal::recovery`). Damage inside the database's file can
//! make it forget rows without an error; the digest tells that when the store is verified.
//!
//! **Invariant:** the database has the rows of all records up to `complete`, and none of a
//! record above `begun`. While both are equal, the digest is that of its rows. `complete` is
//! synced together with the last of these rows, so only the stamp of a closed store spares
//! their replay.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Record;

/// What the database knows about its journal and its tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// Names the store: a random number, which both segments carry too.
    pub(crate) store: u64,
    /// Whether both segments have been created with a head.
    pub(crate) has_journal: bool,
    /// The number of the last record whose rows are all in the database.
    pub(crate) complete: u64,
    /// The number of the last record of which a checkpoint may have written rows.
    pub(crate) begun: u64,
    /// Whether the store was closed, with `complete` synced before this.
    pub(crate) closed: bool,
    /// Each table's name and digest.
    pub(crate) tables: BTreeMap<String, TableDigest>,
}

impl Record for Stamp {}

impl Stamp {
    /// The stamp of an empty store without a journal.
    pub(crate) fn new() -> Self {
        Self {
            store: uuid::Uuid::now_v7().as_u64_pair().1,
            has_journal: false,
            complete: 0,
            begun: 0,
            closed: false,
            tables: BTreeMap::new(),
        }
    }
}

/// The number of a table's rows, and the sum of their checksums. Both follow from a row's
/// old and new value alone, whatever the order of the writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TableDigest {
    pub(crate) rows: u64,
    pub(crate) sum: u64,
}

impl TableDigest {
    /// Adds a row.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.rows = self.rows.wrapping_add(1);
        self.sum = self.sum.wrapping_add(checksum(key, value));
    }

    /// Takes a row away.
    pub(crate) fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.rows = self.rows.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(checksum(key, value));
    }
}

fn checksum(key: &[u8], value: &[u8]) -> u64 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    let of_key = hasher.clone().finalize();
    hasher.update(value);
    u64::from(of_key) << 32 | u64::from(hasher.finalize())
}
