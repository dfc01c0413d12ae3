//! CSV: the records of a body, read by the columns of their header.
//!
//! **Invariant:** a header without a column that names products refuses the file before
//! anything of it is written.

use chassis::fields::BodyFault;

use super::entry::{Entry, RECORD_BYTES_MAX, Remainder};
use super::line::ProductLine;
use super::native::NativeColumns;
use super::records::{COLUMNS_MAX, Cells, Records, UnreadableRecord};
use super::shopify::Shopify;
use super::woocommerce::WooCommerce;

/// The parser of a CSV body.
pub(super) struct Csv {
    records: Records,
    /// `None` before the header.
    dialect: Option<Dialect>,
}

/// Whose columns a file has.
enum Dialect {
    Native(NativeColumns),
    Shopify(Box<Shopify>),
    WooCommerce(Box<WooCommerce>),
}

impl Csv {
    /// A parser of what follows that many lines.
    pub(super) fn after(lines: u64) -> Self {
        Self { records: Records::after(lines), dialect: None }
    }

    /// # Errors
    /// A header that is not understood.
    pub(super) fn feed(&mut self, piece: &[u8], entries: &mut Vec<Entry>) -> Result<(), BodyFault> {
        let Self { records, dialect } = self;
        records.feed(piece, &mut |line, cells| {
            take(dialect, line, cells, entries)
        })
    }

    /// # Errors
    /// As [`feed`](Self::feed).
    pub(super) fn end(&mut self, entries: &mut Vec<Entry>) -> Result<(), BodyFault> {
        let Self { records, dialect } = self;
        records.end(&mut |line, cells| take(dialect, line, cells, entries))
    }

    /// Hands over what waited for the end of the body, a part at a time.
    pub(super) fn drain(&mut self, entries: &mut Vec<Entry>) -> Remainder {
        match &mut self.dialect {
            Some(Dialect::Shopify(shopify)) => shopify.drain(entries),
            _ => Remainder::Nothing,
        }
    }

    /// The columns that are not read, once the header is known; then none.
    pub(super) fn take_ignored_columns(&mut self) -> Vec<String> {
        let ignored = match &mut self.dialect {
            None => return Vec::new(),
            Some(Dialect::Native(columns)) => columns.ignored(),
            Some(Dialect::Shopify(shopify)) => shopify.ignored_columns(),
            Some(Dialect::WooCommerce(woo)) => woo.ignored_columns(),
        };
        std::mem::take(ignored)
    }
}

fn take(
    dialect: &mut Option<Dialect>,
    line: u64,
    cells: Cells<'_>,
    entries: &mut Vec<Entry>,
) -> Result<(), BodyFault> {
    let cells = match cells {
        Ok(cells) => cells,
        Err(why) => {
            let why = unreadable(why);
            if dialect.is_none() {
                return Err(BodyFault::Unreadable(format!(
                    "the header cannot be read: {why}"
                )));
            }
            entries.push(Entry::unreadable(line, why));
            return Ok(());
        }
    };
    let texts = cells.iter().enumerate();
    let texts =
        texts.filter_map(|(place, cell)| Some((place, chassis::spreadsheet::text_of(cell)?)));
    let texts: Vec<(usize, String)> = texts.collect();
    let mut cells: Vec<&str> = cells;
    for (place, text) in &texts {
        cells[*place] = text;
    }
    // Spreadsheets write rows of separators below a table.
    if cells.iter().all(|cell| cell.trim().is_empty()) {
        return Ok(());
    }
    match dialect {
        None => *dialect = Some(Dialect::of(&cells)?),
        Some(Dialect::Native(columns)) => {
            let content = columns.read(&cells).and_then(ProductLine::of_cells);
            entries.push(Entry::new(line, content));
        }
        Some(Dialect::Shopify(shopify)) => shopify.take(line, &cells, entries),
        Some(Dialect::WooCommerce(woo)) => woo.take(line, &cells, entries),
    }
    Ok(())
}

fn unreadable(why: UnreadableRecord) -> String {
    match why {
        UnreadableRecord::TooLong => format!(
            "the line is longer than {RECORD_BYTES_MAX} bytes or has more than {COLUMNS_MAX} cells; a quote may be missing"
        ),
        UnreadableRecord::NotText => "the line is not UTF-8; save the file as CSV UTF-8, or name its encoding with `encoding=windows-1252` or `encoding=shift_jis`".into(),
        UnreadableRecord::Unclosed => "a quote that opens in this line is never closed, so that the rest of the file counts as one cell; close it, or write it twice".into(),
    }
}

impl Dialect {
    /// The dialect of a header.
    fn of(header: &[&str]) -> Result<Self, BodyFault> {
        if let Some(woo) = WooCommerce::recognise(header) {
            return Ok(Self::WooCommerce(Box::new(woo)));
        }
        if let Some(shopify) = Shopify::recognise(header) {
            return Ok(Self::Shopify(Box::new(shopify)));
        }
        NativeColumns::of(header).map(Self::Native)
    }
}
