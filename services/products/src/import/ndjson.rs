//! NDJSON: a body split into lines, one product each.
//!
//! **Invariant:** at most [`RECORD_BYTES_MAX`] of a line are buffered; a longer one is
//! reported by its number.

use super::entry::{Entry, RECORD_BYTES_MAX};
use super::line::ProductLine;

/// The line splitter.
pub(super) struct LineSplitter {
    /// The beginning of an incomplete line.
    begun: Vec<u8>,
    /// Whether that line is too long and was discarded.
    too_long: bool,
    /// Complete lines so far.
    ended: u64,
}

impl LineSplitter {
    /// A splitter of what follows that many lines.
    pub(super) fn after(lines: u64) -> Self {
        Self { begun: Vec::new(), too_long: false, ended: lines }
    }

    pub(super) fn feed(&mut self, piece: &[u8], entries: &mut Vec<Entry>) {
        let mut parts = piece.split(|byte| *byte == b'\n').peekable();
        while let Some(part) = parts.next() {
            let ends = parts.peek().is_some();
            if ends && self.begun.is_empty() {
                // Most lines are parsed without a copy.
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

    /// Ends the incomplete line.
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
            entries.push(Entry::new(self.ended, ProductLine::of_json(line)));
        }
    }
}
