//! Effects of a change beyond its rows: events, cache invalidation, index lag.
//!
//! **Invariant:** an event is appended in the transaction of the change it reports.

use ::store::Tx;
use mesh::{Cause, Draft, Log};
use model::Fact;

use crate::cache::ProductCache;
use crate::index::IndexLag;

/// The effects of a change beyond its rows. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Effects {
    /// Receives the events.
    pub(crate) log: Log,
    /// Is invalidated.
    pub(crate) cache: ProductCache,
    /// Records that the index has to follow.
    pub(crate) lag: IndexLag,
    /// `stock.low` is appended when fewer units than this can be sold; 0: never.
    pub(crate) low_stock: i64,
}

impl Effects {
    /// Appends an event of this transaction.
    pub(crate) fn append(
        &self,
        tx: &mut Tx<'_>,
        cause: &Cause,
        key: String,
        fact: Fact,
    ) -> Result<(), store::Error> {
        // orders waits for what becomes of its stock.
        tx.sync_now();
        let reindexes = fact.product_shown_anew().is_some();
        let position = self
            .log
            .append(tx, Draft { key, fact, cause: cause.clone() })?;
        if reindexes {
            let lag = self.lag.clone();
            tx.on_visible(move || lag.written(position));
        }
        Ok(())
    }
}
