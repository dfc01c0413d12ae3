//! Full-text search over products: analysis, index, query, facets, suggestions.
//!
//! | module | holds |
//! | --- | --- |
//! | `document` | the input: one product as it is indexed |
//! | `index` | the index on disk: open, create, search, complete |
//! | `writer` | additions, deletions and commits, each commit with the caller's cursor |
//! | `schema`, `mapping` | the index's fields, and a document's values for them |
//! | `analysis` | the analyzers of the index, the words of queries |
//! | `tokenizer`, `terms`, `folding`, `stemmer` | words, what they are found by, their canonical form and stem |
//! | `identity` | product ids and hashes as columns |
//! | `fingerprint` | a short summary of each indexed version, for consistency checks |
//! | `merge_policy` | which segments are merged, and when |
//! | `kind` | head-noun extraction: what a product is and what it only mentions |
//! | `query`, `word`, `unspaced`, `plan` | from query text to a query plan |
//! | `lookup`, `compound` | which words the index has, and which end in one |
//! | `postings` | the documents that match a plan, with their scores |
//! | `vocabulary`, `spelling` | corrections and completions from the term dictionary |
//! | `collation` | the order of titles |
//! | `names` | the catalogue's own spellings |
//! | `synonyms` | the shop owner's synonym rules |
//! | `collect`, `top` | one page of matches, their number, and the facet counts |
//! | `ranking` | the score by kind on top of BM25 |
//! | `facets` | filters and facet counts |
//! | `suggest` | query completion |
//! | `highlight` | matches marked in a text |
//!
//! The crate is a library over tantivy without async code and without HTTP; the
//! caller follows its own log and decides when to commit.
//!
//! **Invariant:** a commit makes documents and cursor durable together, so an index
//! never claims to contain more than it does.

mod analysis;
mod collation;
mod collect;
mod compound;
mod document;
mod facets;
mod fingerprint;
mod folding;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod highlight;
mod identity;
mod index;
mod kind;
mod lookup;
mod mapping;
mod merge_policy;
mod names;
mod plan;
mod postings;
mod query;
mod ranking;
mod schema;
mod spelling;
mod stemmer;
mod suggest;
mod synonyms;
mod terms;
mod tokenizer;
mod top;
mod unspaced;
mod vocabulary;
mod word;
mod writer;

use std::io::{self, ErrorKind};

use tantivy::TantivyError;
use tantivy::directory::error::{LockError, OpenDirectoryError, OpenReadError, OpenWriteError};

pub use self::collation::title_sort_key;
pub use self::collect::SearchRequest;
pub use self::document::{CATEGORY_SEPARATOR, Document, category_and_above};
pub use self::facets::{Facet, FacetValue, Filters};
pub use self::fingerprint::Fingerprint;
pub use self::folding::folded;
pub use self::highlight::Highlighter;
pub use self::index::{Index, OpenError, SearchHits};
pub use self::merge_policy::IndexLoad;
pub use self::synonyms::Synonyms;
pub use self::top::SearchOrder;
pub use self::writer::DocumentWriter;

/// A product's id.
type ProductId = model::Id<model::kinds::Product>;

/// A failure of the index: its files, or its contents.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] TantivyError);

impl Error {
    /// Whether the index's files may be the cause, and not the system around them: too few
    /// descriptors, too little memory, no permission and a failing disk are no damage, and
    /// deleting the files would not help.
    pub fn is_damage(&self) -> bool {
        let Some(error) = io_error(&self.0) else {
            return true;
        };
        matches!(
            error.kind(),
            ErrorKind::NotFound
                | ErrorKind::UnexpectedEof
                | ErrorKind::InvalidData
                | ErrorKind::AlreadyExists
        )
    }
}

/// The operating system's error behind one of tantivy's.
fn io_error(error: &TantivyError) -> Option<&io::Error> {
    match error {
        TantivyError::IoError(error)
        | TantivyError::LockFailure(LockError::IoError(error), _)
        | TantivyError::OpenDirectoryError(
            OpenDirectoryError::FailedToCreateTempDir(error)
            | OpenDirectoryError::IoError { io_error: error, .. },
        )
        | TantivyError::OpenReadError(OpenReadError::IoError { io_error: error, .. })
        | TantivyError::OpenWriteError(OpenWriteError::IoError { io_error: error, .. }) => {
            Some(error)
        }
        _ => None,
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self(error.into())
    }
}
