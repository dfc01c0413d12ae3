//! Keeps the index level with the service's own log.
//!
//! The index is a follower whose cursor is tantivy's commit payload: what a
//! commit holds and how far it had read become durable together. What is indexed
//! is a product's present state, so reading an event twice does no harm; and a
//! commit waits until all it may have seen is durable, so the index lags behind
//! the store and never leads it, whenever the power is cut.
//!
//! **Invariant:** an index whose cursor the log does not show, or which cannot be
//! read, is deleted and made anew from the store.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::store::{Read, Store};
use mesh::{Event, Log, Mark};
use model::Fact;
use serde::{Deserialize, Serialize};
use tantivy::index::IndexSettings;
use tantivy::indexer::IndexWriterOptions;
use tantivy::{Index, IndexWriter, ReloadPolicy};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::freshness::Freshness;
use super::merging::Merging;
use super::schema::{self, SCHEMA};
use super::{Reader, identity, words};
use crate::Error;
use crate::store::{self, PRODUCTS};

/// The least tantivy takes; enough for tens of thousands of products a second.
const WRITER_BYTES: usize = 15_000_000;
/// Changes that come together are committed together…
const GATHER: Duration = Duration::from_millis(100);
/// …and commits keep this distance: each costs files and syncs.
const COMMIT_EVERY: Duration = Duration::from_millis(600);
/// …a longer one while a catalogue comes in: a segment holds every word of its
/// products once, so the larger it is the less it takes to write for each of them,
/// and what is written seldom enough is not merged meanwhile.
const COMMIT_EVERY_BUSY: Duration = Duration::from_secs(5);
/// Products indexed before a commit even while more keep coming.
const PRODUCTS_PER_COMMIT: usize = 10_000;
/// Products at once that nobody changes by hand: a catalogue comes in.
const PRODUCTS_BUSY: usize = 300;
/// Events passed over before the cursor is committed though nothing changed, so
/// that a restart does not read them again.
const EVENTS_PER_CURSOR: u64 = 10_000;
/// How long the writer is kept after the last change. It holds megabytes and
/// threads; opened for each change, it would never come to merging segments.
const WRITER_KEPT: Duration = Duration::from_secs(5);
/// Pause before trying again when the disk fails the index.
const RETRY: Duration = Duration::from_secs(1);
/// Products between two words about a rebuild's progress.
const PROGRESS_EVERY: usize = 5_000;

/// How far an index has read, and what its documents look like.
#[derive(Serialize, Deserialize)]
struct Cursor {
    version: u32,
    mark: Mark,
}

/// Opens the index in `dir`, or an empty one where there is none that can be
/// used. The mark is how far it has read; `None` asks for a rebuild.
pub(super) fn open(dir: &Path, log: &Log) -> Result<(Index, Option<Mark>), Error> {
    // What is damaged enough makes tantivy panic where it reads lengths.
    let existing = catch_unwind(AssertUnwindSafe(|| open_existing(dir, log)));
    match existing.unwrap_or_else(|_| Err("it is damaged".into())) {
        Ok(opened) => return Ok(opened),
        Err(why) if dir.exists() => {
            tracing::warn!(why, "the search index cannot be used and is rebuilt");
        }
        Err(_) => tracing::info!("making the search index"),
    }
    let failed = |error| Error::Index(tantivy::TantivyError::IoError(Arc::new(error)));
    if dir.exists() {
        fs::remove_dir_all(dir).map_err(failed)?;
    }
    fs::create_dir_all(dir).map_err(failed)?;
    let settings = IndexSettings {
        docstore_compress_dedicated_thread: false,
        ..IndexSettings::default()
    };
    let mut index = Index::builder()
        .schema(SCHEMA.0.clone())
        .settings(settings)
        .create_in_dir(dir)?;
    words::register_analyzers(&mut index);
    Ok((index, None))
}

fn open_existing(dir: &Path, log: &Log) -> Result<(Index, Option<Mark>), String> {
    let told = |error: tantivy::TantivyError| error.to_string();
    let mut index = Index::open_in_dir(dir).map_err(told)?;
    let payload = index.load_metas().map_err(told)?.payload;
    let cursor: Cursor = payload
        .and_then(|payload| serde_json::from_str(&payload).ok())
        .ok_or("it was never finished")?;
    if cursor.version != schema::VERSION || index.schema() != SCHEMA.0 {
        return Err("it was made by another version".into());
    }
    if !shows(log, cursor.mark).map_err(|error| error.to_string())? {
        return Err("it is not of this store's history".into());
    }
    let damaged = index.validate_checksum().map_err(told)?;
    if let Some(file) = damaged.iter().next() {
        return Err(format!("its file {} is damaged", file.display()));
    }
    words::register_analyzers(&mut index);
    // Opens every segment, so a missing file shows here and not in a search.
    reader(&index).map_err(|error| error.to_string())?;
    Ok((index, Some(cursor.mark)))
}

/// Whether the log has this mark in its history.
fn shows(log: &Log, mark: Mark) -> Result<bool, ::store::Error> {
    let Some(before) = mark.seq.checked_sub(1) else {
        return Ok(mark == Mark::default());
    };
    let recorded = log.read(before)?;
    Ok(recorded.first().is_some_and(|event| event.mark() == mark))
}

/// A reader that sees what is committed now.
pub(super) fn reader(index: &Index) -> Result<tantivy::IndexReader, Error> {
    // Nothing is read from there: there is nothing worth keeping in memory.
    Ok(index
        .reader_builder()
        .reload_policy(ReloadPolicy::Manual)
        .doc_store_cache_num_blocks(1)
        .try_into()?)
}

/// The thread that follows the log.
pub(super) struct Indexer {
    pub(super) store: Store,
    pub(super) log: Log,
    pub(super) dir: PathBuf,
    pub(super) reader: Reader,
    pub(super) caught_up: Arc<AtomicBool>,
    pub(super) freshness: Freshness,
    pub(super) stop: CancellationToken,
    pub(super) runtime: Handle,
}

impl Indexer {
    /// Follows until told to stop. A failure is retried for as long as it lasts,
    /// each time from what the last commit holds.
    pub(super) fn run(self, mut opened: (Index, Option<Mark>)) {
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.follow(opened))) {
                Ok(Ok(())) => return,
                Ok(Err(error)) => tracing::warn!(%error, "indexing failed; trying again"),
                Err(_) => tracing::warn!("indexing panicked; trying again"),
            }
            self.caught_up.store(false, Ordering::Relaxed);
            self.freshness.shows(0);
            opened = loop {
                if self.wait(tokio::time::sleep(RETRY)).is_none() {
                    return;
                }
                match self.reopen() {
                    Ok(opened) => break opened,
                    Err(error) => tracing::warn!(%error, "the search index cannot be opened"),
                }
            };
        }
    }

    fn reopen(&self) -> Result<(Index, Option<Mark>), Error> {
        let opened = open(&self.dir, &self.log)?;
        self.reader.set(reader(&opened.0)?);
        Ok(opened)
    }

    fn follow(&self, (index, mark): (Index, Option<Mark>)) -> Result<(), Error> {
        let merging = Merging::default();
        let mut writer = open_writer(&index, &merging)?;
        let (mut mark, held) = match mark {
            Some(mark) => (mark, mark.seq),
            None => match self.rebuild(&mut writer)? {
                Some(built) => built,
                None => return Ok(()),
            },
        };
        let mut committed = (mark.seq, Instant::now());
        let mut pending = 0;
        loop {
            let due = Instant::now() + COMMIT_EVERY;
            let (reached, changed) = self.index_after(&writer, mark, held)?;
            mark = reached;
            pending += changed;
            let busy = changed >= PRODUCTS_BUSY;
            merging.set_busy(busy);
            let (before, at) = committed;
            let later = busy && pending < PRODUCTS_PER_COMMIT && at.elapsed() < COMMIT_EVERY_BUSY;
            if !later && (pending > 0 || mark.seq - before >= EVENTS_PER_CURSOR) {
                if self.wait(self.log.settled()).transpose()?.is_none() {
                    return Ok(());
                }
                self.commit(&mut writer, mark)?;
                committed = (mark.seq, Instant::now());
                pending = 0;
            }
            if pending == 0 {
                self.freshness.shows(mark.seq);
            }
            if self.log.tail().seq.saturating_sub(mark.seq) >= PRODUCTS_PER_COMMIT as u64 {
                continue;
            }
            self.caught_up.store(true, Ordering::Relaxed);
            let timeout = if pending > 0 { COMMIT_EVERY } else { WRITER_KEPT };
            let soon = tokio::time::timeout(timeout, self.log.beyond(mark.seq));
            match self.wait(soon) {
                None => return Ok(()),
                Some(Ok(())) => {}
                // Nothing more comes: what was put off is committed.
                Some(Err(_)) if pending > 0 => continue,
                Some(Err(_)) => {
                    if merging.set_busy(false) {
                        self.commit(&mut writer, mark)?;
                    }
                    writer.wait_merging_threads()?;
                    // Else searches would go on in what was merged, and keep it in memory.
                    self.reader.reload()?;
                    if self.wait(self.log.beyond(mark.seq)).is_none() {
                        return Ok(());
                    }
                    writer = open_writer(&index, &merging)?;
                }
            }
            let gathered = due.max(Instant::now() + GATHER);
            if self.wait(tokio::time::sleep_until(gathered)).is_none() {
                return Ok(());
            }
        }
    }

    /// Makes the index from the store. What changes meanwhile is in the log after
    /// the mark it begins at, and may be held already up to the place given beside it.
    /// Cut off (`None`), it has committed nothing, stays without a cursor and is rebuilt
    /// at the next start.
    fn rebuild(&self, writer: &mut IndexWriter) -> Result<Option<(Mark, u64)>, Error> {
        let mark = self.log.tail();
        writer.delete_all_documents()?;
        let mut done = 0;
        for row in self.store.scan(PRODUCTS.all())? {
            let (id, product) = row?;
            if product.is_published() {
                let level = store::level(&self.store, id)?.unwrap_or_default();
                writer.add_document(schema::document(&product, level))?;
            }
            done += 1;
            if done % PROGRESS_EVERY == 0 {
                tracing::info!(products = done, "rebuilding the search index");
            }
            if self.stop.is_cancelled() {
                return Ok(None);
            }
        }
        if self.wait(self.log.settled()).transpose()?.is_none() {
            return Ok(None);
        }
        self.commit(writer, mark)?;
        tracing::info!(products = done, "the search index is built");
        Ok(Some((mark, self.log.tail().seq)))
    }

    /// Indexes what events after `mark` touched, a commit's worth at most; how far it
    /// came, and how many products that were. Of a product that was made beyond place
    /// `held` there is nothing to be replaced.
    fn index_after(
        &self,
        writer: &IndexWriter,
        mut mark: Mark,
        held: u64,
    ) -> Result<(Mark, usize), Error> {
        let (mut touched, mut new) = (BTreeSet::new(), BTreeSet::new());
        while touched.len() < PRODUCTS_PER_COMMIT {
            let events = self.log.read(mark.seq)?;
            let Some(last) = events.last() else { break };
            mark = last.mark();
            for recorded in &events {
                // An event that cannot be read tells of nothing this program made.
                let fact = Event::decode(&recorded.body)
                    .ok()
                    .and_then(|event| event.fact);
                if let Some(Fact::ProductCreated(listing)) = &fact
                    && recorded.seq > held
                {
                    new.insert(listing.product_id);
                }
                touched.extend(fact.and_then(|fact| fact.product_shown_anew()));
            }
        }
        for id in &touched {
            if !new.contains(id) {
                writer.delete_term(identity::term(*id));
            }
            match store::product(&self.store, *id) {
                Ok((product, level)) if product.is_published() => {
                    writer.add_document(schema::document(&product, level))?;
                }
                Ok(_) | Err(Error::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((mark, touched.len()))
    }

    fn commit(&self, writer: &mut IndexWriter, mark: Mark) -> Result<(), Error> {
        let cursor = Cursor { version: schema::VERSION, mark };
        let payload = serde_json::to_string(&cursor)
            .map_err(|error| tantivy::TantivyError::InternalError(error.to_string()))?;
        let mut commit = writer.prepare_commit()?;
        commit.set_payload(&payload);
        commit.commit()?;
        self.reader.reload()
    }

    /// Waits for something on this thread; `None` when it is time to stop.
    fn wait<F: Future>(&self, what: F) -> Option<F::Output> {
        self.runtime
            .block_on(async { self.stop.run_until_cancelled(what).await })
    }
}

fn open_writer(index: &Index, merging: &Merging) -> Result<IndexWriter, Error> {
    let options = IndexWriterOptions::builder()
        .memory_budget_per_thread(WRITER_BYTES)
        .num_worker_threads(1)
        .num_merge_threads(1)
        .build();
    let writer = index.writer_with_options(options)?;
    writer.set_merge_policy(Box::new(merging.clone()));
    Ok(writer)
}
