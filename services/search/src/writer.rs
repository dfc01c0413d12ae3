//! Index writer: additions, deletions and commits.
//!
//! **Invariant:** documents and the caller's cursor become durable in one commit;
//! what is not committed is lost with the writer.

use serde::Serialize;
use tantivy::indexer::IndexWriterOptions;
use tantivy::{IndexReader, IndexWriter, TantivyError};

use crate::merge_policy::{IndexLoad, LoadAwarePolicy};
use crate::schema::VERSION;
use crate::{Document, Error, ProductId, identity, mapping};

/// The least tantivy takes; enough for tens of thousands of products a second.
const WRITER_BYTES: usize = 15_000_000;

/// The one writer of an index. Holds megabytes and threads while it lives.
pub struct DocumentWriter {
    writer: IndexWriter,
    policy: LoadAwarePolicy,
    reader: IndexReader,
}

/// What a commit carries beside the documents.
#[derive(Serialize)]
struct Cursor<'a, C> {
    version: u32,
    mark: &'a C,
}

impl DocumentWriter {
    pub(crate) fn open(index: &tantivy::Index, reader: IndexReader) -> Result<Self, Error> {
        let options = IndexWriterOptions::builder()
            .memory_budget_per_thread(WRITER_BYTES)
            .num_worker_threads(1)
            .num_merge_threads(1)
            .build();
        let writer = index.writer_with_options(options)?;
        let policy = LoadAwarePolicy::default();
        writer.set_merge_policy(Box::new(policy.clone()));
        Ok(Self { writer, policy, reader })
    }

    /// Adds a document, which must not be in the index already.
    ///
    /// # Errors
    /// When an indexing thread failed; the writer is of no more use then.
    pub fn add(&self, document: &Document<'_>) -> Result<(), Error> {
        self.writer.add_document(mapping::document(document))?;
        Ok(())
    }

    /// Deletes a product's document, if there is one.
    pub fn delete(&self, id: ProductId) {
        self.writer.delete_term(identity::term(id));
    }

    /// Deletes every document.
    ///
    /// # Errors
    /// When the index's files cannot be changed.
    pub fn clear(&self) -> Result<(), Error> {
        self.writer.delete_all_documents()?;
        Ok(())
    }

    /// Sets the load; it holds for every commit from now on. Returns whether it changed.
    pub fn set_load(&self, load: IndexLoad) -> bool {
        self.policy.set_load(load)
    }

    /// Whether the index has several segments, which a commit may merge.
    pub fn has_segments(&self) -> bool {
        self.reader.searcher().segment_readers().len() > 1
    }

    /// Makes all changes and `cursor` durable together, then visible to searches.
    ///
    /// # Errors
    /// When the disk fails; the index is as it was at the commit before.
    pub fn commit<C: Serialize>(&mut self, cursor: &C) -> Result<(), Error> {
        let cursor = Cursor { version: VERSION, mark: cursor };
        let payload = serde_json::to_string(&cursor)
            .map_err(|error| TantivyError::InternalError(error.to_string()))?;
        let mut commit = self.writer.prepare_commit()?;
        commit.set_payload(&payload);
        commit.commit()?;
        self.reader.reload()?;
        Ok(())
    }

    /// Closes the writer once running merges are done.
    ///
    /// # Errors
    /// When a merge failed.
    pub fn close(self) -> Result<(), Error> {
        self.writer.wait_merging_threads()?;
        // Otherwise searches keep the segments that were merged, and their memory.
        self.reader.reload()?;
        Ok(())
    }
}
