//! Tables for spreadsheets: rows of CSV (RFC 4180), and texts that spreadsheets would change, as
//! formulas whose value is the text: `="007"`.
//!
//! A spreadsheet reads the cells of a CSV as if they were typed: `007` becomes 7, a number of
//! 13 digits `8.80609E+12`, `3+` and `68 %` numbers, `1/2` a date, and what begins with an
//! equals sign is computed. The value of a formula it shows and saves as it is; and where
//! formulas are not computed, the cell stays the formula, which the import reads as well. An
//! apostrophe in front would be part of the text, quotes mean nothing, and invisible
//! characters would stay behind in what people copy.
//!
//! **Invariants:** [`text_of`] reads back what [`formula_of`] writes, and every text that is
//! such a formula by itself is written as one of that formula. No text of a stranger is computed
//! ([`CsvRow::foreign_text`]).

/// By this mark spreadsheets recognise UTF-8.
pub const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Signs that begin a formula in some spreadsheet, in one width or the other.
const COMPUTED_SIGNS: [char; 10] = ['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'];

/// A row that is being written.
pub struct CsvRow<'r> {
    row: &'r mut Vec<u8>,
    is_first: bool,
}

impl<'r> CsvRow<'r> {
    /// Begins a row at the end of these bytes.
    pub fn begin(row: &'r mut Vec<u8>) -> Self {
        Self { row, is_first: true }
    }

    /// A figure, or a name of a column.
    pub fn cell(&mut self, text: &str) {
        if !std::mem::take(&mut self.is_first) {
            self.row.push(b',');
        }
        if !text.contains(['"', ',', ';', '\t', '\r', '\n']) {
            return self.row.extend_from_slice(text.as_bytes());
        }
        self.row.push(b'"');
        self.row
            .extend_from_slice(text.replace('"', "\"\"").as_bytes());
        self.row.push(b'"');
    }

    /// A text, which stays as it is in a spreadsheet.
    pub fn text(&mut self, text: &str) {
        match formula_of(text) {
            Some(formula) => self.cell(&formula),
            None => self.cell(text),
        }
    }

    /// A text that a stranger wrote: where it cannot be the value of a formula, an apostrophe
    /// keeps it from being one.
    pub fn foreign_text(&mut self, text: &str) {
        let is_long = text.chars().count() > TEXT_CHARS_MAX;
        match formula_of(text) {
            Some(formula) if !is_long => self.cell(&formula),
            _ if text.starts_with(COMPUTED_SIGNS) => self.cell(&format!("'{text}")),
            _ => self.cell(text),
        }
    }

    /// Ends the row.
    pub fn end(self) {
        self.row.extend_from_slice(b"\r\n");
    }
}

/// The longest text in a formula of Excel, in characters. A longer one is no number.
const TEXT_CHARS_MAX: usize = 255;
/// More digits than this Excel shows, and saves, as powers of ten.
const DIGITS_MAX: usize = 11;
/// Signs other than the equals sign that begin a formula, or a number.
const FORMULA_SIGNS: [char; 3] = ['+', '-', '@'];
/// Words that make a time of the digits beside them.
const TIME_WORDS: [&str; 2] = ["am", "pm"];
/// Words that are read as truth values, and saved in capitals.
const TRUTH_WORDS: [&str; 2] = ["true", "false"];
/// The shortest beginning by which a month is read.
const MONTH_BYTES_MIN: usize = 3;
/// The months in English, German, French and Spanish; where two begin so, once.
const MONTHS: [&str; 32] = [
    "january",
    "februar",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "januar",
    "märz",
    "mai",
    "juni",
    "juli",
    "oktober",
    "dezember",
    "janvier",
    "février",
    "mars",
    "avril",
    "juin",
    "juillet",
    "août",
    "décembre",
    "enero",
    "abril",
    "agosto",
    "diciembre",
];

/// The formula in place of a text that spreadsheets would change.
pub fn formula_of(text: &str) -> Option<String> {
    if text.contains(char::is_control) {
        return None;
    }
    let is_short = || text.chars().count() <= TEXT_CHARS_MAX;
    let is_changed = text.starts_with('=') || is_short() && is_read_as_figure(text);
    is_changed.then(|| format!("=\"{}\"", text.replace('"', "\"\"")))
}

/// The text of a cell that is such a formula.
pub fn text_of(cell: &str) -> Option<String> {
    let text = cell.trim().strip_prefix("=\"")?.strip_suffix('"')?;
    let parts: Vec<&str> = text.split("\"\"").collect();
    let is_text = parts.iter().all(|part| !part.contains('"'));
    let text = parts.join("\"");
    (is_text && !text.contains(char::is_control)).then_some(text)
}

/// Whether a text may be read as a number, a date, a time or a formula, by anyone's conventions,
/// and would be written differently then.
fn is_read_as_figure(text: &str) -> bool {
    let is_truth = |word: &&str| text.eq_ignore_ascii_case(word);
    if text.starts_with(FORMULA_SIGNS) || TRUTH_WORDS.iter().any(is_truth) {
        return true;
    }
    if !text.contains(char::is_numeric) {
        return false;
    }
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    if is_plain && text.len() <= DIGITS_MAX && (text == "0" || !text.starts_with('0')) {
        return false;
    }
    let words = text.split(|letter: char| !letter.is_alphabetic());
    let mut words = words.filter(|word| !word.is_empty());
    match (words.next(), words.next()) {
        (None, _) => true,
        (Some(word), None) => is_part_of_figure(&word.to_lowercase(), text),
        _ => false,
    }
}

/// Whether the only word beside digits may be part of a figure: an exponent, a month, or half
/// of a day.
fn is_part_of_figure(word: &str, text: &str) -> bool {
    let is_exponent = word == "e" && !text.starts_with(char::is_alphabetic);
    let is_month =
        word.len() >= MONTH_BYTES_MIN && MONTHS.iter().any(|month| month.starts_with(word));
    is_exponent || is_month || TIME_WORDS.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What LibreOffice and Excel change, and what they leave alone.
    #[test]
    fn texts_that_spreadsheets_change_are_formulas() {
        for changed in [
            "007",
            "0884420588030",
            "8806090123456",
            "1E5",
            "1e-3",
            "2,5",
            "3.10",
            "1,500",
            "+5",
            "3+",
            "68 %",
            "1/2",
            "1-2",
            "12:30",
            "12:30 PM",
            "5.1.2024",
            "Jan 2024",
            "MAR1",
            "5. März",
            "Sept 5",
            "€12",
            "(5)",
            "5-",
            "1 1/2",
            "=1+1",
            "@sum",
            "-wide",
            "+49 30 1",
            "true",
            "FALSE",
            "½",
            "5'",
            "=\"007\"",
            "=\"a\"\"b\"",
        ] {
            let formula = formula_of(changed).unwrap_or_else(|| panic!("{changed}"));
            assert!(formula.starts_with("=\"") && formula.ends_with('"'));
            assert_eq!(text_of(&formula).as_deref(), Some(changed));
        }
        for kept in [
            "",
            "0",
            "39",
            "20240105",
            "A1",
            "E27",
            "16 GB",
            "46 cm",
            "iPhone 15",
            "Marble 3",
            "May",
            "truest",
            "a, b",
            "Kabel 2",
            "5 and 6",
            "長さ 3",
            "x=1",
            "'tis",
            "- soft\n- warm",
        ] {
            assert_eq!(formula_of(kept), None, "{kept}");
        }
        assert_eq!(formula_of(&format!("-{}", "x".repeat(255))), None);
        for cell in ["=1+1", "=\"a\"&\"b\"", "=\"", "=", "\"007\"", "=\"a\"b\""] {
            assert_eq!(text_of(cell), None, "{cell}");
        }
        assert_eq!(text_of(" =\"\" ").as_deref(), Some(""));
    }
    #[test]
    fn no_text_of_a_stranger_is_computed() {
        let long = format!("={}", "x".repeat(300));
        for (text, written) in [
            ("ring twice", "ring twice".to_owned()),
            ("=1+1", "\"=\"\"=1+1\"\"\"".to_owned()),
            ("007", "\"=\"\"007\"\"\"".to_owned()),
            ("=1\n+1", "\"'=1\n+1\"".to_owned()),
            ("-2+3\tx", "\"'-2+3\tx\"".to_owned()),
            ("＝1+A", "'＝1+A".to_owned()),
            (&long, format!("'{long}")),
        ] {
            let mut row = Vec::new();
            let mut cells = CsvRow::begin(&mut row);
            cells.foreign_text(text);
            cells.end();
            assert_eq!(
                String::from_utf8(row).unwrap(),
                format!("{written}\r\n"),
                "{text}"
            );
        }
    }
}
