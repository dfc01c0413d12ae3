//! Where in a text the words of a query stand, for a person to see.
//!
//! **Invariant:** the result is safe as HTML: everything of the text is escaped,
//! and `<em>` and `</em>` are the only markup in it.

use std::collections::BTreeMap;
use std::ops::Range;

use tantivy::tokenizer::TextAnalyzer;

use super::plan::Marks;
use super::schema::{plain, stemmed};
use crate::domain::Content;

/// How much of a longer text is shown around its first match, in bytes.
const FRAGMENT_BYTES: usize = 200;
/// How much of that stands before the match.
const LEAD_BYTES: usize = 60;

/// The texts of a product in which something matched, marked.
pub(super) fn highlights(content: &Content, marks: &Marks) -> BTreeMap<&'static str, String> {
    let mut analyzers = (stemmed(), plain());
    [
        ("title", &content.title),
        ("description", &content.description),
        ("brand", &content.brand),
    ]
    .into_iter()
    .filter_map(|(name, text)| Some((name, marked(&mut analyzers, text, marks)?)))
    .collect()
}

/// The words of a text as stems and as they are, in the same places.
type Analyzers = (TextAnalyzer, TextAnalyzer);

fn marked((stems, words): &mut Analyzers, text: &str, marks: &Marks) -> Option<String> {
    let mut matches: Vec<Range<usize>> = Vec::new();
    stems.token_stream(text).process(&mut |token| {
        if marks.stems.contains(&token.text) {
            matches.push(token.offset_from..token.offset_to);
        }
    });
    if let Some(prefix) = &marks.prefix {
        words.token_stream(text).process(&mut |token| {
            if token.text.starts_with(prefix) {
                matches.push(token.offset_from..token.offset_to);
            }
        });
        matches.sort_unstable_by_key(|found| found.start);
        matches.dedup();
    }
    let first = matches.first()?.start;
    let shown = fragment(text, first);
    let mut out = String::new();
    if shown.start > 0 {
        out.push('…');
    }
    let mut at = shown.start;
    for found in matches.iter().filter(|found| found.end <= shown.end) {
        escape(&text[at..found.start], &mut out);
        out.push_str("<em>");
        escape(&text[found.clone()], &mut out);
        out.push_str("</em>");
        at = found.end;
    }
    escape(&text[at..shown.end], &mut out);
    if shown.end < text.len() {
        out.push('…');
    }
    Some(out)
}

/// The part of a text to show, cut between words where it can be.
fn fragment(text: &str, first: usize) -> Range<usize> {
    if text.len() <= FRAGMENT_BYTES {
        return 0..text.len();
    }
    let lead = text.floor_char_boundary(first.saturating_sub(LEAD_BYTES));
    let start = match text[lead..first].find(' ') {
        Some(space) if lead > 0 => lead + space + 1,
        _ if lead == 0 => 0,
        _ => first,
    };
    let end = text.floor_char_boundary((start + FRAGMENT_BYTES).min(text.len()));
    let end = match text[start..end].rfind(' ') {
        Some(space) if end < text.len() && start + space > first => start + space,
        _ => end,
    };
    start..end
}

fn escape(text: &str, out: &mut String) {
    for letter in text.chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            _ => out.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::stem;
    use super::*;

    #[test]
    fn matches_are_marked_and_all_else_is_escaped() {
        let marks = Marks { stems: [stem("lamps")].into(), prefix: Some("des".into()) };
        let mark = |text: &str| marked(&mut (stemmed(), plain()), text, &marks);
        assert_eq!(
            mark("Desk <b>Lamp</b> & more").unwrap(),
            "<em>Desk</em> &lt;b&gt;<em>Lamp</em>&lt;/b&gt; &amp; more"
        );
        assert_eq!(mark("a chair"), None);
        let long = format!("{} lämp lamp {}", "ä b ".repeat(60), "ö ".repeat(200));
        let shown = mark(&long).unwrap();
        assert!(shown.starts_with('…') && shown.ends_with('…') && shown.contains("<em>lamp</em>"));
        assert!(shown.len() < FRAGMENT_BYTES + 40, "{}", shown.len());
    }
}
