//! What the shop sells: the catalogue, its stock, and finding things in it.
//!
//! | module | holds |
//! | --- | --- |
//! | `domain` | products, levels, reservations, and what may happen to them |
//! | `submission` | from a JSON text to a product's content, every fault named |
//! | `store` | the rows, and every change of them with its event |
//! | `stock` | levels, movements and reservations, likewise |
//! | `shown`, `cache` | products as they are sent, made once |
//! | `shelves` | the rows behind each list and its orders |
//! | `categories` | category paths as a tree |
//! | `import`, `export` | whole catalogues in and out, streamed |
//! | `check` | what the operator can have compared |
//! | `follow` | what is held for orders |
//! | `index` | the full-text index, which follows this service's own log |
//! | `http` | routes, wire types, handlers |
//! | `error` | why it says no |
//!
//! Endpoints: `GET`, `POST /v1/products`; `GET`, `PUT`, `PATCH`, `DELETE
//! /v1/products/{id}`; `GET /v1/products/by-sku/{sku}`; `GET`, `POST
//! /v1/products/{id}/stock`; `POST /v1/products/import`; `GET
//! /v1/products/export`; `GET /v1/products/search`; `GET /v1/products/suggest`;
//! `GET /v1/categories`; for the operator `POST /control/import`.
//!
//! Events written: `product.created`, `product.updated`, `product.deleted`,
//! `stock.adjusted`, `stock.low` (key: the product); `stock.reserved`,
//! `stock.refused`, `stock.released` (key: the order). Followed: `order.placed`,
//! `order.cancelled`, `order.shipped` and `order.refunded` of orders. Trees: see
//! `store`, `stock` and `shelves`; beside the store the folder `index`, which may be deleted.
//!
//! **Invariant:** nothing is sold twice: a level changes only in a transaction
//! that checks it, and an order's lines are held all together or not at all.

mod cache;
mod categories;
mod check;
mod domain;
mod error;
mod export;
mod follow;
mod http;
mod import;
mod index;
mod shelves;
mod shown;
mod stock;
mod store;
mod submission;

use chassis::{Context, OpenedService};
use futures::future::BoxFuture;

use crate::cache::Cache;
use crate::error::Error;
use crate::http::Products;
use crate::index::CatalogueIndex;
use crate::store::Effects;

/// Opens the service.
pub fn open(ctx: Context) -> BoxFuture<'static, Result<OpenedService, chassis::Error>> {
    Box::pin(async move {
        let settings = &ctx.config.products;
        let cache = Cache::new(settings.cache_mib * 1024 * 1024);
        let kept = cache.clone();
        ctx.status.report("cache", move || kept.figure());
        let index = CatalogueIndex::start(&ctx)?;
        check::add(&ctx, &index);
        let effects = Effects {
            log: ctx.log.clone(),
            cache,
            lag: index.lag().clone(),
            low_stock: settings.low_stock,
        };
        let (orders, given_up) = (
            follow::orders(effects.clone()),
            follow::given_up(effects.clone()),
        );
        ctx.follow_or("orders", orders, given_up).await?;
        let products = Products {
            store: ctx.store.clone(),
            effects,
            index,
            import_currency: settings.import_currency,
        };
        let service = ctx.serve(http::endpoints(products.clone()));
        Ok(service.with_control(http::control(products)))
    })
}
