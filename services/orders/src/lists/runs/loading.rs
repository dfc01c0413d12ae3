//! Loading: the tail, and at the first start all runs, are made from the orders.

use std::time::Duration;

use chassis::{Backfill, Context, Problem};
use store::{Key, Read, Record, Store, Tx};

use super::{Loaded, SortedRuns, end};
use crate::tables::{self, ORDERS};

/// Orders that are loaded in one transaction, which keeps a request waiting for a millisecond.
const LOADED_AT_ONCE: usize = 200;

/// The wait after a transaction that failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

impl SortedRuns {
    /// Indexes the orders that are in no run: a few at once, all others beside requests. The
    /// service is not ready until that is done. `cleared` is the backfill that deletes the runs
    /// when they are to be made anew.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub(crate) async fn start<K: Key + Send + 'static, V: Record + 'static>(
        &self,
        ctx: &Context,
        cleared: &Backfill<K, V>,
    ) -> Result<(), store::Error> {
        if cleared.is_done() && self.load(&ctx.store).await? {
            return Ok(());
        }
        let condition = self.clone();
        ctx.health.add(move || condition.missing());
        let (runs, store, cleared) = (self.clone(), ctx.store.clone(), cleared.clone());
        let load = async move {
            cleared.done().await;
            runs.load_all(&store).await;
        };
        ctx.tasks
            .spawn(ctx.stop.clone().run_until_cancelled_owned(load));
        Ok(())
    }

    async fn load_all(&self, store: &Store) {
        tracing::info!("indexing the orders by total, product and number");
        loop {
            match self.load(store).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, "indexing the orders failed; retrying");
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            }
        }
        tracing::info!("the orders are indexed by total, product and number");
    }

    /// Loads some orders. Returns whether all are indexed.
    pub(super) async fn load(&self, store: &Store) -> Result<bool, store::Error> {
        let runs = self.clone();
        store.write_when_free(move |tx| runs.load_some(tx)).await
    }

    fn load_some(&self, tx: &mut Tx<'_>) -> Result<bool, store::Error> {
        let loaded = self.tail().loaded;
        let after = match loaded {
            Loaded::All => return Ok(true),
            Loaded::UpTo(last) => Some(last),
            Loaded::None => end(tx)?,
        };
        let rest = match after {
            Some(last) => ORDERS.all().after(&last),
            None => ORDERS.all(),
        };
        let batch = tx.scan(rest)?.take(LOADED_AT_ONCE);
        let batch: Vec<_> = batch.collect::<Result<_, _>>()?;
        let count = batch.len();
        for (id, row) in batch {
            let order = tables::with_lines(tx, row)?.order;
            let mut tail = self.tail();
            tail.push(&order);
            tail.loaded = Loaded::UpTo(id);
        }
        if count < LOADED_AT_ONCE {
            self.tail().loaded = Loaded::All;
        }
        while self.is_full() && self.write_run(tx)? {}
        Ok(count < LOADED_AT_ONCE)
    }

    /// What is not indexed yet, for `/readyz` and for requests that need it.
    fn missing(&self) -> Option<String> {
        let is_loaded = self.is_loaded();
        (!is_loaded).then(|| "building the index of orders by total, product and number".to_owned())
    }

    pub(crate) fn is_loaded(&self) -> bool {
        self.tail().loaded == Loaded::All
    }

    /// Refuses a request that needs all orders to be indexed.
    ///
    /// # Errors
    /// 503 while they are not.
    pub(crate) fn require(&self) -> Result<(), Problem> {
        match self.missing() {
            None => Ok(()),
            Some(missing) => Err(chassis::not_built_yet(&missing)),
        }
    }
}
