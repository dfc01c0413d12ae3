//! The report on standard output: a two-column table for people, or JSON for programs.
//!
//! **Invariant:** a table is written at once, and without colours where standard output is
//! not a terminal.

use std::fmt::{Display, Write as _};
use std::io::{self, Write as _};
use std::process::ExitCode;

use indicatif::HumanCount;
use owo_colors::OwoColorize;
use serde::Serialize;

/// Values are aligned right in this many columns, enough for 99,999,999,999.
const VALUE_WIDTH: usize = 14;

/// The report: its lines in the order they were added.
#[derive(Default)]
pub(crate) struct ReportTable(String);

impl ReportTable {
    /// Starts a group of rows.
    pub(crate) fn section(&mut self, title: &str) -> &mut Self {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        self.push(format_args!("{gap}{}", title.bold()))
    }

    /// A count, grouped in thousands.
    pub(crate) fn count(&mut self, what: &str, count: u64) -> &mut Self {
        self.row(what, HumanCount(count))
    }

    /// Any other value that fits the column.
    pub(crate) fn row(&mut self, what: &str, value: impl Display) -> &mut Self {
        self.push(format_args!(
            "  {what:<46}{value:>VALUE_WIDTH$}",
            value = value.to_string()
        ))
    }

    /// A plain sentence.
    pub(crate) fn line(&mut self, text: impl Display) -> &mut Self {
        self.push(format_args!("  {text}"))
    }

    /// A sentence, marked as kept or broken.
    pub(crate) fn verdict(&mut self, kept: bool, text: &str) -> &mut Self {
        if kept { self.kept(text) } else { self.broken(text) }
    }

    /// A sentence, marked as kept.
    pub(crate) fn kept(&mut self, text: &str) -> &mut Self {
        self.push(format_args!("{} {text}", "✓".green()))
    }

    /// A sentence, marked as broken.
    pub(crate) fn broken(&mut self, text: &str) -> &mut Self {
        self.push(format_args!("{} {}", "✗".red().bold(), text.red()))
    }

    fn push(&mut self, line: std::fmt::Arguments<'_>) -> &mut Self {
        writeln!(self.0, "{line}").expect("writing to a String does not fail");
        self
    }

    /// Writes the table to standard output.
    pub(crate) fn print(&self) -> io::Result<()> {
        anstream::stdout().write_all(self.0.as_bytes())
    }
}

/// Prints the figures of a run: as JSON for programs, or as a table for people.
pub(crate) fn print(
    json: bool,
    figures: &impl Serialize,
    table: impl FnOnce() -> ReportTable,
) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(figures)?);
        return Ok(());
    }
    Ok(table().print()?)
}

/// The exit code of a run.
pub(crate) fn exit(passed: bool) -> ExitCode {
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
