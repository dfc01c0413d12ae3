//! Reading a damaged table: its rows from both ends, and those between unreadable pages.
//!
//! A page that does not read ends a scan, so the scan goes on at a key behind it. Its
//! pages name no such key, so the prefixes of the last key read are tried, each raised by one:
//! they lie ever further behind it.

use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Engine;
use crate::error::panic_text;
use crate::read::RawRow;
use crate::stamp::Stamp;
use crate::table::{Bounds, successor};

/// The order in which keys are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Ascending,
    Descending,
}

/// A row that reads.
type Row = (Vec<u8>, Vec<u8>);

impl Engine {
    /// The stamp, if it reads.
    pub(crate) fn readable_stamp(&self) -> Option<Stamp> {
        caught(|| self.stored_stamp()).ok().flatten()
    }

    /// Calls `row` for each row of a table that reads, and returns what stopped a scan, once
    /// for each place.
    ///
    /// # Errors
    /// Those of `row`.
    pub(crate) fn readable_rows<E>(
        &self,
        table: &str,
        mut row: impl FnMut(Row) -> Result<(), E>,
    ) -> Result<Vec<String>, E> {
        let mut faults = Vec::new();
        let mut low = Bound::Unbounded;
        loop {
            let mut last = None;
            let stopped = self.read_while_readable(
                table,
                (low.clone(), Bound::Unbounded),
                Direction::Ascending,
                |read| {
                    last = Some(read.0.clone());
                    row(read)
                },
            )?;
            let Some(why) = stopped else {
                return Ok(faults);
            };
            faults.push(why);
            let gap = match (last, low) {
                (Some(last), _) | (None, Bound::Included(last)) => Bound::Excluded(last),
                (None, low) => low,
            };
            let next = self.next_readable(table, &gap);
            // The pages between the damage and the next start.
            let high = next.clone().map_or(Bound::Unbounded, Bound::Excluded);
            let bounds = (gap, high);
            let stopped =
                self.read_while_readable(table, bounds, Direction::Descending, &mut row)?;
            faults.extend(stopped.filter(|why| faults.last() != Some(why)));
            let Some(next) = next else {
                return Ok(faults);
            };
            low = Bound::Included(next);
        }
    }

    /// Calls `row` for the rows within the bounds up to the first that does not read;
    /// returns why it does not.
    fn read_while_readable<E>(
        &self,
        table: &str,
        bounds: Bounds,
        direction: Direction,
        mut row: impl FnMut(Row) -> Result<(), E>,
    ) -> Result<Option<String>, E> {
        let mut rows = match caught(|| self.rows(table, bounds, direction)) {
            Ok(rows) => rows,
            Err(why) => return Ok(Some(why)),
        };
        loop {
            match caught(|| rows.next().transpose()) {
                Ok(Some(read)) => row(read)?,
                Ok(None) => return Ok(None),
                Err(why) => return Ok(Some(why)),
            }
        }
    }

    fn rows(
        &self,
        table: &str,
        bounds: Bounds,
        direction: Direction,
    ) -> Result<Box<dyn Iterator<Item = RawRow> + '_>, crate::Error> {
        self.scan(table, bounds, direction == Direction::Descending)
    }

    /// The first key behind damage at which a scan can begin.
    fn next_readable(&self, table: &str, gap: &Bound<Vec<u8>>) -> Option<Vec<u8>> {
        let candidates: Vec<Vec<u8>> = match gap {
            Bound::Excluded(last) => (1..=last.len())
                .rev()
                .filter_map(|length| successor(last[..length].to_vec()))
                .collect(),
            // No key was read yet.
            _ => (1..=u8::MAX).map(|first| vec![first]).collect(),
        };
        candidates.into_iter().find_map(|key| {
            let bounds = (Bound::Included(key), Bound::Unbounded);
            let first = caught(|| {
                let first: Option<RawRow> = self.rows(table, bounds, Direction::Ascending)?.next();
                first.transpose()
            });
            first.ok().flatten().map(|(key, _)| key)
        })
    }
}

/// The result of a read, with a panic of the engine as an error.
fn caught<T>(read: impl FnOnce() -> Result<T, crate::Error>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(read) => read.map_err(|error| error.to_string()),
        Err(panic) => Err(panic_text(&*panic)),
    }
}
