//! A transaction: typed reads and writes on top of the committed state and of earlier
//! writes of the batch.

use crate::merge::merge;
use crate::overlay::Overlay;
use crate::read::RawRow;
use crate::table::Bounds;
use crate::view::View;
use crate::{Error, KEY_BYTES_MAX, Key, Read, Record, Table, VALUE_BYTES_MAX, record};

/// Runs on the writer thread when a batch has become visible, or durable.
pub(crate) type Hook = Box<dyn FnOnce() + Send>;

/// The hooks of a batch, by the moment they run at.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) visible: Vec<Hook>,
    pub(crate) durable: Vec<Hook>,
}

/// The state of a batch to roll back to.
pub(crate) struct Savepoint {
    writes: usize,
    visible: usize,
    durable: usize,
}

/// One closure's view of the store. Its writes become durable together or not at all.
pub struct Tx<'a> {
    pub(crate) view: &'a View,
    pub(crate) overlay: &'a mut Overlay,
    pub(crate) hooks: &'a mut Hooks,
    pub(crate) uses_reserve: bool,
    pub(crate) is_awaited: bool,
}

impl Tx<'_> {
    /// Writes a row, or replaces it.
    ///
    /// # Errors
    /// [`Error::TooLarge`] above [`KEY_BYTES_MAX`] or [`VALUE_BYTES_MAX`].
    pub fn put<K: Key, V: Record>(
        &mut self,
        table: Table<K, V>,
        key: &K,
        value: &V,
    ) -> Result<(), Error> {
        let table = table.name;
        let value = record::encode(value).map_err(|why| Error::Corrupt { table, why })?;
        within(table, "value", value.len(), VALUE_BYTES_MAX)?;
        self.set(table, key.encode(), Some(value))
    }

    /// Deletes a row; deleting an absent row is not an error.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a key above [`KEY_BYTES_MAX`].
    pub fn delete<K: Key, V>(&mut self, table: Table<K, V>, key: &K) -> Result<(), Error> {
        self.set(table.name, key.encode(), None)
    }

    /// Runs `work` as a savepoint: its writes stay only if it succeeds, earlier ones of
    /// this transaction stay either way.
    ///
    /// # Errors
    /// The error of `work`.
    pub fn attempt<T, E>(
        &mut self,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let before = self.savepoint();
        let outcome = work(self);
        if outcome.is_err() {
            self.roll_back(&before);
        }
        outcome
    }

    /// Lets this transaction use the reserve of a nearly full disk: for the few writes that
    /// staff needs in order to look at it.
    pub fn use_reserve(&mut self) {
        self.uses_reserve = true;
    }

    /// Makes a [deferred](crate::Store::write_deferred) transaction durable at once: somebody
    /// waits for what its [`on_durable`](Self::on_durable) hooks announce.
    pub fn sync_now(&mut self) {
        self.is_awaited = true;
    }

    pub(crate) fn savepoint(&self) -> Savepoint {
        Savepoint {
            writes: self.overlay.mark(),
            visible: self.hooks.visible.len(),
            durable: self.hooks.durable.len(),
        }
    }

    pub(crate) fn roll_back(&mut self, to: &Savepoint) {
        self.overlay.roll_back(to.writes);
        self.hooks.visible.truncate(to.visible);
        self.hooks.durable.truncate(to.durable);
    }

    /// Whether anything was written since.
    pub(crate) fn has_written_since(&self, savepoint: &Savepoint) -> bool {
        self.overlay.mark() > savepoint.writes
    }

    /// Calls `hook` on the writer thread once this transaction is durable, before its caller
    /// is completed. A refused transaction does not call it. The hook must be quick and must
    /// not use the store.
    pub fn on_durable(&mut self, hook: impl FnOnce() + Send + 'static) {
        self.hooks.durable.push(Box::new(hook));
    }

    /// As [`on_durable`](Self::on_durable), but as soon as the writes are visible to
    /// readers. A crash may still take them back, so this is only for effects that
    /// follow again from facts that are durable elsewhere.
    pub fn on_visible(&mut self, hook: impl FnOnce() + Send + 'static) {
        self.hooks.visible.push(Box::new(hook));
    }

    fn set(
        &mut self,
        table: &'static str,
        key: Vec<u8>,
        value: Option<Vec<u8>>,
    ) -> Result<(), Error> {
        within(table, "key", key.len(), KEY_BYTES_MAX)?;
        self.overlay.set(table, key, value);
        Ok(())
    }
}

fn within(
    table: &'static str,
    what: &'static str,
    bytes: usize,
    bytes_max: usize,
) -> Result<(), Error> {
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(Error::TooLarge { table, what, bytes, bytes_max })
}

impl Read for Tx<'_> {
    fn raw(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match self.overlay.get(table, key) {
            Some(written) => Ok(written.map(<[u8]>::to_vec)),
            None => self.view.get(table, key),
        }
    }

    fn raw_scan(
        &self,
        table: &'static str,
        bounds: Bounds,
        newest_first: bool,
    ) -> Result<Box<dyn Iterator<Item = RawRow> + '_>, Error> {
        let stored = self.view.scan(table, bounds.clone(), newest_first)?;
        let Some(rows) = self.overlay.tables.get(table) else {
            return Ok(stored);
        };
        let written = rows.range(bounds).map(|(k, v)| (k.clone(), v.clone()));
        Ok(if newest_first {
            merge(stored, written.rev(), newest_first)
        } else {
            merge(stored, written, newest_first)
        })
    }
}
