//! [`Read`]: typed reads, by the same calls on the committed store and inside a
//! transaction, so that a service's lookups are written once for both.

use crate::table::Bounds;
use crate::{Error, Key, Record, Span, Table, record};

/// A row's raw bytes as the engine hands them out.
pub(crate) type RawRow = Result<(Vec<u8>, Vec<u8>), Error>;

/// Typed reads. Implemented by [`Store`](crate::Store), which sees the committed
/// state, and by [`Tx`](crate::Tx), which also sees its own writes.
pub trait Read {
    #[doc(hidden)]
    fn raw(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    #[doc(hidden)]
    fn raw_scan(
        &self,
        table: &'static str,
        bounds: Bounds,
        newest_first: bool,
    ) -> Result<Box<dyn Iterator<Item = RawRow> + '_>, Error>;

    /// The value under `key`, if there is one.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a record this version cannot read, [`Error::Io`]
    /// when the disk fails.
    fn get<K: Key, V: Record>(&self, table: Table<K, V>, key: &K) -> Result<Option<V>, Error> {
        self.raw(table.name, &key.encode())?
            .map(|bytes| read_value(table.name, &bytes))
            .transpose()
    }

    /// Whether there is a row under `key`.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk fails.
    fn contains<K: Key, V: Record>(&self, table: Table<K, V>, key: &K) -> Result<bool, Error> {
        Ok(self.raw(table.name, &key.encode())?.is_some())
    }

    /// The rows of a span, in its direction, read as the iterator advances. On a
    /// [`Store`](crate::Store) a long scan may see rows committed meanwhile.
    ///
    /// # Errors
    /// As for [`get`](Self::get), at the row concerned.
    fn scan<K: Key, V: Record>(
        &self,
        span: Span<K, V>,
    ) -> Result<impl Iterator<Item = Result<(K, V), Error>>, Error> {
        let (name, newest_first) = (span.table.name, span.newest_first);
        let rows = match span.bounds() {
            Some(bounds) => self.raw_scan(name, bounds, newest_first)?,
            None => Box::new(std::iter::empty()),
        };
        Ok(rows.map(move |row| {
            let (key, value) = row?;
            let key = K::decode(&key).ok_or_else(|| Error::Corrupt {
                table: name,
                why: format!("its key has {} unexpected bytes", key.len()),
            })?;
            Ok((key, read_value(name, &value)?))
        }))
    }
}

fn read_value<V: Record>(table: &'static str, bytes: &[u8]) -> Result<V, Error> {
    record::decode(bytes).map_err(|why| Error::Corrupt { table, why })
}
