//! Highlighting: a fragment of a text with the matches of a query marked.
//!
//! **Invariant:** the result is safe as HTML: everything of the text is escaped,
//! and `<em>` and `</em>` are the only markup in it.

use std::ops::Range;

use crate::plan::MatchedTerms;
use crate::terms::{IndexTerm, Initials};
use crate::{analysis, stemmer};

/// The length of the fragment that is cut from a longer text, in bytes.
const FRAGMENT_BYTES: usize = 200;
/// How much of it stands before the first match.
const LEAD_BYTES: usize = 60;

/// Marks the matches of one query.
#[derive(Debug)]
pub struct Highlighter {
    terms: MatchedTerms,
    /// Of the terms of the query: a stem begins as its word does.
    initials: Initials,
}

impl Highlighter {
    pub(crate) fn new(terms: MatchedTerms) -> Self {
        let initials = Initials::of(terms.stems.iter().chain(&terms.prefix));
        Self { terms, initials }
    }

    /// The text, or a fragment of a long one, as HTML with its matches marked; `None`
    /// without a match.
    #[must_use]
    pub fn mark(&self, text: &str) -> Option<String> {
        let mut matches: Vec<Range<usize>> = Vec::new();
        let mut stem = String::new();
        analysis::terms_beginning(text, &self.initials, |term| {
            // Later matches are outside the fragment.
            let first = matches
                .first()
                .map_or(term.range.start, |first| first.start);
            if term.range.start > first + FRAGMENT_BYTES {
                return false;
            }
            if self.is_match(&term, &mut stem) {
                add(&mut matches, term.range);
            }
            true
        });
        let first = matches.first()?.start;
        let shown = fragment(text, first);
        let mut out = String::with_capacity(2 * shown.len());
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

    /// Whether a term of the query stands here.
    fn is_match(&self, term: &IndexTerm<'_>, stem: &mut String) -> bool {
        let first = term.text.bytes().next();
        if !first.is_some_and(|first| self.initials.has(first)) {
            return false;
        }
        stem.clear();
        stem.push_str(term.text);
        stemmer::cut(stem);
        let begun = self.terms.prefix.as_ref();
        self.terms.stems.contains(stem) || begun.is_some_and(|begun| term.text.starts_with(begun))
    }
}

/// Adds a match; those that overlap become one, as a compound and its parts do.
fn add(matches: &mut Vec<Range<usize>>, found: Range<usize>) {
    let mut merged = found;
    while let Some(last) = matches.pop_if(|last| last.end > merged.start) {
        merged = last.start.min(merged.start)..last.end.max(merged.end);
    }
    matches.push(merged);
}

/// The range of the fragment, cut between words where possible.
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
    let mut rest = text;
    while let Some(at) = rest.find(['<', '>', '&', '"']) {
        out.push_str(&rest[..at]);
        out.push_str(match rest.as_bytes()[at] {
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'&' => "&amp;",
            _ => "&quot;",
        });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_are_marked_and_all_else_is_escaped() {
        let terms = MatchedTerms {
            stems: [analysis::stem("lamps")].into(),
            prefix: Some("des".into()),
        };
        let highlighter = Highlighter::new(terms);
        let mark = |text: &str| highlighter.mark(text);
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
