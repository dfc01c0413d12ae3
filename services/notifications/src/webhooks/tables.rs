//! Tables of webhooks and their messages, and the transactions over them.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | `webhooks` | webhook | [`Webhook`] |
//! | `webhook_messages` | (webhook, message) | [`WebhookMessage`] |
//! | `webhook_due` | (webhook, due, message) | nothing |
//! | `webhook_tallies` | webhook | number of messages kept |
//! | `webhooks_deleted` | webhook | nothing: its messages are still to be deleted |
//!
//! **Invariant:** a message has a row in `webhook_due` exactly while its `due` is set. Each
//! webhook is a partition of that queue, so a slow one delays no other.

use std::time::Duration;

use ::store::{Error as StoreError, Read, Store, Table, Tx};
use mesh::Event;
use model::Time;
use serde::Serialize;

use super::{MessageId, WEBHOOKS_MAX, Webhook, WebhookId, WebhookMessage, kinds};
use crate::domain::Topic;
use crate::error::Error;
use crate::incidents;

const WEBHOOKS: Table<WebhookId, Webhook> = Table::new("webhooks");
const MESSAGES: Table<(WebhookId, MessageId), WebhookMessage> = Table::new("webhook_messages");
pub(super) const DUE: Table<(WebhookId, Time, MessageId), ()> = Table::new("webhook_due");
const TALLIES: Table<WebhookId, u64> = Table::new("webhook_tallies");
const DELETED: Table<WebhookId, ()> = Table::new("webhooks_deleted");

/// Most messages kept per webhook: its delivery log and its backlog.
const MESSAGES_MAX: u64 = 100_000;

/// Retention of a message.
const AGE_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Most old messages dropped with a new one.
const DROPPED_MAX: usize = 4;

/// Messages deleted per transaction after their webhook.
const CHUNK_MESSAGES: usize = 500;

/// The body of a message: ids and figures only, as in the event.
#[derive(Serialize)]
struct Payload<'a> {
    r#type: &'a str,
    timestamp: Time,
    data: serde_json::Value,
}

/// Every webhook.
pub(super) fn all(
    from: &impl Read,
) -> Result<impl Iterator<Item = Result<(WebhookId, Webhook), StoreError>>, StoreError> {
    from.scan(WEBHOOKS.all())
}

/// One webhook.
pub(super) fn one(from: &impl Read, id: WebhookId) -> Result<Webhook, Error> {
    from.get(WEBHOOKS, &id)?.ok_or(Error::NoWebhook)
}

/// Adds a webhook.
pub(super) fn add(tx: &mut Tx<'_>, id: WebhookId, webhook: &Webhook) -> Result<(), Error> {
    if tx.scan(WEBHOOKS.all())?.take(WEBHOOKS_MAX).count() == WEBHOOKS_MAX {
        return Err(Error::TooManyWebhooks(WEBHOOKS_MAX));
    }
    Ok(tx.put(WEBHOOKS, &id, webhook)?)
}

/// Changes a webhook and returns it.
pub(super) fn change(
    tx: &mut Tx<'_>,
    id: WebhookId,
    change: impl FnOnce(&mut Webhook),
) -> Result<Webhook, Error> {
    let mut webhook = one(tx, id)?;
    change(&mut webhook);
    tx.put(WEBHOOKS, &id, &webhook)?;
    Ok(webhook)
}

/// Deletes a webhook; the expiry deletes its messages.
pub(super) fn delete(tx: &mut Tx<'_>, id: WebhookId) -> Result<(), Error> {
    one(tx, id)?;
    tx.delete(WEBHOOKS, &id)?;
    Ok(tx.put(DELETED, &id, &())?)
}

/// Deletes a chunk of the messages of a deleted webhook; `false` once none is left.
pub(crate) fn delete_chunk(tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    let Some((webhook, ())) = tx.scan(DELETED.all())?.next().transpose()? else {
        return Ok(false);
    };
    let chunk: Vec<_> = tx
        .scan(MESSAGES.prefix(&webhook))?
        .take(CHUNK_MESSAGES)
        .collect::<Result<_, _>>()?;
    for ((_, id), message) in &chunk {
        remove(tx, webhook, *id, message)?;
    }
    if chunk.len() < CHUNK_MESSAGES {
        incidents::succeeded(tx, &webhook.to_string())?;
        tx.delete(TALLIES, &webhook)?;
        tx.delete(DELETED, &webhook)?;
    }
    Ok(true)
}

/// Queues the message of an event for every webhook subscribed to it, due at `now`. Returns
/// whether there was one.
pub(crate) fn queue_event(tx: &mut Tx<'_>, event: &Event, now: Time) -> Result<bool, StoreError> {
    let Some(fact) = &event.fact else {
        return Ok(false);
    };
    let data = || {
        let mut data = serde_json::to_value(fact).unwrap_or_default();
        data[&event.kind].take()
    };
    queue(tx, &event.kind, event.at, data, now)
}

/// Queues a notice to staff for every webhook subscribed to its kind, due at `now`. Returns
/// whether there was one.
pub(crate) fn queue_topic(
    tx: &mut Tx<'_>,
    topic: &Topic,
    at: Time,
    now: Time,
) -> Result<bool, StoreError> {
    let data = || {
        let mut topic = serde_json::to_value(topic).unwrap_or_default();
        topic["data"].take()
    };
    queue(tx, topic.kind(), at, data, now)
}

/// Queues a message about what happened at `at`, whose data is made if somebody subscribes.
fn queue(
    tx: &mut Tx<'_>,
    kind: &str,
    at: Time,
    data: impl FnOnce() -> serde_json::Value,
    now: Time,
) -> Result<bool, StoreError> {
    let mut subscribed = Vec::new();
    for row in tx.scan(WEBHOOKS.all())? {
        let (id, webhook) = row?;
        if webhook.is_subscribed(kind, at) {
            subscribed.push(id);
        }
    }
    if subscribed.is_empty() {
        return Ok(false);
    }
    let message = message_of(kind, at, data(), now);
    for webhook in subscribed {
        insert(tx, webhook, &message, now)?;
    }
    Ok(true)
}

/// Queues a test event for a webhook, due at `now`.
///
/// # Errors
/// When there is no such webhook, or it is disabled.
pub(super) fn queue_test(
    tx: &mut Tx<'_>,
    webhook: WebhookId,
    now: Time,
) -> Result<(MessageId, WebhookMessage), Error> {
    if one(tx, webhook)?.disabled_at.is_some() {
        return Err(Error::WebhookDisabled);
    }
    let data = serde_json::json!({ "webhook_id": webhook });
    let message = message_of(kinds::TEST, now, data, now);
    Ok((insert(tx, webhook, &message, now)?, message))
}

/// The message of an event, due at `now`.
fn message_of(kind: &str, at: Time, data: serde_json::Value, now: Time) -> WebhookMessage {
    let payload = Payload { r#type: kind, timestamp: at, data };
    WebhookMessage {
        kind: kind.to_owned(),
        payload: serde_json::to_string(&payload).unwrap_or_default(),
        created_at: at,
        began_at: now,
        failed: 0,
        due: Some(now),
        attempts: Vec::new(),
    }
}

fn insert(
    tx: &mut Tx<'_>,
    webhook: WebhookId,
    message: &WebhookMessage,
    now: Time,
) -> Result<MessageId, StoreError> {
    let id = MessageId::new();
    tx.put(MESSAGES, &(webhook, id), message)?;
    tx.put(DUE, &(webhook, now, id), &())?;
    let held = tx.get(TALLIES, &webhook)?.unwrap_or(0) + 1;
    let held = held - drop_oldest(tx, webhook, held, now)?;
    tx.put(TALLIES, &webhook, &held)?;
    Ok(id)
}

fn drop_oldest(
    tx: &mut Tx<'_>,
    webhook: WebhookId,
    held: u64,
    now: Time,
) -> Result<u64, StoreError> {
    let oldest: Vec<_> = tx
        .scan(MESSAGES.prefix(&webhook))?
        .take(DROPPED_MAX)
        .collect::<Result<_, _>>()?;
    let mut dropped = 0;
    for ((_, id), message) in oldest {
        let kept = held - dropped <= MESSAGES_MAX && now.since(message.created_at) <= AGE_MAX;
        if kept {
            break;
        }
        if message.due.is_some() {
            tracing::error!(%webhook, message = %id, "an undelivered message is dropped for newer ones");
        }
        remove(tx, webhook, id, &message)?;
        dropped += 1;
    }
    Ok(dropped)
}

fn remove(
    tx: &mut Tx<'_>,
    webhook: WebhookId,
    id: MessageId,
    message: &WebhookMessage,
) -> Result<(), StoreError> {
    if let Some(due) = message.due {
        tx.delete(DUE, &(webhook, due, id))?;
    }
    tx.delete(MESSAGES, &(webhook, id))
}

/// A webhook's messages, newest first, before `before` if that is given.
pub(super) fn newest_first(
    from: &impl Read,
    webhook: WebhookId,
    before: Option<MessageId>,
) -> Result<impl Iterator<Item = Result<(MessageId, WebhookMessage), StoreError>>, StoreError> {
    let messages = MESSAGES.prefix(&webhook).newest_first();
    let span = match before {
        Some(id) => messages.before(&(webhook, id)),
        None => messages,
    };
    Ok(from
        .scan(span)?
        .map(|row| row.map(|((_, id), message)| (id, message))))
}

/// A message and its webhook, if both still exist.
pub(super) fn message(
    store: &Store,
    webhook: WebhookId,
    id: MessageId,
) -> Result<Option<(Webhook, WebhookMessage)>, StoreError> {
    let message = store.get(MESSAGES, &(webhook, id))?;
    let webhook = store.get(WEBHOOKS, &webhook)?;
    Ok(webhook.zip(message))
}

/// Changes a message together with its row in the queue, and returns it.
pub(super) fn change_message(
    tx: &mut Tx<'_>,
    webhook: WebhookId,
    id: MessageId,
    change: impl FnOnce(&mut WebhookMessage),
) -> Result<WebhookMessage, Error> {
    let mut message = tx.get(MESSAGES, &(webhook, id))?.ok_or(Error::NoWebhook)?;
    if let Some(due) = message.due {
        tx.delete(DUE, &(webhook, due, id))?;
    }
    change(&mut message);
    if let Some(due) = message.due {
        tx.put(DUE, &(webhook, due, id), &())?;
    }
    tx.put(MESSAGES, &(webhook, id), &message)?;
    Ok(message)
}
