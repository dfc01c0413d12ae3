//! A body cut into lines of JSON, one product each.
//!
//! **Invariant:** no more than [`RECORD_BYTES_MAX`] of a line is ever kept; of a
//! longer one only its number is remembered.

use super::{Entry, RECORD_BYTES_MAX};
use crate::submission;

/// Lines being put together.
#[derive(Default)]
pub(super) struct Lines {
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
    /// Whether that line is too long, and its beginning thrown away.
    too_long: bool,
    /// How many lines have ended.
    ended: u64,
}

impl Lines {
    pub(super) fn feed(&mut self, piece: &[u8], entries: &mut Vec<Entry>) {
        let mut parts = piece.split(|byte| *byte == b'\n').peekable();
        while let Some(part) = parts.next() {
            let ends = parts.peek().is_some();
            if ends && self.begun.is_empty() {
                // Most lines are read where they lie.
                self.line(part, entries);
                continue;
            }
            self.begun.extend_from_slice(part);
            if ends {
                self.end(entries);
            } else if self.begun.len() > RECORD_BYTES_MAX {
                self.too_long = true;
                self.begun.clear();
            }
        }
    }

    /// The line that was begun ends here.
    pub(super) fn end(&mut self, entries: &mut Vec<Entry>) {
        let line = std::mem::take(&mut self.begun);
        self.line(&line, entries);
        self.begun = line;
        self.begun.clear();
    }

    fn line(&mut self, line: &[u8], entries: &mut Vec<Entry>) {
        self.ended += 1;
        if std::mem::take(&mut self.too_long) || line.len() > RECORD_BYTES_MAX {
            entries.push(Entry::too_long(self.ended));
        } else if !line.trim_ascii().is_empty() {
            entries.push(Entry::new(self.ended, submission::read(line)));
        }
    }
}
