//! A body cut into records (RFC 4180), and our own columns.
//!
//! Our columns, in any order: `sku`, `title`, `price` (decimal, `19.99`),
//! `currency`, `description`, `brand`, `categories` and `images` (several in one
//! cell are separated by `|`), `status`, `stock`, and one `attribute.NAME` for
//! each attribute. An empty cell is a field that is left out.
//!
//! **Invariants:** no more than [`RECORD_BYTES_MAX`] of a record is kept; of a
//! longer one only its line is remembered. A header that is not understood refuses
//! the file before anything of it is written, so that a typo never passes for a
//! column nobody needs.

use chassis::FieldError;
use csv_core::{ReadRecordResult, Reader};
use model::Currency;
use serde_json::{Map, Value, json};

use super::price::minor_units;
use super::shopify::Shopify;
use super::{Entry, RECORD_BYTES_MAX};
use crate::submission::{self, Fault, Submission};

/// Columns of a file.
const COLUMNS_MAX: usize = 1024;
/// Room for a record at first; most never need more.
const RECORD_BYTES_USUAL: usize = 16 * 1024;

/// A CSV body being read.
pub(super) struct Csv {
    records: Records,
    currency: Currency,
    /// What the columns mean; `None` before the header came.
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
    pub(super) fn feed(&mut self, piece: &[u8], entries: &mut Vec<Entry>) -> Result<(), Fault> {
        let Self { records, currency, columns } = self;
        records.feed(piece, |line, cells| {
            take(columns, *currency, line, cells, entries)
        })
    }

    /// # Errors
    /// As [`feed`](Self::feed).
    pub(super) fn end(&mut self, entries: &mut Vec<Entry>) -> Result<(), Fault> {
        // No piece at all is how the cutter is told of the end.
        self.feed(&[], entries)?;
        if let Some(Columns::Shopify(shopify)) = &mut self.columns {
            shopify.end(entries);
        }
        Ok(())
    }
}

/// A record's cells, or why they cannot be read.
type Cells<'c> = Result<Vec<&'c str>, Unreadable>;

enum Unreadable {
    TooLong,
    NotText,
}

fn take(
    columns: &mut Option<Columns>,
    currency: Currency,
    line: u64,
    cells: Cells<'_>,
    entries: &mut Vec<Entry>,
) -> Result<(), Fault> {
    let cells = match cells {
        Ok(cells) => cells,
        Err(Unreadable::TooLong) => {
            entries.push(Entry::too_long(line));
            return Ok(());
        }
        Err(Unreadable::NotText) => {
            let fault = Fault::Unreadable("the line is not UTF-8".into());
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

fn header(cells: &[&str], currency: Currency) -> Result<Columns, Fault> {
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
        return Err(Fault::Unreadable(format!(
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

/// What a column of ours holds.
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

fn own(columns: &[Column], cells: &[&str], currency: Currency) -> Result<Submission, Fault> {
    if cells.len() > columns.len() {
        return Err(Fault::Unreadable(format!(
            "the line has {} cells and the header {}; a cell with a comma must be in quotes",
            cells.len(),
            columns.len(),
        )));
    }
    let mut draft = Draft::new(currency);
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

/// A product as cells describe it, on its way to being one.
pub(super) struct Draft {
    fields: Map<String, Value>,
    attributes: Map<String, Value>,
    /// Decimal, as written.
    pub(super) price: Option<String>,
    currency: Currency,
    faults: Vec<FieldError>,
}

impl Draft {
    pub(super) fn new(currency: Currency) -> Self {
        Self {
            fields: Map::new(),
            attributes: Map::new(),
            price: None,
            currency,
            faults: Vec::new(),
        }
    }

    pub(super) fn set(&mut self, name: &str, value: Value) {
        self.fields.insert(name.to_owned(), value);
    }

    pub(super) fn attribute(&mut self, name: &str, value: &str) {
        self.attributes.insert(name.to_owned(), value.into());
    }

    fn currency(&mut self, cell: &str) {
        match cell.parse() {
            Ok(currency) => self.currency = currency,
            Err(error) => self.fault("/price/currency", format!("{cell:?}: {error}")),
        }
    }

    pub(super) fn stock(&mut self, cell: &str) {
        match cell.parse::<i64>() {
            Ok(pieces) => self.set("stock", pieces.into()),
            Err(_) => self.fault("/stock", format!("{cell:?} is no whole number")),
        }
    }

    fn fault(&mut self, pointer: &str, detail: String) {
        self.faults.push(FieldError::new(pointer, detail));
    }

    /// The product, by the same rules as one that came as JSON.
    pub(super) fn read(mut self) -> Result<Submission, Fault> {
        if let Some(price) = self.price.take() {
            let amount = minor_units(&price, self.currency);
            if amount.is_none() {
                let detail = format!("{price:?} is no amount of {} such as 19.99", self.currency);
                self.fault("/price/amount", detail);
            }
            let currency = self.currency.to_string();
            self.set(
                "price",
                json!({ "amount": amount.unwrap_or(0), "currency": currency }),
            );
        }
        let Self { mut fields, attributes, mut faults, .. } = self;
        fields.insert("attributes".into(), attributes.into());
        match submission::read(Value::Object(fields).to_string().as_bytes()) {
            Ok(submission) if faults.is_empty() => Ok(submission),
            Ok(_) => Err(Fault::Invalid(faults)),
            Err(Fault::Invalid(more)) => {
                faults.extend(more);
                Err(Fault::Invalid(faults))
            }
            Err(unreadable) => Err(unreadable),
        }
    }
}

/// Records being put together.
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
        mut take: impl FnMut(u64, Cells<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
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
            return Err(Unreadable::TooLong);
        }
        let mut begin = 0;
        self.ends[..self.used.1]
            .iter()
            .map(|end| {
                let cell = &self.text[begin..*end];
                begin = *end;
                std::str::from_utf8(cell).map_err(|_| Unreadable::NotText)
            })
            .collect()
    }
}
