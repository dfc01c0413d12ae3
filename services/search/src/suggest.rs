//! Query completion: words of titles, brands and categories with the prefix typed, the
//! most frequent first, as the catalogue spells them.
//!
//! **Invariant:** every suggestion finds at least one product.

use tantivy::Searcher;

use crate::Error;
use crate::analysis::{self, compact, words};
use crate::names::{self, Name};
use crate::schema::SCHEMA;
use crate::terms::TermKind;
use crate::vocabulary::{self, Extent, Misspelling};

/// Suggestions returned.
const SUGGESTIONS_MAX: usize = 10;
/// Completions tried for a suggestion.
const TRIED_MAX: usize = 30;

/// Completes a text.
pub(crate) fn suggest(searcher: &Searcher, text: &str) -> Result<Vec<String>, Error> {
    let (before, typed) = text
        .trim_start()
        .rsplit_once(char::is_whitespace)
        .unwrap_or(("", text.trim_start()));
    let typed = compact(typed);
    if typed.is_empty() {
        return Ok(Vec::new());
    }
    let mut context = Vec::new();
    analysis::terms(before, |term| {
        if matches!(term.kind, TermKind::Word | TermKind::Gram) {
            context.push(term.text.to_owned());
        }
        true
    });
    let beside: Vec<&str> = context.iter().map(String::as_str).collect();
    let mut ends = names::beginning_with(searcher, &typed, TRIED_MAX)?;
    for extent in [Extent::Whole, Extent::Prefix] {
        if ends.is_empty() {
            ends = corrected(
                searcher,
                &Misspelling { word: &typed, extent, beside: &beside },
            )?;
        }
    }
    let fields = &SCHEMA.1;
    let mut ranked: Vec<(u32, String)> = Vec::new();
    for end in ends {
        // Beside other words, a completion counts as often as products have them all.
        let mut documents = end.documents;
        for beside in &beside {
            let end = (fields.names, end.term.as_str());
            let found = vocabulary::together(searcher, end, (fields.words, beside))?;
            documents = documents.min(found);
        }
        let suggestion = format!("{before} {}", end.shown()).trim_start().to_owned();
        ranked.push((documents, suggestion));
    }
    let whole = words(text).join(" ");
    if whole != typed {
        let names = names::beginning_with(searcher, &whole, SUGGESTIONS_MAX)?;
        ranked.extend(
            names
                .into_iter()
                .map(|name| (name.documents, name.shown().to_owned())),
        );
    }
    ranked.retain(|(found, _)| *found > 0);
    ranked.sort_by_key(|(found, suggestion)| {
        (
            std::cmp::Reverse(*found),
            suggestion.chars().count(),
            suggestion.clone(),
        )
    });
    let mut suggestions: Vec<String> = Vec::new();
    for (_, suggestion) in ranked {
        if suggestions.len() < SUGGESTIONS_MAX && !suggestions.contains(&suggestion) {
            suggestions.push(suggestion);
        }
    }
    Ok(suggestions)
}

/// The names that may be meant by a misspelt word.
fn corrected(searcher: &Searcher, misspelling: &Misspelling<'_>) -> Result<Vec<Name>, Error> {
    let meant = vocabulary::corrections(searcher, SCHEMA.1.words, misspelling)?;
    let mut found = Vec::new();
    for (word, _) in meant {
        found.extend(names::name(searcher, &word)?);
    }
    Ok(found)
}
