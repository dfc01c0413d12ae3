//! Orders: what was bought, by whom, at which price, and how it went.
//!
//! **Owns** orders with their lines and history, the answers given under an
//! `Idempotency-Key`, and its own projection of what products sells, so that it
//! never has to call anyone.
//!
//! **Endpoints:** `POST /v1/orders`, `GET /v1/orders`, `GET /v1/orders/{id}`,
//! `GET /v1/orders/{id}/history`.
//!
//! **Writes** `order.placed`, `order.confirmed`, `order.rejected`. **Follows**
//! products: listings, and `stock.reserved` or `stock.refused` for each order.
//!
//! An order is placed by choreography: one transaction holds the pending order,
//! `order.placed` and the key it was sent under; products answers with an event;
//! one transaction settles the order and stores the answer. The request only
//! waits for that.
//!
//! | room | holds |
//! | --- | --- |
//! | `domain` | the state machine, prices, limits |
//! | `store` | the tables and what is done to them |
//! | `idempotency` | answers under a key: first written wins, replayed byte for byte |
//! | `answer` | the answer to placing an order, as bytes |
//! | `waiters` | requests that wait for their order to be settled |
//! | `http`, `follow`, `error` | as in every service |

mod answer;
mod domain;
mod error;
mod follow;
mod http;
mod idempotency;
mod store;
mod waiters;

pub use error::Error;

use std::sync::Arc;

use chassis::{Context, Service};
use futures::future::BoxFuture;

/// Opens the service.
pub fn open(ctx: Context) -> BoxFuture<'static, Result<Service, chassis::Error>> {
    Box::pin(async move {
        let waiters = Arc::new(waiters::Waiters::default());
        let products = ctx
            .follow(
                "products",
                follow::products(ctx.log.clone(), waiters.clone()),
            )
            .await?;
        let orders = http::Orders {
            store: ctx.store.clone(),
            log: ctx.log.clone(),
            waiters,
            products,
        };
        Ok(ctx.serve(http::router(orders)))
    })
}
