//! Orders: what was bought, by whom, at which price, and how it went.
//!
//! **Owns** orders with their lines and history, what the payment provider told, and
//! its own projection of what products sells, so that it never has to call anyone.
//!
//! **Endpoints:** `POST /v1/orders`, `GET /v1/orders`, `GET /v1/orders/{id}`,
//! `GET /v1/orders/{id}/history`, `POST /v1/orders/{id}/cancel`, `…/pay`, `…/ship`,
//! `…/deliver`, `…/refund`, and `POST /v1/payments/webhook`.
//!
//! **Writes** `order.placed`, `order.confirmed`, `order.rejected`, `order.paid`,
//! `order.shipped`, `order.delivered`, `order.cancelled`, `order.refunded` and
//! `payment.unmatched`. **Follows** products: listings, and `stock.reserved`,
//! `stock.refused` or `stock.released` for each order; and users: `user.erased`.
//!
//! An order is placed by choreography: one transaction holds the pending order,
//! `order.placed` and the key it was sent under; products answers with an event;
//! one transaction settles the order. The request only waits for that.
//!
//! | module | holds |
//! | --- | --- |
//! | `domain` | the state machine, prices, limits |
//! | `store` | the tables and what is done to them |
//! | `lists` | which orders a list shows |
//! | `payments`, `signature` | what the payment provider told, and whether it was he |
//! | `answer` | the answer to placing an order, told from the order |
//! | `waiters` | requests that wait for word of their order |
//! | `sweep` | what falls due: unpaid orders, people to be forgotten |
//! | `http`, `follow`, `error` | as in every service |

mod answer;
mod domain;
mod error;
mod follow;
mod http;
mod lists;
mod payments;
mod signature;
mod store;
mod sweep;
mod waiters;

pub use error::Error;

use std::sync::Arc;

use chassis::{Context, Service, cache_tags};
use futures::future::BoxFuture;

/// Opens the service.
pub fn open(ctx: Context) -> BoxFuture<'static, Result<Service, chassis::Error>> {
    Box::pin(async move {
        let secrets = signature::Secrets::new(ctx.config.payments.all_secrets()?);
        let (settling, releasing) = (waiters::Waiters::default(), waiters::Waiters::default());
        let word_of_products = follow::products(follow::Settling {
            log: ctx.log.clone(),
            settling: settling.clone(),
            releasing: releasing.clone(),
            unpaid_expire: ctx.config.orders.unpaid_expire(),
        });
        let products = ctx.follow("products", word_of_products).await?;
        ctx.follow("users", follow::users).await?;
        let sweep = sweep::run(ctx.store.clone(), ctx.log.clone());
        ctx.tasks
            .spawn(ctx.stop.clone().run_until_cancelled_owned(sweep));
        let orders = http::Orders {
            store: ctx.store.clone(),
            log: ctx.log.clone(),
            settling,
            releasing,
            products: products.clone(),
            secrets: Arc::new(secrets),
        };
        // Whoever ordered the last piece finds none left, whatever the gateway kept.
        Ok(ctx.serve(cache_tags::with_applied(http::router(orders), products)))
    })
}
