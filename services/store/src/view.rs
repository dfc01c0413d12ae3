//! The committed state of a store: the memtables, and the database below them.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::Error;
use crate::engine::Engine;
use crate::memtables::{MemtableScan, Memtables};
use crate::merge::merge;
use crate::read::RawRow;
use crate::table::Bounds;

/// The state that every reader sees.
pub(crate) struct View {
    pub(crate) memtables: Memtables,
    pub(crate) engine: Engine,
}

impl View {
    pub(crate) fn get(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match self.memtables.get(table, key) {
            Some(written) => Ok(written),
            None => self.engine.get(table, key),
        }
    }

    pub(crate) fn scan(
        &self,
        table: &str,
        bounds: Bounds,
        newest_first: bool,
    ) -> Result<Box<dyn Iterator<Item = RawRow> + '_>, Error> {
        let memtables = self.memtables.rows(table);
        let mut rows = self.engine.scan(table, bounds.clone(), newest_first)?;
        // The immutable memtable first: rows of the active one are newer and win.
        for memtable in memtables.into_iter().rev().flatten() {
            let scan = MemtableScan::new(memtable, bounds.clone(), newest_first);
            rows = merge(rows, scan, newest_first);
        }
        Ok(rows)
    }

    /// The number of a table's rows; `None` if a checkpoint does not end in time.
    pub(crate) fn row_count(&self, table: &'static str) -> Result<Option<u64>, Error> {
        let counted = self.engine.with_row_count(table, |below| {
            let mut count = below;
            let [active, immutable] = self.memtables.rows(table);
            let is_newer =
                |key: &Vec<u8>| active.as_ref().is_some_and(|rows| rows.contains_key(key));
            let newest = active.iter().flat_map(|rows| rows.iter());
            let older = immutable.iter().flat_map(|rows| rows.iter());
            for (key, value) in newest.chain(older.filter(|(key, _)| !is_newer(key))) {
                match (self.engine.get(table, key)?.is_some(), value.is_some()) {
                    (false, true) => count += 1,
                    (true, false) => count = count.saturating_sub(1),
                    _ => {}
                }
            }
            Ok::<_, Error>(count)
        });
        counted.transpose()
    }

    /// The names of the tables that have had rows.
    pub(crate) fn tables(&self) -> Vec<String> {
        let mut names: BTreeSet<_> = self.memtables.tables();
        names.extend(self.engine.tables());
        names.into_iter().collect()
    }

    /// A checkpoint: moves the immutable memtable, which has the records up to `number`,
    /// into the database.
    pub(crate) fn checkpoint(
        self: &Arc<Self>,
        number: u64,
    ) -> impl FnOnce() -> Result<(), Error> + Send + use<> {
        let view = self.clone();
        move || {
            let immutable = view.memtables.immutable();
            view.engine.checkpoint(&immutable, number)?;
            view.memtables.drop_immutable();
            Ok(())
        }
    }
}
