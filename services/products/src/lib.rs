//! The catalogue service: products, stock, lists and full-text search.
//!
//! | module | holds |
//! | --- | --- |
//! | `domain` | products, stock levels, reservations, and their rules |
//! | `wire` | request and response bodies |
//! | `tables` | the tables |
//! | `effects` | events, cache invalidation and index lag of a change |
//! | `catalogue`, `stock` | the use cases: changes of products and of their stock |
//! | `submission` | parsing and validation of a product's JSON |
//! | `cache` | the read-through cache of responses |
//! | `indexes` | secondary indexes: the rows behind each list and its orders |
//! | `title_order` | their order by title, built for what an earlier version stored |
//! | `index` | the full-text index, which follows this service's own log |
//! | `categories` | the category tree |
//! | `import`, `export` | whole catalogues in and out, streamed |
//! | `check` | the consistency check |
//! | `follow` | the follower of orders |
//! | `state` | the present state, for new followers |
//! | `http` | handlers |
//! | `error` | the error, and its problem documents |
//!
//! Events written: `product.created`, `product.updated`, `product.deleted`,
//! `stock.adjusted`, `stock.low` (key: the product); `event.parked`; `stock.reserved`,
//! `stock.refused`, `stock.released` (key: the order). Followed: `order.placed`,
//! `order.cancelled`, `order.shipped`, `order.refunded`, `order.lost` and `order.restored` of
//! orders. Beside the store
//! lies the folder `index`, which may be deleted.
//!
//! **Invariant:** no unit is sold twice: a level changes only in a transaction that checks
//! it, and an order's lines are reserved all together or not at all.

mod cache;
mod catalogue;
mod categories;
mod check;
pub mod config;
mod domain;
mod effects;
mod error;
mod export;
mod follow;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod import;
mod index;
mod indexes;
mod state;
mod stock;
mod submission;
mod tables;
mod title_order;
mod wire;

pub use config::Config;

use std::sync::Arc;

use chassis::{Context, Opening};
use mesh::Follower;

use crate::cache::ProductCache;
use crate::effects::Effects;
use crate::error::Error;
use crate::http::CatalogueState;
use crate::index::CatalogueIndex;

/// Opens the service.
pub fn open(ctx: Context, config: Config) -> Opening {
    Box::pin(async move {
        let cache = ProductCache::new(config.cache_mib * 1024 * 1024);
        let kept = cache.clone();
        ctx.status.report("cache", move || kept.figure());
        let built = title_order::build(&ctx.store).await;
        built.map_err(|error| chassis::Error::Service(error.to_string()))?;
        let index = CatalogueIndex::start(&ctx)?;
        check::add(&ctx, &index);
        let effects = Effects {
            log: ctx.log.clone(),
            cache,
            lag: index.lag().clone(),
            low_stock: config.low_stock,
        };
        let (orders, skipped) = (
            follow::orders(effects.clone()),
            follow::skipped(effects.clone()),
        );
        let follower = Follower {
            instead: Arc::new(skipped),
            // Reservations are no copy of what orders has.
            state: None,
            ..ctx.follower("orders", orders)
        };
        let orders = ctx.start(follower).await?;
        chassis::dead_letters::publish(&ctx, vec![orders]);
        let store = ctx.store.clone();
        ctx.log
            .set_state(move |_, place| state::page(&store, place));
        let catalogue = CatalogueState {
            store: ctx.store.clone(),
            effects,
            index,
            import_currency: config.import_currency,
        };
        let service = ctx.serve(http::endpoints(catalogue.clone()));
        Ok(service.with_control(http::control(catalogue)))
    })
}
