//! What the shop sells: the catalogue, its stock, and finding things in it.
//!
//! | room | holds |
//! | --- | --- |
//! | `domain` | products, levels, reservations, and what may happen to them |
//! | `submission` | from a JSON text to a product's content, every fault named |
//! | `store` | the rows, and every change of them with its event |
//! | `shelves` | the rows behind each list and its orders |
//! | `categories` | category paths as a tree |
//! | `import` | whole catalogues in and out, streamed |
//! | `idempotency` | stock movements under an `Idempotency-Key` |
//! | `follow` | what is held for orders |
//! | `search` | the full-text index, a follower of this service's own log |
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
//! `stock.adjusted` (key: the product); `stock.reserved`, `stock.refused` (key:
//! the order). Followed: `order.placed` of orders. Trees: see `store`, `shelves`
//! and `idempotency`; beside the store the folder `index`, which may be deleted.
//!
//! **Invariant:** nothing is sold twice: a level changes only in a transaction
//! that checks it, and an order's lines are held all together or not at all.

mod categories;
mod domain;
mod error;
mod follow;
mod http;
mod idempotency;
mod import;
mod search;
mod shelves;
mod store;
mod submission;

use chassis::{Context, Service};
use futures::future::BoxFuture;

use crate::error::Error;
use crate::http::Products;
use crate::search::Search;

/// Opens the service.
pub fn open(ctx: Context) -> BoxFuture<'static, Result<Service, chassis::Error>> {
    Box::pin(async move {
        let search = Search::start(&ctx)?;
        ctx.follow("orders", follow::orders(ctx.log.clone()))
            .await?;
        let products = Products { store: ctx.store.clone(), log: ctx.log.clone(), search };
        let router = http::router(products.clone());
        let streams = http::streams(products.clone());
        let service = ctx.serve_with_streams(router, streams);
        Ok(service.with_control(http::control(products)))
    })
}
