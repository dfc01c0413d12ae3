//! The uncommitted writes of a batch, with undo.
//!
//! All closures of a batch write into one overlay. The writes of a refused closure are
//! rolled back by its undo list, so accepted and refused closures share a batch without
//! seeing each other's failures.
//!
//! **Invariant:** after `roll_back(mark)` the overlay equals what it was when
//! `mark` was taken.

use std::collections::BTreeMap;

/// A table's writes; `None` is a deletion.
pub(crate) type Rows = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Writes by table and key; `None` is a deletion.
#[derive(Default)]
pub(crate) struct Overlay {
    pub(crate) tables: BTreeMap<&'static str, Rows>,
    undo: Vec<Undo>,
    bytes: usize,
}

struct Undo {
    table: &'static str,
    key: Vec<u8>,
    before: Option<Option<Vec<u8>>>,
}

impl Overlay {
    /// The write of a key: `None` without one, `Some(None)` for a deletion.
    pub(crate) fn get(&self, table: &str, key: &[u8]) -> Option<Option<&[u8]>> {
        Some(self.tables.get(table)?.get(key)?.as_deref())
    }

    pub(crate) fn set(&mut self, table: &'static str, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        let before = self
            .tables
            .entry(table)
            .or_default()
            .insert(key.clone(), value);
        self.undo.push(Undo { table, key, before });
    }

    /// A point to roll back to.
    pub(crate) fn mark(&self) -> usize {
        self.undo.len()
    }

    pub(crate) fn roll_back(&mut self, mark: usize) {
        while self.undo.len() > mark {
            let Some(Undo { table, key, before }) = self.undo.pop() else {
                return;
            };
            let rows = self.tables.entry(table).or_default();
            match before {
                Some(value) => rows.insert(key, value),
                None => rows.remove(&key),
            };
        }
    }

    /// An upper bound on the bytes to be committed.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of rows written, deletions included.
    pub(crate) fn rows(&self) -> usize {
        self.tables.values().map(BTreeMap::len).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tables.values().all(BTreeMap::is_empty)
    }
}
