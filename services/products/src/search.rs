//! Finding things: a full-text index beside the store.
//!
//! | module | holds |
//! | --- | --- |
//! | `schema` | the fields, a product as a document |
//! | `words`, `stemmer` | how text becomes words |
//! | `identity` | which product a document is, and which version of it |
//! | `merging` | which segments of the index become one, and when |
//! | `indexer` | the thread that keeps the index level with the log |
//! | `freshness` | whether it shows everything that was written |
//! | `kind` | what a product is, and what it only mentions |
//! | `query`, `plan` | from what was typed to a query |
//! | `vocabulary`, `spelling` | corrections and completions |
//! | `synonyms` | what the shop's owner calls the same |
//! | `pass` | what a query finds: a page of it, counted |
//! | `ranking` | the order of what is found |
//! | `suggest` | what is being typed, completed |
//! | `facets` | filters and counts |
//! | `audit` | what it holds, for a check |
//! | `highlight` | matches, marked |
//!
//! **Invariants:** the index decides only which products are found and in what
//! order; what is shown is read from the store. It is disposable: deleted or
//! damaged, it is made anew at the next start. A search runs on a blocking
//! thread, and only a few at once, so that it starves nobody.

mod audit;
mod facets;
mod freshness;
mod highlight;
mod identity;
mod indexer;
mod kind;
mod merging;
mod pass;
mod plan;
mod query;
mod ranking;
mod schema;
mod spelling;
mod stemmer;
mod suggest;
mod synonyms;
mod vocabulary;
mod words;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use ::store::Store;
use chassis::Context;
use chassis::etag::Tagged;
use tantivy::{IndexReader, Score, Searcher};
use tokio::sync::Semaphore;

use self::identity::Ids;
use self::indexer::Indexer;
use self::pass::{Page, page, relaxed};
use self::plan::Plan;
use self::synonyms::SynonymsFile;
use crate::Error;
use crate::cache::Cache;
use crate::domain::ProductId;
use crate::shown::shown;

pub(crate) use self::audit::Indexed;
pub(crate) use self::facets::{Facet, FacetValue, Filters};
pub(crate) use self::freshness::Freshness;

/// Searches that run at once; each is short, and more would only share two cores.
const SEARCHES_AT_ONCE: usize = 4;

/// In which order products are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    #[default]
    Relevance,
    Cheapest,
    Dearest,
    Oldest,
    Newest,
    /// By average, then by how many say so; what nobody rated comes last.
    BestRated,
}

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) text: String,
    pub(crate) filters: Filters,
    pub(crate) facets: Vec<(String, Facet)>,
    pub(crate) sort: Sort,
    pub(crate) limit: usize,
    pub(crate) offset: usize,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) total: usize,
    pub(crate) hits: Vec<Hit>,
    pub(crate) facets: BTreeMap<String, Vec<FacetValue>>,
    pub(crate) corrected: Option<String>,
}

/// A product that was found.
#[derive(Debug)]
pub(crate) struct Hit {
    /// Its JSON.
    pub(crate) shown: Tagged,
    pub(crate) score: Score,
    pub(crate) highlights: BTreeMap<&'static str, String>,
}

/// The index's reader, replaced when the index is made anew.
#[derive(Clone)]
struct Reader(Arc<RwLock<IndexReader>>);

impl Reader {
    fn searcher(&self) -> Searcher {
        let reader = self.0.read().unwrap_or_else(PoisonError::into_inner);
        reader.searcher()
    }

    fn set(&self, reader: IndexReader) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = reader;
    }

    /// Shows what was committed last.
    fn reload(&self) -> Result<(), Error> {
        let reader = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Ok(reader.reload()?)
    }
}

/// The search index. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Search {
    store: Store,
    cache: Cache,
    reader: Reader,
    synonyms: Arc<SynonymsFile>,
    running: Arc<Semaphore>,
    freshness: Freshness,
}

impl Search {
    /// Opens the index and starts the thread that keeps it level with the log;
    /// the service is ready once it is.
    ///
    /// # Errors
    /// When there is no index and none can be made.
    pub(crate) fn start(ctx: &Context, cache: Cache) -> Result<Self, chassis::Error> {
        let dir = ctx.data_dir.join("index");
        let failed = |error: Error| chassis::Error::Service(error.to_string());
        // It reads, and may delete, whole files: other services start meanwhile.
        let opened = tokio::task::block_in_place(|| indexer::open(&dir, &ctx.log));
        let opened = opened.map_err(failed)?;
        let reader = indexer::reader(&opened.0).map_err(failed)?;
        let reader = Reader(Arc::new(RwLock::new(reader)));
        let caught_up = Arc::new(AtomicBool::new(false));
        let freshness = Freshness::after(ctx.log.tail().seq);
        let stop = ctx.stop.child_token();
        let indexer = Indexer {
            store: ctx.store.clone(),
            log: ctx.log.clone(),
            dir,
            reader: reader.clone(),
            caught_up: caught_up.clone(),
            freshness: freshness.clone(),
            stop: stop.clone(),
            runtime: tokio::runtime::Handle::current(),
        };
        ctx.tasks.spawn_blocking(move || indexer.run(opened));
        // A runtime that is dropped drops its tasks first and then waits for its
        // threads: the guard is how the thread hears of it.
        let (guard, told) = (stop.drop_guard(), ctx.stop.clone());
        ctx.tasks.spawn(async move {
            let _guard = guard;
            told.cancelled().await;
        });
        ctx.health.add(move || {
            let level = caught_up.load(Ordering::Relaxed);
            (!level).then(|| "search index not caught up".to_owned())
        });
        Ok(Self {
            store: ctx.store.clone(),
            cache,
            reader,
            synonyms: Arc::new(SynonymsFile::new(
                ctx.data_dir.with_file_name("synonyms.txt"),
            )),
            running: Arc::new(Semaphore::new(SEARCHES_AT_ONCE)),
            freshness,
        })
    }

    /// How what is found compares with what was written.
    pub(crate) fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    /// Finds products.
    ///
    /// # Errors
    /// When the index or the store cannot be read.
    pub(crate) async fn find(&self, wanted: Wanted) -> Result<Found, Error> {
        self.blocking(move |search| search.find_now(&wanted)).await
    }

    /// Completes what is being typed.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub(crate) async fn suggest(&self, text: String) -> Result<Vec<String>, Error> {
        self.blocking(move |search| suggest::suggest(&search.reader.searcher(), &text))
            .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let stopped = || chassis::Problem::internal("the search was broken off");
        let permit = self.running.clone().acquire_owned().await;
        let permit = permit.map_err(|_| stopped())?;
        let search = self.clone();
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&search)
        });
        work.await.map_err(|_| stopped())?
    }

    fn find_now(&self, wanted: &Wanted) -> Result<Found, Error> {
        let searcher = self.reader.searcher();
        let plan = query::plan(&searcher, &self.synonyms.now(), &wanted.text)?;
        let mut found = page(&searcher, &plan, 0, wanted)?;
        let missing = relaxed(&searcher, &plan, wanted.sort, found.total)?;
        if missing > 0 {
            found = page(&searcher, &plan, missing, wanted)?;
        }
        let Page { top, total, facets: mut values } = found;
        let facets = wanted.facets.iter().filter_map(|(name, facet)| {
            let place = values.iter().position(|(counted, _)| *counted == facet)?;
            Some((name.clone(), values.swap_remove(place).1))
        });
        let facets = facets.collect();
        let mut hits = Vec::with_capacity(top.len());
        let mut ids = Ids::default();
        for (score, address) in top {
            if let Some(id) = ids.of(&searcher, address)? {
                hits.extend(self.hit(id, score, &plan)?);
            }
        }
        let corrected = plan.corrected.filter(|_| total > 0);
        Ok(Found { total, hits, facets, corrected })
    }

    /// The product behind a match; `None` when it is gone since.
    fn hit(&self, id: ProductId, score: Score, plan: &Plan) -> Result<Option<Hit>, Error> {
        match shown(&self.store, &self.cache, id) {
            Ok((shown, true)) => {
                let highlights = highlight::highlights(shown.body(), &plan.marks)?;
                Ok(Some(Hit { shown, score, highlights }))
            }
            Ok((_, false)) | Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
