//! Query completion: words of titles, brands and categories with the prefix typed, the
//! most frequent first.
//!
//! **Invariant:** every suggestion finds at least one product.

use tantivy::Searcher;

use crate::Error;
use crate::analysis::words;
use crate::schema::SCHEMA;
use crate::vocabulary::{self, Extent, Misspelling};

/// Suggestions returned.
const SUGGESTIONS_MAX: usize = 10;
/// Completions tried for a suggestion.
const TRIED_MAX: usize = 30;

/// Completes a text.
pub(crate) fn suggest(searcher: &Searcher, text: &str) -> Result<Vec<String>, Error> {
    let field = SCHEMA.1.names;
    let (before, typed) = text
        .trim_start()
        .rsplit_once(char::is_whitespace)
        .unwrap_or(("", text.trim_start()));
    let last = words(typed);
    let [word] = last.as_slice() else {
        return Ok(Vec::new());
    };
    let context = words(before);
    let beside: Vec<&str> = context.iter().map(String::as_str).collect();
    let mut ends = vocabulary::completions(searcher, field, word, TRIED_MAX)?;
    for extent in [Extent::Whole, Extent::Prefix] {
        if ends.is_empty() {
            let misspelling = Misspelling { word, extent, beside: &beside };
            ends = vocabulary::corrections(searcher, field, &misspelling)?;
        }
    }
    let mut ranked: Vec<(u32, String)> = Vec::new();
    for (end, documents) in ends {
        // Beside other words, a completion counts as often as products have them all.
        let mut together = documents;
        for beside in &beside {
            let found = vocabulary::together(searcher, field, &end, beside)?;
            together = together.min(found);
        }
        ranked.push((together, format!("{before} {end}").trim_start().to_owned()));
    }
    let whole = text.trim_start().to_lowercase();
    for (name, documents) in vocabulary::completions(searcher, field, &whole, SUGGESTIONS_MAX)? {
        if !ranked.iter().any(|(_, ranked)| *ranked == name) {
            ranked.push((documents, name));
        }
    }
    ranked.retain(|(found, _)| *found > 0);
    ranked.sort_by_key(|(found, _)| std::cmp::Reverse(*found));
    ranked.truncate(SUGGESTIONS_MAX);
    Ok(ranked
        .into_iter()
        .map(|(_, suggestion)| suggestion)
        .collect())
}
