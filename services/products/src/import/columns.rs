//! Columns of a table by their meaning, where a dialect has names of its own for them.
//!
//! **Invariant:** an absent column leaves a field unchanged, and an empty cell clears it.

use std::collections::HashMap;
use std::hash::Hash;

/// Where the columns of a header are.
pub(super) struct ColumnPlaces<C> {
    places: HashMap<C, usize>,
    /// Names of the columns without a meaning.
    ignored: Vec<String>,
}

impl<C: Copy + Eq + Hash> ColumnPlaces<C> {
    /// The columns of a header. Of several with one meaning the first counts.
    pub(super) fn of(header: &[&str], meaning: impl Fn(&str) -> Option<C>) -> Self {
        let (mut places, mut ignored) = (HashMap::new(), Vec::new());
        for (place, name) in header.iter().map(|name| name.trim()).enumerate() {
            match meaning(&name.to_lowercase()) {
                Some(column) if !places.contains_key(&column) => {
                    places.insert(column, place);
                }
                _ if name.is_empty() => {}
                _ => ignored.push(name.to_owned()),
            }
        }
        Self { places, ignored }
    }

    pub(super) fn has(&self, column: C) -> bool {
        self.places.contains_key(&column)
    }

    pub(super) fn ignored(&mut self) -> &mut Vec<String> {
        &mut self.ignored
    }

    /// A cell without white space around it; `None` where there is no such column.
    pub(super) fn cell<'c>(&self, cells: &[&'c str], column: C) -> Option<&'c str> {
        let place = self.places.get(&column)?;
        Some(cells.get(*place).map_or("", |cell| cell.trim()))
    }

    /// A cell without white space around it; empty where there is no such column.
    pub(super) fn text<'c>(&self, cells: &[&'c str], column: C) -> &'c str {
        self.cell(cells, column).unwrap_or_default()
    }
}

/// Parts of a cell at `separator`, trimmed, without empty ones. A backslash before a separator
/// or a backslash makes it part of the text.
pub(super) fn parts(cell: &str, separator: char) -> Vec<String> {
    let (mut parts, mut part) = (Vec::new(), String::new());
    let mut letters = cell.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next_if(|next| *next == separator || *next == '\\') {
                Some(escaped) => part.push(escaped),
                None => part.push('\\'),
            },
            letter if letter == separator => parts.push(std::mem::take(&mut part)),
            letter => part.push(letter),
        }
    }
    parts.push(part);
    let trimmed = parts.iter().map(|part| part.trim().to_owned());
    trimmed.filter(|part| !part.is_empty()).collect()
}

/// A text as a part of a cell, so that [`parts`] reads it back.
pub(crate) fn escape_part(text: &str, separator: char) -> String {
    let mut part = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter == separator || letter == '\\' {
            part.push('\\');
        }
        part.push(letter);
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_back() {
        for (cell, expected) in [
            ("Home > Lamps | Sale", &["Home > Lamps", "Sale"][..]),
            (r"Tools > 1/2 \| 3/4", &["Tools > 1/2 | 3/4"]),
            (r"AC\DC|C:\\|x", &[r"AC\DC", r"C:\", "x"]),
            ("|| ", &[]),
        ] {
            assert_eq!(parts(cell, '|'), expected, "{cell}");
            let written: Vec<_> = expected.iter().map(|part| escape_part(part, '|')).collect();
            assert_eq!(parts(&written.join("|"), '|'), expected);
        }
        assert_eq!(
            parts(r"Clothing > Hoodies\, Sale, New", ','),
            ["Clothing > Hoodies, Sale", "New"]
        );
    }
}
