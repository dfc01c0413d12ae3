//! Memtables: committed rows that are in the journal and not in the database yet.
//!
//! A batch's rows go into the active memtable. When the journal rotates to its other
//! segment, the active memtable becomes immutable, and a checkpoint moves it into the
//! database. A row that is written often, such as the head of a log or a stock level,
//! reaches the database once a checkpoint instead of once a batch.
//!
//! **Invariant:** a row is in a memtable from before its batch is journalled until the
//! database has it, so a reader that looks at the memtables first and at the database
//! afterwards misses nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::overlay::{Overlay, Rows};
use crate::table::Bounds;

pub(crate) type Memtable = BTreeMap<&'static str, Arc<Rows>>;

/// The two memtables above the database.
#[derive(Default)]
pub(crate) struct Memtables(RwLock<Both>);

#[derive(Default)]
struct Both {
    active: Memtable,
    immutable: Arc<Memtable>,
}

impl Memtables {
    /// The value under a key: `None` when no memtable has the key, `Some(None)` when its
    /// row was deleted.
    pub(crate) fn get(&self, table: &str, key: &[u8]) -> Option<Option<Vec<u8>>> {
        let both = self.0.read();
        let find = |memtable: &Memtable| memtable.get(table)?.get(key).cloned();
        find(&both.active).or_else(|| find(&both.immutable))
    }

    /// A table's rows in the active and in the immutable memtable, as they are now.
    pub(crate) fn rows(&self, table: &str) -> [Option<Arc<Rows>>; 2] {
        let both = self.0.read();
        [
            both.active.get(table).cloned(),
            both.immutable.get(table).cloned(),
        ]
    }

    /// The names of the tables with rows.
    pub(crate) fn tables(&self) -> BTreeSet<String> {
        let both = self.0.read();
        let names = both.active.keys().chain(both.immutable.keys());
        names.map(|name| (*name).to_owned()).collect()
    }

    /// Makes a batch visible to readers.
    pub(crate) fn apply(&self, batch: Overlay) {
        let mut both = self.0.write();
        for (table, rows) in batch.tables {
            // Copied only while a scan holds it.
            Arc::make_mut(both.active.entry(table).or_default()).extend(rows);
        }
    }

    /// Makes the active memtable the immutable one, which must be gone.
    pub(crate) fn rotate(&self) {
        let mut both = self.0.write();
        both.immutable = Arc::new(std::mem::take(&mut both.active));
    }

    /// The rows that a checkpoint moves into the database.
    pub(crate) fn immutable(&self) -> Arc<Memtable> {
        self.0.read().immutable.clone()
    }

    /// Drops the immutable memtable once the database has its rows.
    pub(crate) fn drop_immutable(&self) {
        self.0.write().immutable = Arc::default();
    }
}

/// A scan over one table of a memtable, which it keeps as it was at the beginning.
pub(crate) struct MemtableScan {
    rows: Arc<Rows>,
    bounds: Bounds,
    newest_first: bool,
}

impl MemtableScan {
    pub(crate) fn new(rows: Arc<Rows>, bounds: Bounds, newest_first: bool) -> Self {
        Self { rows, bounds, newest_first }
    }
}

impl Iterator for MemtableScan {
    type Item = (Vec<u8>, Option<Vec<u8>>);

    fn next(&mut self) -> Option<Self::Item> {
        let mut left = self.rows.range(self.bounds.clone());
        let (key, value) = if self.newest_first {
            left.next_back()?
        } else {
            left.next()?
        };
        let passed = Bound::Excluded(key.clone());
        if self.newest_first {
            self.bounds.1 = passed;
        } else {
            self.bounds.0 = passed;
        }
        Some((key.clone(), value.clone()))
    }
}
