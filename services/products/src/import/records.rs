//! The records of a CSV body (RFC 4180), whatever separates its cells and ends its lines.
//!
//! **Invariants:** at most [`RECORD_BYTES_MAX`] of a record are buffered; a record that cannot
//! be read is reported by the line it begins in.

use chassis::fields::BodyFault;
use csv_core::{ReadRecordResult, Reader as Cutter, ReaderBuilder};

use super::entry::RECORD_BYTES_MAX;

/// Columns of a file.
pub(super) const COLUMNS_MAX: usize = 1024;
/// The initial buffer of a record; most never need more.
const RECORD_BYTES_USUAL: usize = 16 * 1024;
/// What a spreadsheet writes before the header to name its separator, `sep=;`.
const SEPARATOR_LINE: &[u8] = b"sep=";

/// A record's cells, or why they cannot be read.
pub(super) type Cells<'c> = Result<Vec<&'c str>, UnreadableRecord>;

/// Why a record cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnreadableRecord {
    /// It is longer than [`RECORD_BYTES_MAX`], or has more than [`COLUMNS_MAX`] cells.
    TooLong,
    NotText,
    /// A quote opens in it and none closes before the body ends.
    Unclosed,
}

/// The record splitter.
pub(super) struct Records {
    /// The text up to the end of the header line, until the separator is known.
    start: Option<Vec<u8>>,
    cutter: Cutter,
    /// The cells so far, one after another, and where each ends.
    text: Vec<u8>,
    ends: Vec<usize>,
    /// How much of both is used.
    used: (usize, usize),
    too_long: bool,
    /// Whether the next byte begins a record.
    between: bool,
    lines: LineCount,
    /// The line that the record began in.
    begun: u64,
}

/// The number of the line being read. A line ends with a line feed, a carriage return (as on
/// old Macs), or both.
struct LineCount {
    line: u64,
    after_return: bool,
}

impl LineCount {
    fn pass(&mut self, text: &[u8]) {
        for byte in text {
            let ends = match byte {
                b'\r' => true,
                b'\n' => !self.after_return,
                _ => false,
            };
            self.line += u64::from(ends);
            self.after_return = *byte == b'\r';
        }
    }
}

impl Records {
    /// A splitter of what follows that many lines.
    pub(super) fn after(lines: u64) -> Self {
        Self {
            start: Some(Vec::new()),
            cutter: Cutter::new(),
            text: vec![0; RECORD_BYTES_USUAL],
            ends: vec![0; COLUMNS_MAX],
            used: (0, 0),
            too_long: false,
            between: true,
            lines: LineCount { line: lines + 1, after_return: false },
            begun: lines + 1,
        }
    }

    /// Hands every record that ends in this piece to `take`, with its line.
    pub(super) fn feed(
        &mut self,
        piece: &[u8],
        take: &mut impl FnMut(u64, Cells<'_>) -> Result<(), BodyFault>,
    ) -> Result<(), BodyFault> {
        let Some(start) = &mut self.start else {
            return self.cut(piece, take);
        };
        start.extend_from_slice(piece);
        let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let text = start
            .iter()
            .position(|byte| !is_line_end(byte))
            .map(|begin| &start[begin..]);
        let has_header = text.is_some_and(|text| text.iter().any(is_line_end));
        if has_header || start.len() > RECORD_BYTES_MAX {
            return self.begin(take);
        }
        Ok(())
    }

    /// Hands over the record that the end of the body ends.
    pub(super) fn end(
        &mut self,
        take: &mut impl FnMut(u64, Cells<'_>) -> Result<(), BodyFault>,
    ) -> Result<(), BodyFault> {
        if self.start.is_some() {
            self.begin(take)?;
        }
        if self.between {
            return Ok(());
        }
        // A line end closes every record, unless it is within quotes.
        self.cut(b"\n", take)?;
        if self.between {
            return Ok(());
        }
        self.between = true;
        take(self.begun, Err(UnreadableRecord::Unclosed))
    }

    /// Detects the separator in the first line, and parses the records buffered so far.
    fn begin(
        &mut self,
        take: &mut impl FnMut(u64, Cells<'_>) -> Result<(), BodyFault>,
    ) -> Result<(), BodyFault> {
        let start = self.start.take().unwrap_or_default();
        let text = self.skip_line_ends(&start);
        let end = text
            .iter()
            .position(|byte| matches!(byte, b'\r' | b'\n'))
            .unwrap_or(text.len());
        let (line, rest) = text.split_at(end);
        let named = line.to_ascii_lowercase();
        let (separator, text) = match named.strip_prefix(SEPARATOR_LINE) {
            // The line end behind it is skipped as those between records are.
            Some([separator]) => (*separator, rest),
            _ => (separator(line), text),
        };
        self.cutter = ReaderBuilder::new().delimiter(separator).build();
        self.cut(text, take)
    }

    fn cut(
        &mut self,
        mut piece: &[u8],
        take: &mut impl FnMut(u64, Cells<'_>) -> Result<(), BodyFault>,
    ) -> Result<(), BodyFault> {
        loop {
            if self.between {
                piece = self.skip_line_ends(piece);
                self.begun = self.lines.line;
            }
            // To the cutter an empty piece is the end.
            if piece.is_empty() {
                return Ok(());
            }
            self.between = false;
            let (text, ends) = self.used;
            let (result, read, written, ended) =
                self.cutter
                    .read_record(piece, &mut self.text[text..], &mut self.ends[ends..]);
            self.lines.pass(&piece[..read]);
            piece = &piece[read..];
            self.used = (text + written, ends + ended);
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.grow(),
                ReadRecordResult::OutputEndsFull => self.give_up(),
                ReadRecordResult::Record => {
                    let begun = self.begun;
                    take(begun, self.cells())?;
                    self.used = (0, 0);
                    self.between = true;
                }
                ReadRecordResult::End => return Ok(()),
            }
        }
    }

    fn skip_line_ends<'p>(&mut self, piece: &'p [u8]) -> &'p [u8] {
        let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let count = piece.iter().take_while(|byte| is_line_end(byte)).count();
        let (ends, rest) = piece.split_at(count);
        self.lines.pass(ends);
        rest
    }

    fn grow(&mut self) {
        if self.text.len() >= RECORD_BYTES_MAX {
            self.give_up();
        } else {
            self.text
                .resize((self.text.len() * 2).min(RECORD_BYTES_MAX), 0);
        }
    }

    /// The record is too long: the rest of it is read into the same place.
    fn give_up(&mut self) {
        self.too_long = true;
        self.used = (0, 0);
    }

    fn cells(&mut self) -> Cells<'_> {
        if std::mem::take(&mut self.too_long) {
            return Err(UnreadableRecord::TooLong);
        }
        let mut begin = 0;
        self.ends[..self.used.1]
            .iter()
            .map(|end| {
                let cell = &self.text[begin..*end];
                begin = *end;
                std::str::from_utf8(cell).map_err(|_| UnreadableRecord::NotText)
            })
            .collect()
    }
}

/// The separator of a header line: of the usual ones the most frequent outside quotes.
fn separator(header: &[u8]) -> u8 {
    let mut counts = [(b',', 0_usize), (b';', 0), (b'\t', 0)];
    let mut in_quotes = false;
    for byte in header {
        if *byte == b'"' {
            in_quotes = !in_quotes;
        }
        for (separator, count) in &mut counts {
            *count += usize::from(!in_quotes && byte == separator);
        }
    }
    // Of equals the last is the maximum, so the comma, the default, is put there.
    let most = counts.into_iter().rev().max_by_key(|(_, count)| *count);
    most.map_or(b',', |(separator, _)| separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = Vec<(u64, Result<Vec<String>, UnreadableRecord>)>;

    fn records(body: &str, piece: usize) -> Read {
        let (mut records, mut read) = (Records::after(0), Read::new());
        let mut take = |line, cells: Cells<'_>| {
            let cells = cells.map(|cells| cells.into_iter().map(str::to_owned).collect());
            read.push((line, cells));
            Ok(())
        };
        for piece in body.as_bytes().chunks(piece) {
            records.feed(piece, &mut take).unwrap();
        }
        records.end(&mut take).unwrap();
        read
    }

    #[test]
    fn records_of_every_dialect() {
        let row = |line, cells: &[&str]| {
            (
                line,
                Ok(cells.iter().map(|cell| (*cell).to_owned()).collect()),
            )
        };
        for (body, expected) in [
            ("a,b\n1,2", vec![row(1, &["a", "b"]), row(2, &["1", "2"])]),
            (
                "a;b\r\n1,5;2\r\n",
                vec![row(1, &["a", "b"]), row(2, &["1,5", "2"])],
            ),
            (
                "a\tb\n1\t2\n",
                vec![row(1, &["a", "b"]), row(2, &["1", "2"])],
            ),
            ("sep=;\r\n\"a,b,c\";d\r\n", vec![row(2, &["a,b,c", "d"])]),
            ("\"a;b;c\",d\n", vec![row(1, &["a;b;c", "d"])]),
            (
                "a,b\r1,2\r\r3,4\r",
                vec![
                    row(1, &["a", "b"]),
                    row(2, &["1", "2"]),
                    row(4, &["3", "4"]),
                ],
            ),
            (
                "\n\na\n\"1\r\n2\"\nb",
                vec![row(3, &["a"]), row(4, &["1\r\n2"]), row(6, &["b"])],
            ),
            (
                "a\n1\n2,\"\n3\n4\n",
                vec![
                    row(1, &["a"]),
                    row(2, &["1"]),
                    (3, Err(UnreadableRecord::Unclosed)),
                ],
            ),
            ("a\n\"1\"", vec![row(1, &["a"]), row(2, &["1"])]),
            ("a", vec![row(1, &["a"])]),
            ("", vec![]),
        ] {
            for piece in [1, 2, 3, body.len().max(1)] {
                assert_eq!(
                    records(body, piece),
                    expected,
                    "{body:?} in pieces of {piece}"
                );
            }
        }
    }
}
