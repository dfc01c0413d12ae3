//! A transaction: typed reads and writes on top of everything committed and
//! everything the batch wrote before.

use std::iter::Peekable;

use crate::overlay::Overlay;
use crate::read::{Bounds, RawRow};
use crate::view::View;
use crate::{Error, KEY_BYTES_MAX, Key, Read, Record, Table, VALUE_BYTES_MAX, record};

/// Runs on the writer thread when a batch has come so far.
pub(crate) type Hook = Box<dyn FnOnce() + Send>;

/// What waits for a batch to be seen by readers, and to be on disk.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) visible: Vec<Hook>,
    pub(crate) durable: Vec<Hook>,
}

/// One closure's view of the store. Everything it writes becomes durable
/// together, or not at all.
pub struct Tx<'a> {
    pub(crate) view: &'a View,
    pub(crate) overlay: &'a mut Overlay,
    pub(crate) hooks: &'a mut Hooks,
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
        let (visible, durable) = (self.hooks.visible.len(), self.hooks.durable.len());
        let mark = self.overlay.mark();
        let outcome = work(self);
        if outcome.is_err() {
            self.overlay.roll_back(mark);
            self.hooks.visible.truncate(visible);
            self.hooks.durable.truncate(durable);
        }
        outcome
    }

    /// Calls `hook` on the writer thread once this transaction is on disk, before
    /// its caller is answered. Never called if it is refused. It must be quick
    /// and must not touch the store.
    pub fn on_durable(&mut self, hook: impl FnOnce() + Send + 'static) {
        self.hooks.durable.push(Box::new(hook));
    }

    /// As [`on_durable`](Self::on_durable), but as soon as readers see what was
    /// written, which a crash may still take back: only for what follows again from
    /// facts that are durable elsewhere.
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

/// What is stored with what was written on top of it, both in the same direction.
pub(crate) fn merge<'a>(
    stored: Box<dyn Iterator<Item = RawRow> + 'a>,
    written: impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)> + 'a,
    newest_first: bool,
) -> Box<dyn Iterator<Item = RawRow> + 'a> {
    let mut written = written.peekable();
    if written.peek().is_none() {
        return stored;
    }
    Box::new(Merge { stored: stored.peekable(), written, newest_first })
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
