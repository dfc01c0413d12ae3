//! The index on disk: opened or created, searched, completed.
//!
//! **Invariant:** an index of another schema version, or one whose files do not
//! match their checksums, is refused at opening and never searched.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tantivy::index::IndexSettings;
use tantivy::{IndexMeta, IndexReader, ReloadPolicy, Score};

use crate::collect::{Matches, SearchRequest, matches};
use crate::fingerprint::{Fingerprint, fingerprints};
use crate::highlight::Highlighter;
use crate::schema::{SCHEMA, VERSION};
use crate::{DocumentWriter, Error, FacetValue, ProductId, Synonyms, analysis, query, suggest};

/// A search's result.
#[derive(Debug)]
pub struct SearchHits {
    /// How many products match.
    pub total: usize,
    /// The requested page of them with their scores, best first.
    pub page: Vec<(ProductId, Score)>,
    /// The counts of each requested facet, by the name it was requested under.
    pub facets: BTreeMap<String, Vec<FacetValue>>,
    /// The text that was searched for, where typing errors were corrected.
    pub corrected: Option<String>,
    /// Marks the matches in the texts of the products found.
    pub highlighter: Highlighter,
}

/// A search index. Cheap to clone.
#[derive(Clone)]
pub struct Index {
    index: tantivy::Index,
    reader: IndexReader,
}

/// The reason why an index could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is damaged, unfinished, or of another version, and has to be created anew.
    #[error("{0}")]
    Unusable(String),
    /// Its files could not be read; they may be well.
    #[error(transparent)]
    Unread(Error),
}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        if error.is_damage() {
            unusable(error.to_string())
        } else {
            Self::Unread(error)
        }
    }
}

fn unusable(why: impl Into<String>) -> OpenError {
    OpenError::Unusable(why.into())
}

/// How far the caller's log is indexed, and what the documents look like.
#[derive(Deserialize)]
struct Cursor<C> {
    version: u32,
    mark: C,
}

impl Index {
    /// Opens the index in `dir` and returns it with the cursor of its last commit. Files
    /// of a commit that was cut off are deleted.
    ///
    /// # Errors
    /// [`OpenError`]: whether the index has to be [created](Self::create) anew, or opening
    /// can be tried again.
    pub fn open<C: DeserializeOwned>(dir: &Path) -> Result<(Self, C), OpenError> {
        // Damaged lengths make tantivy panic.
        let opened = catch_unwind(AssertUnwindSafe(|| Self::open_existing(dir)));
        opened.unwrap_or_else(|_| Err(unusable("it is damaged")))
    }

    fn open_existing<C: DeserializeOwned>(dir: &Path) -> Result<(Self, C), OpenError> {
        let index = tantivy::Index::open_in_dir(dir).map_err(Error)?;
        let metas = index.load_metas().map_err(Error)?;
        let payload = metas.payload.as_deref();
        let cursor: Cursor<C> = payload
            .and_then(|payload| serde_json::from_str(payload).ok())
            .ok_or_else(|| unusable("it was never finished"))?;
        if cursor.version != VERSION || index.schema() != SCHEMA.0 {
            return Err(unusable("it was made by another version"));
        }
        let damaged = index.validate_checksum().map_err(Error)?;
        if let Some(file) = damaged.iter().next() {
            return Err(unusable(format!("its file {} is damaged", file.display())));
        }
        remove_unnamed(dir, &metas).map_err(Error::from)?;
        // Opens every segment, so that a missing file is found here and not by a search.
        Ok((Self::of(index)?, cursor.mark))
    }

    /// Creates an empty index in `dir`, in place of whatever is there.
    ///
    /// # Errors
    /// When the folder cannot be replaced.
    pub fn create(dir: &Path) -> Result<Self, Error> {
        if dir.exists() {
            fs::remove_dir_all(dir)?;
        }
        fs::create_dir_all(dir)?;
        let settings = IndexSettings {
            docstore_compress_dedicated_thread: false,
            ..IndexSettings::default()
        };
        let index = tantivy::Index::builder()
            .schema(SCHEMA.0.clone())
            .settings(settings)
            .create_in_dir(dir)?;
        Self::of(index)
    }

    /// Creates an empty index in memory.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn in_memory() -> Result<Self, Error> {
        Self::of(tantivy::Index::create_in_ram(SCHEMA.0.clone()))
    }

    fn of(mut index: tantivy::Index) -> Result<Self, Error> {
        analysis::register_analyzers(&mut index);
        // Documents have no stored fields, so the doc store needs no cache.
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .doc_store_cache_num_blocks(1)
            .try_into()?;
        Ok(Self { index, reader })
    }

    /// Opens the index's writer; there is at most one at a time.
    ///
    /// # Errors
    /// When another writer is open or its threads cannot be started.
    pub fn writer(&self) -> Result<DocumentWriter, Error> {
        DocumentWriter::open(&self.index, self.reader.clone())
    }

    /// Searches what was committed last.
    ///
    /// # Errors
    /// When the index's files cannot be read.
    pub fn search(
        &self,
        request: &SearchRequest,
        synonyms: &Synonyms,
    ) -> Result<SearchHits, Error> {
        let searcher = self.reader.searcher();
        let plan = query::plan(&searcher, synonyms, &request.text)?;
        let Matches { page, total, facets } = matches(&searcher, &plan, request)?;
        let page = page.iter().map(|hit| (hit.id, hit.score())).collect();
        let corrected = plan.corrected.filter(|_| total > 0);
        let highlighter = Highlighter::new(plan.terms);
        Ok(SearchHits { total, page, facets, corrected, highlighter })
    }

    /// Completes a query that is being typed, the most frequent completions first.
    ///
    /// # Errors
    /// When the index's files cannot be read.
    pub fn suggest(&self, text: &str) -> Result<Vec<String>, Error> {
        suggest::suggest(&self.reader.searcher(), text)
    }

    /// Every indexed product with its fingerprint. Reads the whole index: for a
    /// consistency check, not for a request.
    ///
    /// # Errors
    /// When the index's files cannot be read.
    pub fn fingerprints(&self) -> Result<Vec<(ProductId, Fingerprint)>, Error> {
        fingerprints(&self.reader.searcher())
    }
}

/// Deletes the segments' files that the last commit does not name. A commit that was cut
/// off leaves some; the same commit, repeated, uses the same names and fails on them.
fn remove_unnamed(dir: &Path, metas: &IndexMeta) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((id, rest)) = name.split_once('.').filter(|(id, _)| is_segment_id(id)) else {
            continue;
        };
        let is_named = metas.segments.iter().any(|segment| {
            segment.id().uuid_string() == id
                && match (rest.strip_suffix(".del"), segment.delete_opstamp()) {
                    (Some(opstamp), Some(named)) => opstamp == named.to_string(),
                    (Some(_), None) => false,
                    (None, _) => true,
                }
        });
        if !is_named {
            tracing::info!(file = %entry.path().display(), "deleting a file of an unfinished commit of the search index");
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn is_segment_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
