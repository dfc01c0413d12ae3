//! Where in a text the words of a query stand, for a person to see.
//!
//! **Invariant:** the result is safe as HTML: everything of the text is escaped,
//! and `<em>` and `</em>` are the only markup in it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use chassis::Problem;
use serde::Deserialize;

use super::plan::Marks;
use super::{stemmer, words};

/// How much of a longer text is shown around its first match, in bytes.
const FRAGMENT_BYTES: usize = 200;
/// How much of that stands before the match.
const LEAD_BYTES: usize = 60;

/// The texts of a product as it is shown.
#[derive(Deserialize)]
struct Texts<'a> {
    #[serde(borrow)]
    title: Cow<'a, str>,
    #[serde(borrow)]
    description: Cow<'a, str>,
    #[serde(borrow)]
    brand: Cow<'a, str>,
}

/// The texts of a product, given as it is shown, in which something matched, marked.
pub(super) fn highlights(
    shown: &[u8],
    marks: &Marks,
) -> Result<BTreeMap<&'static str, String>, Problem> {
    let texts: Texts<'_> = serde_json::from_slice(shown).map_err(Problem::internal)?;
    let texts = [
        ("title", &texts.title),
        ("description", &texts.description),
        ("brand", &texts.brand),
    ];
    let texts = texts.into_iter();
    Ok(texts
        .filter_map(|(name, text)| Some((name, marked(text, marks)?)))
        .collect())
}

fn marked(text: &str, marks: &Marks) -> Option<String> {
    let mut matches: Vec<Range<usize>> = Vec::new();
    let mut stem = String::new();
    words::walk(text, |word, place| {
        // What stands further behind the first match is not shown.
        let first = matches.first().map_or(place.start, |first| first.start);
        if place.start > first + FRAGMENT_BYTES {
            return false;
        }
        stem.clear();
        stem.push_str(word);
        stemmer::cut(&mut stem);
        let begun = marks.prefix.as_ref();
        if marks.stems.contains(&stem) || begun.is_some_and(|begun| word.starts_with(begun)) {
            matches.push(place);
        }
        true
    });
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
    use super::*;

    #[test]
    fn matches_are_marked_and_all_else_is_escaped() {
        let marks = Marks {
            stems: [words::stem("lamps")].into(),
            prefix: Some("des".into()),
        };
        let mark = |text: &str| marked(text, &marks);
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
