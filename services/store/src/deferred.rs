//! What the writer has put off: rows that are visible and have no record in the journal yet,
//! because nobody awaits their sync.
//!
//! The next record has them before its own rows, and one is made for them alone if none comes
//! within [`DELAY`]. A crash takes them back, so only a follower writes them: it applies the
//! same events again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::overlay::{Overlay, Rows};
use crate::tx::Hook;

/// How long a batch is put off. The sync of a flash card takes some milliseconds and writes a
/// page, so at least a dozen batches share one; people do not notice a notice that is so late.
const DELAY: Duration = Duration::from_millis(100);

/// The most bytes that are put off; more would have a record of their own anyway.
const BYTES_MAX: usize = 64 * 1024;

#[derive(Default)]
pub(crate) struct Deferred {
    pub(crate) rows: BTreeMap<&'static str, Rows>,
    /// The hooks that run when the next record is durable.
    pub(crate) hooks: Vec<Hook>,
    bytes: usize,
    /// When they are journalled at the latest; `None` if there are none.
    due: Option<Instant>,
}

impl Deferred {
    /// Puts a batch off.
    pub(crate) fn add(&mut self, batch: &Overlay) {
        self.bytes += batch.bytes();
        self.due.get_or_insert_with(|| Instant::now() + DELAY);
        for (table, rows) in &batch.tables {
            let of_table = self.rows.entry(table).or_default();
            of_table.extend(rows.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.due.is_none()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.bytes < BYTES_MAX
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The disk did not take them; they are journalled later.
    pub(crate) fn wait_again(&mut self) {
        self.due = self.due.map(|_| Instant::now() + DELAY);
    }
}
