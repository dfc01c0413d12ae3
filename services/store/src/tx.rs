//! A transaction: typed reads and writes on top of everything committed and
//! everything the batch wrote before.

use std::iter::Peekable;

use crate::engine::Engine;
use crate::overlay::Overlay;
use crate::read::{Bounds, RawRow};
use crate::{Error, KEY_BYTES_MAX, Key, Read, Record, Table, VALUE_BYTES_MAX, record};

/// Runs after the sync that made its transaction durable.
pub(crate) type DurableHook = Box<dyn FnOnce() + Send>;

/// One closure's view of the store. Everything it writes becomes durable
/// together, or not at all.
pub struct Tx<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) overlay: &'a mut Overlay,
    pub(crate) hooks: &'a mut Vec<DurableHook>,
}

impl Tx<'_> {
    /// Writes a row, replacing what was there.
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

    /// Removes a row; removing what is not there is no error.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a key above [`KEY_BYTES_MAX`].
    pub fn delete<K: Key, V>(&mut self, table: Table<K, V>, key: &K) -> Result<(), Error> {
        self.set(table.name, key.encode(), None)
    }

    /// Runs `work` so that its writes stay only if it succeeds; what this
    /// transaction did before stays either way.
    ///
    /// # Errors
    /// Whatever `work` returned.
    pub fn attempt<T, E>(
        &mut self,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let (mark, hooks) = (self.overlay.mark(), self.hooks.len());
        let outcome = work(self);
        if outcome.is_err() {
            self.overlay.roll_back(mark);
            self.hooks.truncate(hooks);
        }
        outcome
    }

    /// Calls `hook` on the writer thread once this transaction is on disk, before
    /// its caller is answered. Never called if it is refused. It must be quick
    /// and must not touch the store.
    pub fn on_durable(&mut self, hook: impl FnOnce() + Send + 'static) {
        self.hooks.push(Box::new(hook));
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
            None => self.engine.get(table, key),
        }
    }

    fn raw_scan(
        &self,
        table: &'static str,
        bounds: Bounds,
        newest_first: bool,
    ) -> Result<Box<dyn Iterator<Item = RawRow> + '_>, Error> {
        let stored = self.engine.scan(table, bounds.clone(), newest_first)?;
        let Some(rows) = self.overlay.tables.get(table) else {
            return Ok(stored);
        };
        let written = rows.range(bounds).map(|(k, v)| (k.clone(), v.clone()));
        let written: Box<dyn Iterator<Item = _>> = if newest_first {
            Box::new(written.rev())
        } else {
            Box::new(written)
        };
        Ok(Box::new(Merge {
            stored: stored.peekable(),
            written: written.peekable(),
            newest_first,
        }))
    }
}

/// Two ordered runs as one; where both hold a key, the written row wins and a
/// written deletion hides it.
struct Merge<S: Iterator, W: Iterator> {
    stored: Peekable<S>,
    written: Peekable<W>,
    newest_first: bool,
}

impl<S, W> Iterator for Merge<S, W>
where
    S: Iterator<Item = RawRow>,
    W: Iterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
{
    type Item = RawRow;

    fn next(&mut self) -> Option<RawRow> {
        loop {
            let order = match (self.stored.peek(), self.written.peek()) {
                (Some(Err(_)), _) | (_, None) => return self.stored.next(),
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(Ok((stored, _))), Some((written, _))) => {
                    let order = stored.cmp(written);
                    if self.newest_first { order.reverse() } else { order }
                }
            };
            if order.is_lt() {
                return self.stored.next();
            }
            if order.is_eq() {
                self.stored.next();
            }
            if let Some((key, Some(value))) = self.written.next() {
                return Some(Ok((key, value)));
            }
        }
    }
}
