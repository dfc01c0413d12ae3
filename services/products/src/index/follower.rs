//! The index follower: keeps the index up to date with the service's own log.
//!
//! Its cursor is stored in the index's commit, so that what a commit contains and how
//! far it had read become durable together. A product is indexed in its present state,
//! so reading an event twice does no harm; and a commit waits until everything it may
//! have read is durable, so the index lags behind the store and never leads it,
//! whenever the power is cut.
//!
//! **Invariant:** an index whose cursor is not in the log's history, or which cannot
//! be read, is rebuilt from the store.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::search::{DocumentWriter, Index, IndexLoad, OpenError};
use ::store::{Read, Store};
use mesh::{Event, Log, Mark};
use model::Fact;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{IndexLag, SharedIndex, document};
use crate::Error;
use crate::tables::{self, PRODUCTS};

/// Changes that come together are committed together…
const GATHER: Duration = Duration::from_millis(100);
/// …and commits keep this distance: each costs files and syncs.
const COMMIT_EVERY: Duration = Duration::from_millis(600);
/// …a longer one during an import: a segment has every word of its products once, so
/// the cost of each product falls with its size, and fewer segments need less merging.
const COMMIT_EVERY_BULK: Duration = Duration::from_secs(5);
/// Products indexed before a commit even while more keep coming.
const PRODUCTS_PER_COMMIT: usize = 10_000;
/// Products in one round that are taken for an import and not for edits.
const PRODUCTS_BULK: usize = 300;
/// Events read before the cursor is committed though nothing changed, so that a
/// restart does not read them again.
const EVENTS_PER_CURSOR: u64 = 10_000;
/// How long the writer is kept after the last change. It holds megabytes and
/// threads; opened for each change, it would never get to merging segments.
const WRITER_KEPT: Duration = Duration::from_secs(5);
/// The pause before the index is tried again after a failure.
const RETRY: Duration = Duration::from_secs(1);
/// The index among the followers of the log, which is trimmed only behind its commits.
const FOLLOWER: &str = "products/index";
/// Products between two log lines of a rebuild.
const PROGRESS_EVERY: usize = 5_000;

/// Opens the index in `dir`, or an empty one where none is usable. The mark is how far
/// it has read; `None` asks for a rebuild.
pub(super) fn open(dir: &Path, log: &Log) -> Result<(Index, Option<Mark>), Error> {
    match Index::open::<Mark>(dir) {
        Ok((index, mark)) if log.has(&mark)? => {
            log.note_follower(FOLLOWER, mark.seq);
            return Ok((index, Some(mark)));
        }
        Ok(_) => rebuilding("it is not of this store's history"),
        Err(OpenError::Unread(error)) => return Err(error.into()),
        Err(OpenError::Unusable(why)) if dir.exists() => rebuilding(&why),
        Err(OpenError::Unusable(_)) => tracing::info!("creating the search index"),
    }
    Ok((Index::create(dir)?, None))
}

fn rebuilding(why: &str) {
    tracing::warn!(why, "the search index cannot be used and is rebuilt");
}

/// Whether the index's files may be the cause of the error.
fn is_damage(error: &Error) -> bool {
    matches!(error, Error::Index(error) if error.is_damage())
}

/// The thread that follows the log.
pub(super) struct IndexFollower {
    pub(super) store: Store,
    pub(super) log: Log,
    pub(super) dir: PathBuf,
    pub(super) index: SharedIndex,
    pub(super) caught_up: Arc<AtomicBool>,
    pub(super) lag: IndexLag,
    pub(super) stop: CancellationToken,
    pub(super) runtime: Handle,
}

impl IndexFollower {
    /// Follows until a stop is requested. A failure is retried for as long as it lasts,
    /// each time from the last commit; if the index's files cause the same one twice, they
    /// are made anew.
    pub(super) fn run(self, mut mark: Option<Mark>) {
        let mut damage = None;
        loop {
            let failure = match catch_unwind(AssertUnwindSafe(|| self.follow(mark))) {
                Ok(Ok(())) => return,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "indexing failed; trying again");
                    is_damage(&error).then(|| error.to_string())
                }
                Err(_) => {
                    tracing::warn!("indexing panicked; trying again");
                    Some("it panicked".to_owned())
                }
            };
            // A failure after the index was well is a first one.
            let was_well = self.caught_up.swap(false, Ordering::Relaxed);
            let is_repeated = !was_well && failure.is_some() && failure == damage;
            damage = failure;
            self.lag.visible(0);
            mark = loop {
                if self.wait(tokio::time::sleep(RETRY)).is_none() {
                    return;
                }
                let reopened = if is_repeated { self.create_anew() } else { self.reopen() };
                match reopened {
                    Ok(mark) => break mark,
                    Err(error) => tracing::warn!(%error, "the search index cannot be opened"),
                }
            };
        }
    }

    fn reopen(&self) -> Result<Option<Mark>, Error> {
        let (index, mark) = open(&self.dir, &self.log)?;
        *self.index.write() = index;
        Ok(mark)
    }

    fn create_anew(&self) -> Result<Option<Mark>, Error> {
        rebuilding("the same failure came twice");
        *self.index.write() = Index::create(&self.dir)?;
        Ok(None)
    }

    fn follow(&self, mark: Option<Mark>) -> Result<(), Error> {
        let index = self.index.read().clone();
        let mut writer = index.writer()?;
        // Searches see everything that was written before the start once they see this.
        let goal = self.log.tail().seq;
        let (mut mark, held) = match mark {
            Some(mark) => (mark, mark.seq),
            None => match self.rebuild(&mut writer)? {
                Some(built) => built,
                None => return Ok(()),
            },
        };
        let mut committed = (mark.seq, Instant::now());
        // A stop after an import comes before its last merge.
        let mut is_unmerged = writer.has_segments();
        let mut pending = 0;
        loop {
            let due = Instant::now() + COMMIT_EVERY;
            let (reached, changed) = self.index_after(&writer, mark, held)?;
            mark = reached;
            pending += changed;
            let bulk = changed >= PRODUCTS_BULK;
            writer.set_load(if bulk { IndexLoad::Bulk } else { IndexLoad::Interactive });
            let (before, at) = committed;
            let catches_up = mark.seq >= goal && !self.caught_up.load(Ordering::Relaxed);
            let later = bulk
                && !catches_up
                && pending < PRODUCTS_PER_COMMIT
                && at.elapsed() < COMMIT_EVERY_BULK;
            if !later && (pending > 0 || mark.seq - before >= EVENTS_PER_CURSOR) {
                if self.wait(self.log.settled()).transpose()?.is_none() {
                    return Ok(());
                }
                writer.commit(&mark)?;
                self.log.note_follower(FOLLOWER, mark.seq);
                committed = (mark.seq, Instant::now());
                pending = 0;
            }
            if pending == 0 {
                self.lag.visible(mark.seq);
                if mark.seq >= goal {
                    self.caught_up.store(true, Ordering::Relaxed);
                }
            }
            if self.log.tail().seq.saturating_sub(mark.seq) >= PRODUCTS_PER_COMMIT as u64 {
                continue;
            }
            let timeout = if pending > 0 { COMMIT_EVERY } else { WRITER_KEPT };
            let soon = tokio::time::timeout(timeout, self.log.beyond(mark.seq));
            match self.wait(soon) {
                None => return Ok(()),
                Some(Ok(())) => {}
                // No more changes: the postponed ones are committed.
                Some(Err(_)) if pending > 0 => continue,
                Some(Err(_)) => {
                    let was_bulk = writer.set_load(IndexLoad::Interactive);
                    if std::mem::take(&mut is_unmerged) || was_bulk {
                        writer.commit(&mark)?;
                    }
                    writer.close()?;
                    if self.wait(self.log.beyond(mark.seq)).is_none() {
                        return Ok(());
                    }
                    writer = index.writer()?;
                }
            }
            let gathered = due.max(Instant::now() + GATHER);
            if self.wait(tokio::time::sleep_until(gathered)).is_none() {
                return Ok(());
            }
        }
    }

    /// Rebuilds the index from the store. Changes made meanwhile are in the log after the
    /// returned mark, and may be indexed already up to the position beside it.
    /// Interrupted (`None`), it has committed nothing and is repeated at the next start.
    fn rebuild(&self, writer: &mut DocumentWriter) -> Result<Option<(Mark, u64)>, Error> {
        let mark = self.log.tail();
        writer.clear()?;
        let mut done = 0;
        for row in self.store.scan(PRODUCTS.all())? {
            let (id, product) = row?;
            if product.is_published() {
                let level = tables::level(&self.store, id)?.unwrap_or_default();
                writer.add(&document(&product, level))?;
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
        writer.commit(&mark)?;
        self.log.note_follower(FOLLOWER, mark.seq);
        tracing::info!(products = done, "the search index is built");
        Ok(Some((mark, self.log.tail().seq)))
    }

    /// Indexes the products that events after `mark` touched, one commit's worth at most.
    /// Returns the mark reached and the number of products. A product that was created
    /// after position `held` has no document to replace.
    fn index_after(
        &self,
        writer: &DocumentWriter,
        mut mark: Mark,
        held: u64,
    ) -> Result<(Mark, usize), Error> {
        let (mut touched, mut new) = (BTreeSet::new(), BTreeSet::new());
        while touched.len() < PRODUCTS_PER_COMMIT {
            let events = self.log.read(mark.seq)?;
            let Some(last) = events.last() else { break };
            mark = last.mark();
            for recorded in &events {
                // An undecodable event is from a newer version and concerns no product here.
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
                writer.delete(*id);
            }
            match tables::product(&self.store, *id) {
                Ok((product, level)) if product.is_published() => {
                    writer.add(&document(&product, level))?;
                }
                Ok(_) | Err(Error::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((mark, touched.len()))
    }

    /// Waits on this thread; `None` when a stop is requested.
    fn wait<F: Future>(&self, future: F) -> Option<F::Output> {
        self.runtime
            .block_on(async { self.stop.run_until_cancelled(future).await })
    }
}
