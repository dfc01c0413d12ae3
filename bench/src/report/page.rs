//! The report as one HTML page without anything beside it: no script, no font, no file.
//!
//! **Invariant:** text of a result file is escaped, whatever it holds.

use std::fmt::Write as _;

use super::sections::ReportSection;
use super::tables::FigureTable;

/// Colours and layout, and for a dark page the exchange of each colour of a chart.
pub(super) const STYLE: &str = include_str!("style.css");

/// The sections as a page.
pub(super) fn html(sections: &[ReportSection]) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>konbini-bench</title>\n<link rel=\"icon\" href=\"data:,\">\n\
         <style>\n{STYLE}</style>\n<h1>konbini-bench</h1>\n"
    );
    for section in sections {
        write(&mut page, section);
    }
    page
}

/// A chart as a file of its own, with the colours of dark pages.
pub(super) fn standalone(svg: &str) -> String {
    let open = svg.find('>').map_or(0, |end| end + 1);
    let (element, rest) = svg.split_at(open);
    format!("{element}<style>{STYLE}</style>{rest}")
}

fn write(page: &mut String, section: &ReportSection) {
    let mut add = |text: std::fmt::Arguments<'_>| {
        page.write_fmt(text)
            .expect("writing to a String does not fail");
    };
    add(format_args!(
        "<section>\n<h2>{}</h2>\n<dl>\n",
        escaped(&section.title)
    ));
    for (name, value) in &section.facts {
        add(format_args!("<dt>{name}</dt><dd>{}</dd>\n", escaped(value)));
    }
    add(format_args!("</dl>\n"));
    for notice in &section.notices {
        add(format_args!(
            "<p class=\"notice\">{}</p>\n",
            escaped(notice)
        ));
    }
    add(format_args!("<div class=\"charts\">\n"));
    for chart in &section.charts {
        let name = escaped(&chart.name);
        add(format_args!(
            "<figure id=\"{name}\">{}</figure>\n",
            chart.svg
        ));
    }
    add(format_args!("</div>\n"));
    for table in &section.tables {
        add(format_args!("{}", rows(table)));
    }
    add(format_args!("</section>\n"));
}

fn rows(table: &FigureTable) -> String {
    let headings = table.headings.iter();
    let headings: String = headings
        .map(|heading| format!("<th>{}</th>", escaped(heading)))
        .collect();
    let row = |cells: &Vec<String>| {
        let cells: String = cells
            .iter()
            .map(|cell| format!("<td>{}</td>", escaped(cell)))
            .collect();
        format!("<tr>{cells}</tr>\n")
    };
    let body: String = table.rows.iter().map(row).collect();
    format!(
        "<div class=\"table\"><table>\n<thead><tr>{headings}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>\n"
    )
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}
