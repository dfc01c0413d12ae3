//! CSV: a body split into records (RFC 4180), and konbini's own columns.
//!
//! Our columns, in any order: `sku`, `title`, `price` (decimal, `19.99`),
//! `currency`, `description`, `brand`, `categories` and `images` (several in one
//! cell are separated by `|`), `status`, `stock`, and one `attribute.NAME` for
//! each attribute. An empty cell is a field that is left out.
//!
//! **Invariants:** at most [`RECORD_BYTES_MAX`] of a record are buffered; a longer one
//! is reported by its line. An unknown header column refuses the file before anything
//! of it is written, so that a misspelt column is never ignored.

use chassis::fields::BodyFault;
use csv_core::{ReadRecordResult, Reader};
use model::Currency;

use super::draft::ProductDraft;
use super::shopify::Shopify;
use super::{Entry, RECORD_BYTES_MAX};
use crate::submission::Submission;

/// Columns of a file.
const COLUMNS_MAX: usize = 1024;
/// The initial buffer of a record; most never need more.
const RECORD_BYTES_USUAL: usize = 16 * 1024;

/// The parser of a CSV body.
pub(super) struct Csv {
    records: Records,
    currency: Currency,
    /// `None` before the header.
    columns: Option<Columns>,
}

enum Columns {
    Own(Vec<Column>),
    Shopify(Box<Shopify>),
}

impl Csv {
    /// A reader of prices in `currency` where the file names none.
    pub(super) fn new(currency: Currency) -> Self {
        Self { records: Records::new(), currency, columns: None }
    }

    /// # Errors
    /// A header that is not understood.
    pub(super) fn feed(&mut self, piece: &[u8], entries: &mut Vec<Entry>) -> Result<(), BodyFault> {
        let Self { records, currency, columns } = self;
        records.feed(piece, |line, cells| {
            take(columns, *currency, line, cells, entries)
        })
    }

    /// # Errors
    /// As [`feed`](Self::feed).
    pub(super) fn end(&mut self, entries: &mut Vec<Entry>) -> Result<(), BodyFault> {
        // An empty piece marks the end of the body.
        self.feed(&[], entries)?;
        if let Some(Columns::Shopify(shopify)) = &mut self.columns {
            shopify.end(entries);
        }
        Ok(())
    }
}

/// A record's cells, or why they cannot be read.
type Cells<'c> = Result<Vec<&'c str>, UnreadableRecord>;

enum UnreadableRecord {
    TooLong,
    NotText,
}

fn take(
    columns: &mut Option<Columns>,
    currency: Currency,
    line: u64,
    cells: Cells<'_>,
    entries: &mut Vec<Entry>,
) -> Result<(), BodyFault> {
    let cells = match cells {
        Ok(cells) => cells,
        Err(UnreadableRecord::TooLong) => {
            entries.push(Entry::too_long(line));
            return Ok(());
        }
        Err(UnreadableRecord::NotText) => {
            let fault = BodyFault::Unreadable("the line is not UTF-8".into());
            entries.push(Entry::new(line, Err(fault)));
            return Ok(());
        }
    };
    match columns {
        None => *columns = Some(header(&cells, currency)?),
        Some(Columns::Own(columns)) => {
            entries.push(Entry::new(line, own(columns, &cells, currency)));
        }
        Some(Columns::Shopify(shopify)) => shopify.take(line, &cells, entries),
    }
    Ok(())
}

fn header(cells: &[&str], currency: Currency) -> Result<Columns, BodyFault> {
    if let Some(shopify) = Shopify::recognise(cells, currency) {
        return Ok(Columns::Shopify(Box::new(shopify)));
    }
    let known: Vec<_> = cells
        .iter()
        .map(|name| Column::named(name.trim()))
        .collect();
    let unknown: Vec<_> = cells
        .iter()
        .zip(&known)
        .filter(|(_, column)| column.is_none())
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    if !unknown.is_empty() {
        return Err(BodyFault::Unreadable(format!(
            "the header has columns that are not read here: {}; known are {} and attribute.NAME, or the columns of a Shopify product export",
            unknown.join(", "),
            PLAIN.join(", "),
        )));
    }
    Ok(Columns::Own(known.into_iter().flatten().collect()))
}

/// The columns that are named as they are.
const PLAIN: [&str; 10] = [
    "sku",
    "title",
    "price",
    "currency",
    "description",
    "brand",
    "categories",
    "images",
    "status",
    "stock",
];

/// A column of konbini's own format.
enum Column {
    Plain(&'static str),
    Attribute(String),
}

impl Column {
    fn named(name: &str) -> Option<Self> {
        if let Some(attribute) = name.strip_prefix("attribute.") {
            return Some(Self::Attribute(attribute.to_owned()));
        }
        let plain = PLAIN.iter().find(|known| known.eq_ignore_ascii_case(name));
        plain.map(|name| Self::Plain(name))
    }
}

fn own(columns: &[Column], cells: &[&str], currency: Currency) -> Result<Submission, BodyFault> {
    if cells.len() > columns.len() {
        return Err(BodyFault::Unreadable(format!(
            "the line has {} cells and the header {}; a cell with a comma must be in quotes",
            cells.len(),
            columns.len(),
        )));
    }
    let mut draft = ProductDraft::new(currency);
    for (column, cell) in columns.iter().zip(cells.iter().map(|cell| cell.trim())) {
        match column {
            _ if cell.is_empty() => {}
            Column::Attribute(name) => draft.attribute(name, cell),
            Column::Plain("price") => draft.price = Some(cell.to_owned()),
            Column::Plain("currency") => draft.currency(cell),
            Column::Plain("stock") => draft.stock(cell),
            Column::Plain(name @ ("categories" | "images")) => {
                let parts = cell.split('|').map(str::trim);
                draft.set(name, parts.filter(|part| !part.is_empty()).collect());
            }
            Column::Plain(name) => draft.set(name, cell.into()),
        }
    }
    draft.read()
}

/// The record splitter.
struct Records {
    cutter: Reader,
    /// The cells so far, one after another, and where each ends.
    text: Vec<u8>,
    ends: Vec<usize>,
    /// How much of both is used.
    used: (usize, usize),
    too_long: bool,
    /// Whether the next byte begins a record.
    between: bool,
    /// The line being read, and the one the record began in.
    line: u64,
    begun: u64,
}

impl Records {
    fn new() -> Self {
        Self {
            cutter: Reader::new(),
            text: vec![0; RECORD_BYTES_USUAL],
            ends: vec![0; COLUMNS_MAX],
            used: (0, 0),
            too_long: false,
            between: true,
            line: 1,
            begun: 1,
        }
    }

    /// Hands every record that ends in this piece to `take`, with its line.
    fn feed(
        &mut self,
        mut piece: &[u8],
        mut take: impl FnMut(u64, Cells<'_>) -> Result<(), BodyFault>,
    ) -> Result<(), BodyFault> {
        let at_end = piece.is_empty();
        loop {
            if self.between {
                piece = self.skip_line_ends(piece);
                self.begun = self.line;
            }
            if piece.is_empty() && !at_end {
                return Ok(());
            }
            self.between = false;
            let (text, ends) = self.used;
            let (result, read, written, ended) =
                self.cutter
                    .read_record(piece, &mut self.text[text..], &mut self.ends[ends..]);
            self.line += piece[..read].iter().filter(|byte| **byte == b'\n').count() as u64;
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
        self.line += ends.iter().filter(|byte| **byte == b'\n').count() as u64;
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
