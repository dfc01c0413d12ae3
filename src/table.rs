//! Output of lists, row by row: aligned columns on a terminal, tab-separated values
//! elsewhere, or one JSON document per line.
//!
//! **Invariant:** printed data cannot control the terminal: control characters are replaced
//! by U+FFFD.

use std::io::{IsTerminal, Write};

use anyhow::Context;
use owo_colors::OwoColorize;
use serde_json::Value;

/// A heading, and the minimum width of its column, in characters.
pub(crate) type Column = (&'static str, usize);

/// A list on standard output.
pub(crate) struct OutputTable {
    columns: &'static [Column],
    form: Form,
    is_empty: bool,
}

/// The format that a command's caller asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputFormat {
    Text,
    Json,
}

impl OutputFormat {
    /// The format by the flag `--json`.
    pub(crate) fn by_flag(as_json: bool) -> Self {
        if as_json { Self::Json } else { Self::Text }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Aligned,
    Tabs,
    Json,
}

impl OutputTable {
    /// An empty list; nothing is printed for it.
    pub(crate) fn new(columns: &'static [Column], format: OutputFormat) -> Self {
        let form = match format {
            OutputFormat::Json => Form::Json,
            OutputFormat::Text if std::io::stdout().is_terminal() => Form::Aligned,
            OutputFormat::Text => Form::Tabs,
        };
        Self { columns, form, is_empty: true }
    }

    /// Prints a row: the document itself as JSON, or its `values`, one per column.
    pub(crate) fn row(
        &mut self,
        document: &Value,
        values: impl FnOnce(&Value) -> Vec<String>,
    ) -> anyhow::Result<()> {
        if self.is_empty && self.form == Form::Aligned {
            let headings = self.columns.iter().map(|(name, _)| (*name).to_owned());
            print(&self.joined(headings).bold().to_string())?;
        }
        self.is_empty = false;
        if self.form == Form::Json {
            return print_json(document);
        }
        let values = values(document).into_iter();
        print(&self.joined(values.map(|value| printable(&value))))
    }

    fn joined(&self, values: impl Iterator<Item = String>) -> String {
        if self.form == Form::Tabs {
            return values.collect::<Vec<_>>().join("\t");
        }
        let cells = values.zip(self.columns);
        let cells = cells.map(|(value, (_, width))| format!("{value:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        line.trim_end().to_owned()
    }
}

/// Prints a JSON document on a line of its own.
pub(crate) fn print_json(document: &Value) -> anyhow::Result<()> {
    print(&document.to_string())
}

fn print(line: &str) -> anyhow::Result<()> {
    writeln!(anstream::stdout().lock(), "{line}").context("standard output cannot be written")
}

fn printable(value: &str) -> String {
    let shown = |letter: char| if letter.is_control() { '\u{fffd}' } else { letter };
    value.chars().map(shown).collect()
}
