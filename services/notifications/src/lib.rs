//! Notifications: inboxes with live streams, mail and webhooks, driven by the events of other
//! services.
//!
//! **Follows** `orders`, `products` and `users`: the kinds that `follow` names, and every kind
//! a webhook subscribes to. **Publishes** no events. **Queries** users for contacts, one-time
//! codes, and tokens that undo a change of address; orders for what was ordered.
//!
//! | module | holds |
//! | --- | --- |
//! | `domain` | notifications: topics, order, retention |
//! | `text` | templates and rendering, in the reader's language |
//! | `tables` | the tables `inbox` and `inbox_tallies` |
//! | `follow` | the event handler |
//! | `notify` | notifying a user or all staff: inbox, mail, streams |
//! | `live` | wake-ups and feeds of open streams |
//! | `preferences` | by which channels a person is notified of each kind |
//! | `queries` | queries of contacts, through a cache, and of orders |
//! | `preview` | a mail with sample data, for the operator |
//! | `tickets` | tickets, with which browsers open streams |
//! | `mail` | outbound mail: a kind of delivery of `chassis::delivery` |
//! | `webhooks` | signed webhook messages: a kind of delivery |
//! | `windows`, `inbox_digest` | many notifications of a kind at once, which become one |
//! | `incidents` | faults that last, of which staff are notified once |
//! | `expiry` | deletion of erased inboxes and deleted webhooks, in chunks |
//! | `backups` | notifying staff of backups that fail or are overdue |
//! | `http` | the endpoints of inboxes |
//! | `wire` | request and response bodies |
//! | `error` | every refusal, and the problem it becomes |
//!
//! **Invariant:** an event takes effect exactly once: its notification, mail and webhook
//! messages are written in the transaction that moves the cursor over it. Outbound deliveries
//! are at least once, with an id that stays the same.

mod backups;
pub mod config;
mod domain;
mod error;
mod expiry;
mod follow;
mod http;
mod inbox_digest;
mod incidents;
mod live;
mod mail;
mod notify;
mod preferences;
mod preview;
mod queries;
mod tables;
mod text;
mod tickets;
mod webhooks;
mod windows;
mod wire;

pub use config::Config;
pub use preview::{mail_kinds, preview_mails};
pub use text::MailText;

use config::{MailConfig, WebhooksConfig};
use domain::Topic;

use std::sync::Arc;

use chassis::{Context, Folder, Opening, dead_letters};
use mesh::Follower;
use tokio::sync::Notify;

/// The faults of what the settings lead to: the mail server's password and certificate, the
/// authority of webhooks, and the owner's templates. Each with the setting that it is about,
/// empty for none.
pub fn faults_of_files(
    folder: &Folder,
    mail: &MailConfig,
    webhooks: &WebhooksConfig,
) -> Vec<(&'static str, String)> {
    let mail = mail::check(mail).err();
    let mail = mail.map(|error| ("mail.server", error.to_string()));
    let templates = text::template_faults(&folder.templates());
    let templates = templates.into_iter().map(|fault| ("", fault));
    let authority = webhooks::check(webhooks).err();
    let authority = authority.map(|error| ("webhooks.authority", error.to_string()));
    mail.into_iter().chain(authority).chain(templates).collect()
}

/// Connects to the mail server as for a mail, logs in if the shop does, and sends none.
///
/// # Errors
/// Why no mail could be sent.
pub async fn probe_mail_server(mail: &MailConfig) -> Result<(), String> {
    mail::probe(mail).await
}

/// Opens the service.
pub fn open(ctx: Context, config: Config) -> Opening {
    Box::pin(async move {
        if ctx.folder.is_quiet_copy() {
            tracing::warn!(
                "no mail and no webhook is delivered until the file {} is removed",
                ctx.folder.path().join(chassis::folder::QUIET).display()
            );
        }
        let settings = &config.notifications;
        let texts = text::Texts::open(ctx.folder.templates(), settings, config.public_url);
        let queries = queries::Queries::new(ctx.mesh.clone());
        let (webhooks, expiry) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let notifier = notify::Notifier {
            keep: domain::Retention::new(settings),
            wake_ups: live::WakeUps::default(),
            outbox: mail::Outbox::new(config.mail),
            webhooks: webhooks.clone(),
        };
        mail::start(&ctx, queries.clone(), texts.clone(), notifier.clone())?;
        webhooks::start(
            &ctx,
            config.webhooks.clone(),
            notifier.clone(),
            webhooks.clone(),
        )?;
        expiry::start(&ctx, expiry.clone());

        let handler = follow::NotificationHandler {
            notifier: notifier.clone(),
            queries: queries.clone(),
            expiry,
        };
        let mut followings = Vec::new();
        for source in follow::SOURCES {
            let handler = handler.clone();
            let follower = Follower {
                state: Some(Arc::new(follow::take_state)),
                ..ctx.follower(source, move |tx, event| handler.handle(tx, event))
            };
            followings.push(ctx.start(follower).await?);
        }
        let of_its_own = notifier.clone();
        dead_letters::watch(&ctx, followings, move |tx, new| {
            let topic = Topic::parked_here(new);
            of_its_own.notify_staff(tx, &topic, new.at)?;
            // Other services publish an event of theirs; this one has no log.
            of_its_own.notify_webhooks(tx, &topic, new.at)
        });
        backups::start(&ctx, notifier.clone());

        let notify::Notifier { keep, wake_ups, outbox, .. } = notifier;
        let inboxes = http::endpoints(&ctx, keep, wake_ups, texts, queries);
        let endpoints = inboxes
            .merge(mail::given_up::endpoints(&ctx, outbox))
            .merge(webhooks::http::endpoints(&ctx, config.webhooks, webhooks));
        Ok(ctx.serve(endpoints))
    })
}
