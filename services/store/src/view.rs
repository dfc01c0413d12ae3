//! The committed store as one: the layers, and the database below them.

use std::sync::Arc;

use crate::Error;
use crate::engine::Engine;
use crate::layers::{Layers, Scan};
use crate::read::{Bounds, RawRow};
use crate::tx::merge;

/// What every reader looks at.
pub(crate) struct View {
    pub(crate) layers: Layers,
    pub(crate) engine: Engine,
}

impl View {
    pub(crate) fn get(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match self.layers.get(table, key) {
            Some(written) => Ok(written),
            None => self.engine.get(table, key),
        }
    }

    pub(crate) fn scan(
        &self,
        table: &'static str,
        bounds: Bounds,
        newest_first: bool,
    ) -> Result<Box<dyn Iterator<Item = RawRow> + '_>, Error> {
        let layers = self.layers.rows(table);
        let mut rows = self.engine.scan(table, bounds.clone(), newest_first)?;
        // From the bottom up: the last one has the last word.
        for layer in layers.into_iter().rev().flatten() {
            let layer = Scan::new(layer, bounds.clone(), newest_first);
            rows = merge(rows, layer, newest_first);
        }
        Ok(rows)
    }

    /// Brings the old layer into the database.
    pub(crate) fn settle(self: &Arc<Self>) -> impl FnOnce() -> Result<(), Error> + Send + use<> {
        let view = self.clone();
        move || {
            view.engine.settle(&view.layers.old())?;
            view.layers.drop_old();
            Ok(())
        }
    }
}
