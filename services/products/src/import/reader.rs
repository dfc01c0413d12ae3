//! A body in pieces, parsed into lines: its encoding, then its format.
//!
//! **Invariant:** what is buffered of a body is bounded, however it is divided.

use chassis::fields::BodyFault;

use super::csv::Csv;
use super::encoding::{Decoder, FileEncoding};
use super::entry::{Entry, Remainder};
use super::ndjson::LineSplitter;

/// The format of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// One product a line, as JSON.
    Ndjson,
    /// Values separated by commas, semicolons or tabs (RFC 4180), with a header.
    Csv,
    /// By its first character: a brace begins JSON.
    ByContent,
}

/// Parses entries from the pieces of a body.
pub(super) struct Reader {
    decoder: Decoder,
    format: Format,
    /// `None` until the format is known.
    parser: Option<Parser>,
    /// Empty lines before that.
    blank_lines: u64,
    has_ended: bool,
}

enum Parser {
    Ndjson(LineSplitter),
    Csv(Box<Csv>),
}

impl Reader {
    pub(super) fn new(format: Format, encoding: Option<FileEncoding>) -> Self {
        let decoder = Decoder::new(encoding);
        Self {
            decoder,
            format,
            parser: None,
            blank_lines: 0,
            has_ended: false,
        }
    }

    /// # Errors
    /// When the body is no text, or its header is not understood.
    pub(super) fn feed(&mut self, piece: &[u8], entries: &mut Vec<Entry>) -> Result<(), BodyFault> {
        let Self { decoder, format, parser, blank_lines, .. } = self;
        parse(
            parser,
            *format,
            blank_lines,
            decoder.decode(piece)?,
            entries,
        )
    }

    /// Parses the rest at the end of the body. It is called until nothing remains, so that
    /// its entries are not in memory all at once.
    ///
    /// # Errors
    /// As for [`feed`](Self::feed).
    pub(super) fn end(&mut self, entries: &mut Vec<Entry>) -> Result<Remainder, BodyFault> {
        if !self.has_ended {
            self.has_ended = true;
            let Self { decoder, format, parser, blank_lines, .. } = self;
            parse(parser, *format, blank_lines, decoder.end()?, entries)?;
            match parser {
                None => {}
                Some(Parser::Ndjson(lines)) => lines.end(entries),
                Some(Parser::Csv(csv)) => csv.end(entries)?,
            }
        }
        match &mut self.parser {
            Some(Parser::Csv(csv)) => Ok(csv.drain(entries)),
            _ => Ok(Remainder::Nothing),
        }
    }

    /// The columns that are not read, once the header is known; then none.
    pub(super) fn take_ignored_columns(&mut self) -> Vec<String> {
        match &mut self.parser {
            Some(Parser::Csv(csv)) => csv.take_ignored_columns(),
            _ => Vec::new(),
        }
    }
}

fn parse(
    parser: &mut Option<Parser>,
    format: Format,
    blank_lines: &mut u64,
    text: &[u8],
    entries: &mut Vec<Entry>,
) -> Result<(), BodyFault> {
    let parser = match parser {
        Some(parser) => parser,
        None => match Parser::of(format, *blank_lines, text)? {
            Some(known) => parser.insert(known),
            None => {
                *blank_lines += text.iter().filter(|byte| **byte == b'\n').count() as u64;
                return Ok(());
            }
        },
    };
    match parser {
        Parser::Ndjson(lines) => {
            lines.feed(text, entries);
            Ok(())
        }
        Parser::Csv(csv) => csv.feed(text, entries),
    }
}

impl Parser {
    /// The parser of a body that begins with this text; `None` while all of it is white space
    /// and only its content decides the format.
    fn of(format: Format, blank_lines: u64, text: &[u8]) -> Result<Option<Self>, BodyFault> {
        let first = text.trim_ascii_start().first();
        if first == Some(&b'[') && format != Format::Csv {
            return Err(BodyFault::Unreadable(
                "the file is a JSON array; write one product a line, without the brackets and the commas between them".into(),
            ));
        }
        let is_json = match (format, first) {
            (Format::Ndjson, _) => true,
            (Format::Csv, _) => false,
            (Format::ByContent, Some(first)) => *first == b'{',
            (Format::ByContent, None) => return Ok(None),
        };
        Ok(Some(if is_json {
            Self::Ndjson(LineSplitter::after(blank_lines))
        } else {
            Self::Csv(Box::new(Csv::after(blank_lines)))
        }))
    }
}
