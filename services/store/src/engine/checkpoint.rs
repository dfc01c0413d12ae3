//! Checkpoints: rows of the journal go into the database, one by one.
//!
//! **Invariant:** the rows of a record are in the database only once the stamp says that a
//! checkpoint of it has begun.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use super::Engine;
use crate::Error;
use crate::overlay::Rows;
use crate::stamp::Stamp;

/// The most rows, and bytes of them, between two syncs of a checkpoint. sled writes over
/// moved data about one of its own segments of log later, synced or not, so the rows, the
/// leaves rewritten for them and the data that its collection moves meanwhile must stay
/// well below a segment: 1.7 MiB at most were measured during an import.
const UNSYNCED_ROWS: usize = 256;
const UNSYNCED_BYTES: usize = 128 * 1024;

/// A row, and the place of its table among all of them.
type PlacedRow<'a> = (usize, (&'a Vec<u8>, &'a Option<Vec<u8>>));

impl Engine {
    /// Writes the rows of the records up to `number` and returns once they are durable. A
    /// crash leaves some of them; the journal has all.
    ///
    /// # Errors
    /// [`Error::Full`] after some of the rows: call it again. After any other error the
    /// engine is unusable.
    pub(crate) fn checkpoint<N, R>(&self, tables: &BTreeMap<N, R>, number: u64) -> Result<(), Error>
    where
        N: AsRef<str>,
        R: Borrow<Rows>,
    {
        let mut stamp = self.stamp.lock();
        let mut names = Vec::with_capacity(tables.len());
        let mut rows = Vec::new();
        for (place, (name, of_table)) in tables.iter().enumerate() {
            names.push(name.as_ref());
            rows.extend(of_table.borrow().iter().map(|row| (place, row)));
        }
        self.disk_reserve.keep_ahead(&self.file)?;
        stamp.begun = number;
        stamp.closed = false;
        self.write_stamp(&stamp)?;
        let mut left = rows.as_slice();
        loop {
            let (some, later) = left.split_at(fitting(left).min(left.len()));
            self.disk_reserve.keep_ahead(&self.file)?;
            self.put(&names, some, &mut stamp)?;
            if later.is_empty() {
                stamp.complete = number;
                self.write_stamp(&stamp)?;
                return self.sync();
            }
            self.sync()?;
            left = later;
        }
    }

    /// Writes rows, each with the index of its table's name, and brings the digests up to
    /// date.
    #[expect(
        clippy::disallowed_methods,
        reason = "the writer's rows arrive here, and are synced next"
    )]
    fn put(&self, names: &[&str], rows: &[PlacedRow<'_>], stamp: &mut Stamp) -> Result<(), Error> {
        for of_table in rows.chunk_by(|(one, _), (other, _)| one == other) {
            let name = names[of_table[0].0];
            let tree = self.tree(name)?;
            let digest = stamp.tables.entry(name.to_owned()).or_default();
            for (_, (key, value)) in of_table {
                let before = match value {
                    Some(value) => tree.insert(key, value.as_slice()),
                    None => tree.remove(key),
                };
                if let Some(before) = before.map_err(|error| self.failed(&error))? {
                    digest.remove(key, &before);
                }
                if let Some(value) = value {
                    digest.add(key, value);
                }
            }
        }
        Ok(())
    }
}

/// The number of rows before the next sync: at least one.
fn fitting(rows: &[PlacedRow<'_>]) -> usize {
    let mut bytes = 0;
    let fits = |(_, (key, value)): &&PlacedRow<'_>| {
        bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        bytes <= UNSYNCED_BYTES
    };
    let count = rows.iter().take(UNSYNCED_ROWS).take_while(fits).count();
    count.max(1)
}
