//! Rows that are in the journal and not in the database yet, as readers see them.
//!
//! A batch's rows come to the young layer. When the journal turns to its other file
//! that layer becomes the old one, which nobody changes any more, and which is gone
//! once the database has its rows. What is written often, the head of a log or a
//! stock level, comes to the database once a turn instead of once a batch.
//!
//! **Invariant:** a row is in a layer from before its batch is journalled until the
//! database has it: whoever looks at the layers first and at the database afterwards
//! misses nothing.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::overlay::{Overlay, Rows};
use crate::read::Bounds;

pub(crate) type Layer = BTreeMap<&'static str, Arc<Rows>>;

/// The two layers above the database.
#[derive(Default)]
pub(crate) struct Layers(RwLock<Both>);

#[derive(Default)]
struct Both {
    young: Layer,
    old: Arc<Layer>,
}

impl Layers {
    /// What the layers say of a key: `None` when they say nothing.
    pub(crate) fn get(&self, table: &str, key: &[u8]) -> Option<Option<Vec<u8>>> {
        let both = self.read();
        let find = |layer: &Layer| layer.get(table)?.get(key).cloned();
        find(&both.young).or_else(|| find(&both.old))
    }

    /// A table's rows in the young and in the old layer, as they are now.
    pub(crate) fn rows(&self, table: &str) -> [Option<Arc<Rows>>; 2] {
        let both = self.read();
        [both.young.get(table).cloned(), both.old.get(table).cloned()]
    }

    /// Shows a batch.
    pub(crate) fn show(&self, batch: Overlay) {
        let mut both = self.write();
        for (table, rows) in batch.tables {
            // Copied only while somebody scans it.
            Arc::make_mut(both.young.entry(table).or_default()).extend(rows);
        }
    }

    /// Makes the young layer the old one, which must be gone.
    pub(crate) fn turn(&self) {
        let mut both = self.write();
        both.old = Arc::new(std::mem::take(&mut both.young));
    }

    /// What the database has to take in.
    pub(crate) fn old(&self) -> Arc<Layer> {
        self.read().old.clone()
    }

    /// The database has the old layer.
    pub(crate) fn drop_old(&self) {
        self.write().old = Arc::default();
    }

    fn read(&self) -> RwLockReadGuard<'_, Both> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Both> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rows of a table that is shared, one by one.
pub(crate) struct Scan {
    rows: Arc<Rows>,
    bounds: Bounds,
    newest_first: bool,
}

impl Scan {
    pub(crate) fn new(rows: Arc<Rows>, bounds: Bounds, newest_first: bool) -> Self {
        Self { rows, bounds, newest_first }
    }
}

impl Iterator for Scan {
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
