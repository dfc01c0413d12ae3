//! Notifications: what the shop has to tell a person, in their inbox and live.
//!
//! | endpoint | who | room |
//! | --- | --- | --- |
//! | `GET /v1/notifications` | the caller | their inbox, newest first |
//! | `POST /v1/notifications/{id}/read` | the caller | marks one read |
//! | `POST /v1/notifications/read` | the caller | marks all read |
//! | `GET /v1/notifications/stream` | the caller | new ones as they come (SSE) |
//!
//! **Follows** `orders` (`order.confirmed`, `order.rejected`) and `users`
//! (`user.registered`). **Writes** no events.
//!
//! | room | holds |
//! | --- | --- |
//! | `domain` | notifications, their order, how long they are kept |
//! | `text` | what a notification says, kind by kind |
//! | `store` | the trees `inbox` and `inbox_tallies` |
//! | `follow` | which events are told to whom |
//! | `live` | waking open streams, and reading on without a gap |
//! | `http` | the endpoints |
//! | `error` | every refusal |
//!
//! **Invariant:** an event is told exactly once: its notification is written in
//! the transaction that moves the cursor over it.

mod domain;
mod error;
mod follow;
mod http;
mod live;
mod store;
mod text;

use chassis::{Context, Service};
use futures::future::BoxFuture;

/// Opens the service. Matches [`chassis::Open`].
pub fn open(ctx: Context) -> BoxFuture<'static, Result<Service, chassis::Error>> {
    Box::pin(async move {
        let bells = live::Bells::default();
        for source in follow::SOURCES {
            ctx.follow(source, follow::handler(bells.clone())).await?;
        }
        let router = http::router(&ctx, bells);
        Ok(ctx.serve(router))
    })
}
