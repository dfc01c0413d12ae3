//! The report's facts and tables as Markdown, and the place between two markers where a
//! document keeps them.
//!
//! **Invariant:** a document keeps every byte outside of its markers.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, bail};

use super::sections::ReportSection;

const ENDS: &str = "<!-- measured: end -->";

/// The sections as Markdown, below headings of the third level.
pub(super) fn text(sections: &[ReportSection]) -> String {
    let mut text = String::new();
    let mut add = |line: std::fmt::Arguments<'_>| {
        writeln!(text, "{line}").expect("writing to a String does not fail");
    };
    for section in sections {
        add(format_args!("### {}\n", section.title));
        for (name, value) in &section.facts {
            let mark = if *name == "Command" { "`" } else { "" };
            add(format_args!("- {name}: {mark}{value}{mark}"));
        }
        for notice in &section.notices {
            add(format_args!("- **{notice}**"));
        }
        for table in &section.tables {
            add(format_args!("\n| {} |", table.headings.join(" | ")));
            add(format_args!("|{}", " --- |".repeat(table.headings.len())));
            for row in &table.rows {
                let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
                add(format_args!("| {} |", cells.join(" | ")));
            }
        }
        add(format_args!(""));
    }
    text
}

/// Replaces what a document has between `<!-- measured: NAME -->` and the next end.
pub(super) fn put(document: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let shown = document.display();
    let old = std::fs::read_to_string(document).with_context(|| format!("cannot read {shown}"))?;
    let new = replaced(&old, name, text).with_context(|| format!("{shown} is left as it was"))?;
    std::fs::write(document, new).with_context(|| format!("cannot write {shown}"))
}

fn replaced(document: &str, name: &str, text: &str) -> anyhow::Result<String> {
    let begins = format!("<!-- measured: {name} -->");
    let Some((before, rest)) = document.split_once(&begins) else {
        bail!("it has no line {begins}");
    };
    let Some((_, after)) = rest.split_once(ENDS) else {
        bail!("after {begins} it has no line {ENDS}");
    };
    let text = text.trim_end();
    Ok(format!("{before}{begins}\n\n{text}\n\n{ENDS}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let document = "By hand.\n<!-- measured: orders -->\nold\n<!-- measured: end -->\nWords.\n";
        let new = replaced(document, "orders", "new\n").unwrap();
        let expected =
            "By hand.\n<!-- measured: orders -->\n\nnew\n\n<!-- measured: end -->\nWords.\n";
        assert_eq!(new, expected);
        assert_eq!(replaced(&new, "orders", "new").unwrap(), expected);
        for (name, document) in [
            ("search", document),
            ("orders", "<!-- measured: orders -->"),
        ] {
            assert!(replaced(document, name, "").is_err());
        }
    }
}
