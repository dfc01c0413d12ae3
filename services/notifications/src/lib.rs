//! Notifications: what the shop has to tell a person or another program: in an
//! inbox and live, by mail, and over webhooks.
//!
//! | endpoint | who | room |
//! | --- | --- | --- |
//! | `GET /v1/notifications` | the caller | their inbox, newest first |
//! | `POST /v1/notifications/{id}/read` | the caller | marks one read |
//! | `POST /v1/notifications/read` | the caller | marks all read |
//! | `GET /v1/notifications/stream` | the caller | new ones as they come (SSE) |
//! | `GET POST /v1/webhooks`, `GET DELETE …/{id}` | admin | who else is told |
//! | `POST /v1/webhooks/{id}/rotate`, `…/enable` | admin | a new secret; another chance |
//! | `GET /v1/webhooks/{id}/deliveries`, `POST …/{id}/redeliver` | admin | what became of it |
//!
//! **Follows** `orders`, `products` and `users`: what `follow` says of some, and
//! whatever a webhook wants. **Writes** no events. **Asks** users where people are
//! reached, and for one-time codes.
//!
//! | module | holds |
//! | --- | --- |
//! | `domain` | notifications, their kinds and order, how long they are kept |
//! | `text` | what a notification says, from files, in the reader's language |
//! | `store` | the trees `inbox`, `inbox_tallies`, `forgetting` |
//! | `follow` | what events mean, and to whom |
//! | `tell` | telling a person, or all who run the shop: inbox, mail, streams |
//! | `live` | waking open streams, and reading on without a gap |
//! | `contacts` | where people are reached: asked of users, never written here |
//! | `mail` | the queue of mail, composing it, handing it to a server |
//! | `webhooks` | other programs: signed messages, tried for a day |
//! | `courier`, `retry` | delivering what is due, and when to try again |
//! | `sweep` | dropping what is to go, a stretch at a time |
//! | `parked` | telling staff of events that could not be handled here |
//! | `http` | the endpoints of inboxes |
//! | `error` | every refusal |
//!
//! **Invariant:** an event is told exactly once: its notification, mail and
//! messages are written in the transaction that moves the cursor over it. What
//! leaves the house goes at least once, with an id that is always the same.

mod contacts;
mod courier;
mod dead_letters;
mod domain;
mod error;
mod follow;
mod http;
mod live;
mod mail;
mod retry;
mod store;
mod sweep;
mod tell;
mod text;
mod webhooks;

use std::sync::Arc;

use chassis::{Context, Service};
use futures::future::BoxFuture;
use tokio::sync::Notify;

/// Opens the service. Matches [`chassis::Open`].
pub fn open(ctx: Context) -> BoxFuture<'static, Result<Service, chassis::Error>> {
    Box::pin(async move {
        let settings = &ctx.config.notifications;
        let texts = text::Texts::open(ctx.folder.templates(), settings);
        let contacts = contacts::Contacts::new(ctx.mesh.clone());
        let teller = tell::Teller {
            keep: domain::Retention::new(settings),
            bells: live::Bells::default(),
            outbox: mail::Outbox::new(ctx.config.mail.clone()),
        };
        let (messages, sweeps) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        mail::start(&ctx, contacts.clone(), texts.clone(), teller.clone())?;
        webhooks::start(&ctx, teller.clone(), messages.clone());
        sweep::start(&ctx, sweeps.clone());

        let handler = follow::Handler {
            teller: teller.clone(),
            contacts: contacts.clone(),
            messages: messages.clone(),
            sweeps,
        };
        let mut followings = Vec::new();
        for source in follow::SOURCES {
            let handler = handler.clone();
            let following = ctx.follow(source, move |tx, event| handler.handle(tx, event));
            followings.push(following.await?);
        }
        dead_letters::start(&ctx, teller.clone(), followings);

        let tell::Teller { keep, bells, .. } = teller;
        let inboxes = http::endpoints(&ctx, keep, bells, texts, contacts);
        let endpoints = inboxes.merge(webhooks::http::endpoints(&ctx, messages));
        Ok(ctx.serve(endpoints))
    })
}
