//! The catalogue's full-text index: searched by handlers, kept up to date by a follower.
//!
//! | module | holds |
//! | --- | --- |
//! | `follower` | the thread that indexes what the service's own log announces |
//! | `lag` | whether searches see everything that was written |
//! | `synonyms` | the owner's synonym file |
//!
//! Analysis, queries and the files themselves are the `search` crate's.
//!
//! **Invariants:** the index decides only which products are found and in what order;
//! the products themselves are read from the store. It is disposable: deleted or
//! damaged, it is rebuilt at the next start. Searches run on blocking threads, only a
//! few at once, so that they do not starve other requests.

mod follower;
mod lag;
mod synonyms;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ::search::{Document, Fingerprint, Index, SearchHits, SearchRequest};
use chassis::Context;
use parking_lot::RwLock;
use tokio::sync::Semaphore;

use self::follower::IndexFollower;
use self::synonyms::SynonymsFile;
use crate::Error;
use crate::domain::{Product, ProductId, StockLevel};

pub(crate) use self::lag::IndexLag;

/// Searches that run at once; each is short, and more would only share two cores.
const SEARCHES_AT_ONCE: usize = 4;

/// The open index, replaced when it is rebuilt.
type SharedIndex = Arc<RwLock<Index>>;

/// The index of the catalogue. Cheap to clone.
#[derive(Clone)]
pub(crate) struct CatalogueIndex {
    index: SharedIndex,
    synonyms: Arc<SynonymsFile>,
    running: Arc<Semaphore>,
    lag: IndexLag,
}

impl CatalogueIndex {
    /// Opens the index and starts its follower; the service is ready once it has
    /// caught up.
    ///
    /// # Errors
    /// When there is no index and none can be created.
    pub(crate) fn start(ctx: &Context) -> Result<Self, chassis::Error> {
        let dir = ctx.data_dir.join("index");
        let failed = |error: Error| chassis::Error::Service(error.to_string());
        // Reads, and may delete, whole files: other services start meanwhile.
        let opened = tokio::task::block_in_place(|| follower::open(&dir, &ctx.log));
        let (index, mark) = opened.map_err(failed)?;
        let index = Arc::new(RwLock::new(index));
        let caught_up = Arc::new(AtomicBool::new(false));
        let lag = IndexLag::behind(ctx.log.tail().seq);
        let stop = ctx.stop.child_token();
        let follower = IndexFollower {
            store: ctx.store.clone(),
            log: ctx.log.clone(),
            dir,
            index: Arc::clone(&index),
            caught_up: caught_up.clone(),
            lag: lag.clone(),
            stop: stop.clone(),
            runtime: tokio::runtime::Handle::current(),
        };
        ctx.tasks.spawn_blocking(move || follower.run(mark));
        // A runtime that is dropped drops its tasks first and then joins its blocking
        // threads: the guard stops this one.
        let (guard, stop_requested) = (stop.drop_guard(), ctx.stop.clone());
        ctx.tasks.spawn(async move {
            let _guard = guard;
            stop_requested.cancelled().await;
        });
        ctx.health.add(move || {
            let caught_up = caught_up.load(Ordering::Relaxed);
            (!caught_up).then(|| "search index not caught up".to_owned())
        });
        Ok(Self {
            index,
            synonyms: Arc::new(SynonymsFile::new(
                ctx.data_dir.with_file_name("synonyms.txt"),
            )),
            running: Arc::new(Semaphore::new(SEARCHES_AT_ONCE)),
            lag,
        })
    }

    /// How far the index is behind the store.
    pub(crate) fn lag(&self) -> &IndexLag {
        &self.lag
    }

    /// Searches, and makes a response of the hits on the same blocking thread.
    ///
    /// # Errors
    /// When the index cannot be read, and those of `respond`.
    pub(crate) async fn search<T: Send + 'static>(
        &self,
        request: SearchRequest,
        respond: impl FnOnce(SearchHits) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let synonyms = Arc::clone(&self.synonyms);
        self.blocking(move |index| respond(index.search(&request, &synonyms.synonyms())?))
            .await
    }

    /// Completes a query that is being typed.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub(crate) async fn suggest(&self, text: String) -> Result<Vec<String>, Error> {
        self.blocking(move |index| Ok(index.suggest(&text)?)).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Index) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let stopped = || chassis::Problem::internal("the search was interrupted");
        let permit = self.running.clone().acquire_owned().await;
        let permit = permit.map_err(|_| stopped())?;
        let index = self.index.read().clone();
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&index)
        });
        work.await.map_err(|_| stopped())?
    }

    /// The fingerprint of every indexed product. Reads the whole index.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub(crate) fn fingerprints(&self) -> Result<Vec<(ProductId, Fingerprint)>, Error> {
        let index = self.index.read().clone();
        Ok(index.fingerprints()?)
    }
}

/// A product as it is indexed.
pub(crate) fn document(product: &Product, level: StockLevel) -> Document<'_> {
    let content = &product.content;
    Document {
        id: product.id,
        sku: &content.sku,
        title: &content.title,
        description: &content.description,
        brand: &content.brand,
        categories: &content.categories,
        tags: &content.tags,
        attributes: &content.attributes,
        price: content.price.amount,
        available: level.is_available(),
        created: product.created_at.0,
        rating: content.rating.map(|rating| rating.rank()),
    }
}
