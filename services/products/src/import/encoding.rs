//! The encoding of a file: by its byte order mark, as the caller names it, or UTF-8.
//!
//! **Invariant:** what cannot be decoded stays unreadable (a byte that UTF-8 never has stands
//! in its place), so that its line fails and no product gets a replacement character.

use chassis::fields::BodyFault;
use encoding_rs::{DecoderResult, Encoding, SHIFT_JIS, UTF_8, WINDOWS_1252};

/// The longest of the beginnings that are looked for.
const START_BYTES: usize = 4;
/// No text in UTF-8 has this byte.
const UNREADABLE: u8 = 0xff;

/// Beginnings of files that are no text, and what each file is.
const NO_TEXT: [(&[u8], &str); 4] = [
    (
        b"PK\x03\x04",
        "a spreadsheet (.xlsx, .ods) or another zip archive; save it as CSV UTF-8",
    ),
    (
        b"\xd0\xcf\x11\xe0",
        "an Excel workbook (.xls); save it as CSV UTF-8",
    ),
    (b"\x1f\x8b", "compressed with gzip; unpack it"),
    (b"%PDF", "a PDF; save the table as CSV UTF-8"),
];

/// An encoding that the caller can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileEncoding(&'static Encoding);

impl FileEncoding {
    /// The encoding of that name: what spreadsheets write besides UTF-8 and UTF-16, which
    /// are recognised by their marks.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let encoding = match name.to_ascii_lowercase().as_str() {
            "utf-8" => UTF_8,
            "windows-1252" => WINDOWS_1252,
            "shift_jis" => SHIFT_JIS,
            _ => return None,
        };
        Some(Self(encoding))
    }
}

/// Decodes a body to UTF-8, without its byte order mark.
pub(super) struct Decoder {
    named: Option<FileEncoding>,
    /// The first bytes, until they suffice to recognise the encoding.
    start: Option<Vec<u8>>,
    /// `None` for UTF-8, which passes as it is.
    coder: Option<encoding_rs::Decoder>,
    text: Vec<u8>,
}

impl Decoder {
    pub(super) fn new(named: Option<FileEncoding>) -> Self {
        Self {
            named,
            start: Some(Vec::new()),
            coder: None,
            text: Vec::new(),
        }
    }

    /// The text of a piece.
    ///
    /// # Errors
    /// When the body is no text.
    pub(super) fn decode<'t>(&'t mut self, piece: &'t [u8]) -> Result<&'t [u8], BodyFault> {
        let Some(start) = &mut self.start else {
            return Ok(self.decoded(piece, Last::No));
        };
        start.extend_from_slice(piece);
        if start.len() < START_BYTES {
            return Ok(&[]);
        }
        self.begin(Last::No)
    }

    /// The rest of the text.
    ///
    /// # Errors
    /// As for [`decode`](Self::decode).
    pub(super) fn end(&mut self) -> Result<&[u8], BodyFault> {
        if self.start.is_some() {
            self.begin(Last::Yes)
        } else {
            Ok(self.decoded(&[], Last::Yes))
        }
    }

    /// Recognises the encoding and decodes the start.
    fn begin(&mut self, last: Last) -> Result<&[u8], BodyFault> {
        let start = self.start.take().unwrap_or_default();
        if let Some((_, kind)) = NO_TEXT
            .iter()
            .find(|(beginning, _)| start.starts_with(beginning))
        {
            return Err(BodyFault::Unreadable(format!(
                "this file is {kind} and send that"
            )));
        }
        let named = self.named.map_or(UTF_8, |FileEncoding(named)| named);
        let (encoding, mark) = Encoding::for_bom(&start).unwrap_or((named, 0));
        if encoding == UTF_8 {
            self.text.extend_from_slice(&start[mark..]);
        } else {
            let coder = self
                .coder
                .insert(encoding.new_decoder_without_bom_handling());
            decode(coder, &start[mark..], last, &mut self.text);
        }
        Ok(&self.text)
    }

    fn decoded<'t>(&'t mut self, piece: &'t [u8], last: Last) -> &'t [u8] {
        let Some(coder) = &mut self.coder else {
            return piece;
        };
        self.text.clear();
        decode(coder, piece, last, &mut self.text);
        &self.text
    }
}

/// Appends the text of a piece.
fn decode(coder: &mut encoding_rs::Decoder, mut piece: &[u8], last: Last, text: &mut Vec<u8>) {
    loop {
        let needed = coder.max_utf8_buffer_length_without_replacement(piece.len());
        let written = text.len();
        text.resize(written + needed.unwrap_or(piece.len()).max(START_BYTES), 0);
        let (result, read, added) = coder.decode_to_utf8_without_replacement(
            piece,
            &mut text[written..],
            last == Last::Yes,
        );
        piece = &piece[read..];
        text.truncate(written + added);
        match result {
            DecoderResult::InputEmpty => return,
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => text.push(UNREADABLE),
        }
    }
}

/// Whether a piece is the last of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Yes,
    No,
}
