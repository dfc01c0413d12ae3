//! Finding things: a full-text index beside the store.
//!
//! | room | holds |
//! | --- | --- |
//! | `schema` | the fields, the words, a product as a document |
//! | `indexer` | the thread that keeps the index level with the log |
//! | `query` | from what was typed to a query |
//! | `vocabulary` | corrections and completions |
//! | `facets` | filters and counts |
//! | `highlight` | matches, marked |
//!
//! **Invariants:** the index decides only which products are found and in what
//! order; what is shown is read from the store. It is disposable: deleted or
//! damaged, it is made anew at the next start. A search runs on a blocking
//! thread, and only a few at once, so that it starves nobody.

mod facets;
mod highlight;
mod indexer;
mod query;
mod schema;
mod vocabulary;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use ::store::Store;
use chassis::Context;
use tantivy::collector::{Count, TopDocs};
use tantivy::query::{AllQuery, BooleanQuery, Occur, Query};
use tantivy::schema::Value;
use tantivy::{DocAddress, IndexReader, Order, Score, Searcher, TantivyDocument};
use tokio::sync::Semaphore;

use self::indexer::Indexer;
use self::query::{Doubt, Plan};
use self::schema::{SCHEMA, column, plain, words_of};
use self::vocabulary::Doubted;
use crate::Error;
use crate::domain::{Level, Product, ProductId};
use crate::store;

pub(crate) use self::facets::{Facet, FacetValue, Filters};

/// Searches that run at once; each is short, and more would only share two cores.
const SEARCHES_AT_ONCE: usize = 4;
/// Suggestions given.
const SUGGESTIONS_MAX: usize = 10;
/// Words tried for a suggestion.
const SUGGESTIONS_TRIED: usize = 40;

/// In which order products are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    #[default]
    Relevance,
    Cheapest,
    Dearest,
    Oldest,
    Newest,
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
    pub(crate) product: Product,
    pub(crate) level: Level,
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
    reader: Reader,
    running: Arc<Semaphore>,
}

impl Search {
    /// Opens the index and starts the thread that keeps it level with the log;
    /// the service is ready once it is.
    ///
    /// # Errors
    /// When there is no index and none can be made.
    pub(crate) fn start(ctx: &Context) -> Result<Self, chassis::Error> {
        let dir = ctx.room.join("index");
        let failed = |error: Error| chassis::Error::Service(error.to_string());
        // It reads, and may delete, whole files: other services start meanwhile.
        let opened = tokio::task::block_in_place(|| indexer::open(&dir, &ctx.log));
        let opened = opened.map_err(failed)?;
        let reader = indexer::reader(&opened.0).map_err(failed)?;
        let reader = Reader(Arc::new(RwLock::new(reader)));
        let caught_up = Arc::new(AtomicBool::new(false));
        let stop = ctx.stop.child_token();
        let indexer = Indexer {
            store: ctx.store.clone(),
            log: ctx.log.clone(),
            dir,
            reader: reader.clone(),
            caught_up: caught_up.clone(),
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
            reader,
            running: Arc::new(Semaphore::new(SEARCHES_AT_ONCE)),
        })
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
        self.blocking(move |search| search.suggest_now(&text)).await
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
        let mut plan = query::plan(&searcher, &wanted.text, Doubt::UnknownWords)?;
        let mut total = count(&searcher, &plan, &wanted.filters)?;
        for doubt in [Doubt::EveryWord, Doubt::AnyWord] {
            if total > 0 || plan.query.is_none() {
                break;
            }
            plan = query::plan(&searcher, &wanted.text, doubt)?;
            total = count(&searcher, &plan, &wanted.filters)?;
        }
        let query = within(&plan, &wanted.filters, None);
        let mut hits = Vec::new();
        for (score, address) in top(&searcher, &query, &plan, wanted)? {
            hits.extend(self.hit(&searcher, address, score, &plan)?);
        }
        let mut facets = BTreeMap::new();
        for (name, facet) in &wanted.facets {
            let query = within(&plan, &wanted.filters, Some(facet));
            let values = facets::count(&searcher, &query, facet)?;
            facets.insert(name.clone(), values);
        }
        let corrected = plan.corrected.filter(|_| total > 0);
        Ok(Found { total, hits, facets, corrected })
    }

    /// The product behind a match; `None` when it is gone since.
    fn hit(
        &self,
        searcher: &Searcher,
        address: DocAddress,
        score: Score,
        plan: &Plan,
    ) -> Result<Option<Hit>, Error> {
        let document: TantivyDocument = searcher.doc(address)?;
        let id: Option<ProductId> = document
            .get_first(SCHEMA.1.id)
            .and_then(|value| value.as_str())
            .and_then(|text| text.parse().ok());
        let Some(id) = id else { return Ok(None) };
        match store::product(&self.store, id) {
            Ok((product, level)) if product.is_published() => {
                let highlights = highlight::highlights(&product.content, &plan.marks);
                Ok(Some(Hit { product, level, score, highlights }))
            }
            Ok(_) | Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn suggest_now(&self, text: &str) -> Result<Vec<String>, Error> {
        let searcher = self.reader.searcher();
        let (before, typed) = text.rsplit_once(char::is_whitespace).unwrap_or(("", text));
        let words = words_of(&mut plain(), typed);
        let [word] = words.as_slice() else {
            return Ok(Vec::new());
        };
        let field = SCHEMA.1.title_exact;
        let mut ends = vocabulary::completions(&searcher, field, word, SUGGESTIONS_TRIED)?;
        for as_prefix in [false, true] {
            if ends.is_empty() {
                let doubted = Doubted { word, as_prefix, documents_min: 0 };
                ends = vocabulary::corrections(&searcher, field, &doubted, SUGGESTIONS_TRIED)?;
            }
        }
        let mut ranked = Vec::new();
        for end in ends {
            let suggestion = format!("{before} {end}").trim_start().to_owned();
            // The space makes the last word a finished one.
            let plan = query::plan(&searcher, &format!("{suggestion} "), Doubt::UnknownWords)?;
            let found = count(&searcher, &plan, &Filters::default())?;
            if found > 0 {
                ranked.push((found, suggestion));
            }
        }
        ranked.sort_by_key(|(found, _)| std::cmp::Reverse(*found));
        ranked.truncate(SUGGESTIONS_MAX);
        Ok(ranked
            .into_iter()
            .map(|(_, suggestion)| suggestion)
            .collect())
    }
}

/// What was typed, within the filters but a facet's own.
fn within(plan: &Plan, filters: &Filters, without: Option<&Facet>) -> BooleanQuery {
    let mut clauses = filters.clauses(without);
    let text: Box<dyn Query> = match &plan.query {
        Some(query) => query.box_clone(),
        None => Box::new(AllQuery),
    };
    clauses.push((Occur::Must, text));
    BooleanQuery::new(clauses)
}

fn count(searcher: &Searcher, plan: &Plan, filters: &Filters) -> Result<usize, Error> {
    Ok(searcher.search(&within(plan, filters, None), &Count)?)
}

/// The wanted page of matches; a score is only worked out where it orders them.
fn top(
    searcher: &Searcher,
    query: &dyn Query,
    plan: &Plan,
    wanted: &Wanted,
) -> Result<Vec<(Score, DocAddress)>, Error> {
    let page = TopDocs::with_limit(wanted.limit).and_offset(wanted.offset);
    let by_column = |page: TopDocs, column, order| {
        let collector = page.order_by_fast_field::<i64>(column, order);
        let rows = searcher.search(query, &collector)?;
        Ok(rows
            .into_iter()
            .map(|(_, address)| (0.0, address))
            .collect())
    };
    match wanted.sort {
        Sort::Relevance if plan.query.is_some() => {
            Ok(searcher.search(query, &page.order_by_score())?)
        }
        Sort::Relevance | Sort::Newest => by_column(page, column::CREATED, Order::Desc),
        Sort::Oldest => by_column(page, column::CREATED, Order::Asc),
        Sort::Cheapest => by_column(page, column::PRICE, Order::Asc),
        Sort::Dearest => by_column(page, column::PRICE, Order::Desc),
    }
}
