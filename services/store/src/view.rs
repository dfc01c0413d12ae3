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
