//! Names: the words of titles, the brands and the categories, as the catalogue spells them.
//!
//! A name is found by its canonical form, in which the spellings of a word are equal, and
//! shown in its own: `tshirt` and `t-sh` complete to `t-shirt`, `kuch` to `küchenmesser`.
//!
//! **Invariant:** a name without a spelling of its own is its canonical form.

use std::collections::BTreeSet;

use tantivy::Searcher;

use crate::analysis::{self, words};
use crate::document::leaf;
use crate::folding::spelled;
use crate::schema::{NAME_END, SCHEMA};
use crate::terms::TermKind;
use crate::tokenizer::{is_joining, is_unspaced};
use crate::vocabulary::{completions, documents};
use crate::{Document, Error};

/// Characters of a name of a script without blanks: longer ones are sentences.
const CHARACTERS_MAX: usize = 12;

/// The names of a product.
pub(crate) fn names(product: &Document<'_>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let title = product.title;
    analysis::terms(title, |term| {
        // Only a chain from its beginning is a name: `wi-fi-router`, not `fi-router`.
        let is_begun = title[..term.range.start].ends_with(is_joining);
        let is_name = match term.kind {
            TermKind::Word => true,
            TermKind::Joined => !is_begun,
            TermKind::Head | TermKind::Gram => false,
        };
        if is_name {
            names.insert(name_term(term.text, &spelled(&title[term.range])));
        }
        true
    });
    if !title.is_ascii() {
        for word in words(title).iter().filter(|word| is_unspaced(word)) {
            names.extend(endings_of_run(word));
        }
    }
    let categories = product.categories.iter().map(|path| leaf(path));
    for whole in categories.chain([product.brand]) {
        let canonical = words(whole).join(" ");
        if !canonical.is_empty() {
            names.insert(name_term(&canonical, &spelled(whole)));
        }
    }
    names
}

/// The endings of a run without blanks: where a word begins in it is unknown, and a
/// shopper types its beginning.
fn endings_of_run(run: &str) -> impl Iterator<Item = String> {
    let starts = run.char_indices().map(|(at, _)| at);
    let endings = starts.map(|start| &run[start..]);
    endings
        .filter(|ending| (2..=CHARACTERS_MAX).contains(&ending.chars().count()))
        .map(str::to_owned)
}

/// A name as the catalogue spells it.
pub(crate) struct Name {
    /// Its term in the dictionary of names.
    pub(crate) term: String,
    pub(crate) documents: u32,
}

impl Name {
    /// The name as it is found.
    fn canonical(&self) -> &str {
        self.term.split(NAME_END).next().unwrap_or(&self.term)
    }

    /// The name as it is shown.
    pub(crate) fn shown(&self) -> &str {
        let own = self.term.split_once(NAME_END);
        own.map_or(&self.term, |(_, spelling)| spelling)
    }
}

/// The term of a name, found by its canonical form and shown in its own spelling.
fn name_term(canonical: &str, shown: &str) -> String {
    if canonical == shown {
        canonical.to_owned()
    } else {
        format!("{canonical}{NAME_END}{shown}")
    }
}

/// The most frequent spelling of a name in the catalogue.
pub(crate) fn name(searcher: &Searcher, canonical: &str) -> Result<Option<Name>, Error> {
    let field = SCHEMA.1.names;
    let documents = documents(searcher, field, canonical)?;
    let plain = Name { term: canonical.to_owned(), documents: documents as u32 };
    let prefix = format!("{canonical}{NAME_END}");
    let spelled = completions(searcher, field, &prefix, 1)?.into_iter();
    let spelled = spelled.map(|(term, documents)| Name { term, documents });
    let all = spelled.chain([plain]).filter(|name| name.documents > 0);
    Ok(all.max_by_key(|name| name.documents))
}

/// The most frequent names that begin so, each in its most frequent spelling.
pub(crate) fn beginning_with(
    searcher: &Searcher,
    prefix: &str,
    count: usize,
) -> Result<Vec<Name>, Error> {
    let found = completions(searcher, SCHEMA.1.names, prefix, count)?;
    let mut names: Vec<Name> = Vec::new();
    for (term, documents) in found {
        let name = Name { term, documents };
        // The most frequent spelling came first.
        if names
            .iter()
            .all(|other| other.canonical() != name.canonical())
        {
            names.push(name);
        }
    }
    Ok(names)
}
