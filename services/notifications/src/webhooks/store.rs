//! Webhooks and their messages as they are kept.
//!
//! | tree | key | value |
//! | --- | --- | --- |
//! | `webhooks` | webhook | [`Webhook`] |
//! | `webhook_messages` | (webhook, message) | [`Message`] |
//! | `webhook_due` | (webhook, due, message) | nothing |
//! | `webhook_tallies` | webhook | how many messages are kept |
//! | `webhooks_deleted` | webhook | nothing: its messages are still to go |
//!
//! **Invariant:** a message has a row among those due exactly while its `due` says
//! so. Each webhook has its own, so that a slow one holds up nobody else.

use std::collections::HashSet;
use std::time::Duration;

use ::store::{Error as StoreError, Read, Store, Table, Tx};
use mesh::Event;
use model::Time;
use serde::Serialize;

use super::{Message, MessageId, WEBHOOKS_MAX, Webhook, WebhookId};
use crate::courier::Due;
use crate::error::Error;

const WEBHOOKS: Table<WebhookId, Webhook> = Table::new("webhooks");
const MESSAGES: Table<(WebhookId, MessageId), Message> = Table::new("webhook_messages");
const DUE: Table<Place, ()> = Table::new("webhook_due");
const TALLIES: Table<WebhookId, u64> = Table::new("webhook_tallies");
const DELETED: Table<WebhookId, ()> = Table::new("webhooks_deleted");

/// A message to be tried, and when.
pub(super) type Place = (WebhookId, Time, MessageId);

/// How many messages of a webhook are kept: the log of the last ones, and what
/// waits while nobody answers.
const MESSAGES_MAX: u64 = 100_000;

/// For how long.
const AGE_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How many old messages one new one may push out.
const DROPPED_MAX: usize = 4;

/// How many messages one transaction drops of a webhook that was deleted.
const STRETCH_MESSAGES: usize = 500;

/// How many messages of one webhook are under way at once.
const AT_ONCE_EACH_MAX: usize = 4;

/// How many messages are under way at once: every webhook has its share.
pub(super) const AT_ONCE_MAX: usize = AT_ONCE_EACH_MAX * WEBHOOKS_MAX;

/// What is sent: ids and figures only, as in the event.
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

/// Keeps a new webhook.
pub(super) fn add(tx: &mut Tx<'_>, id: WebhookId, webhook: &Webhook) -> Result<(), Error> {
    if tx.scan(WEBHOOKS.all())?.take(WEBHOOKS_MAX).count() == WEBHOOKS_MAX {
        return Err(Error::Webhooks(WEBHOOKS_MAX));
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

/// Deletes a webhook; its messages go soon.
pub(super) fn delete(tx: &mut Tx<'_>, id: WebhookId) -> Result<(), Error> {
    one(tx, id)?;
    tx.delete(WEBHOOKS, &id)?;
    Ok(tx.put(DELETED, &id, &())?)
}

/// Drops a stretch of the messages of a deleted webhook; `false` once nothing is
/// left of any.
pub(crate) fn delete_stretch(tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    let Some((webhook, ())) = tx.scan(DELETED.all())?.next().transpose()? else {
        return Ok(false);
    };
    let stretch: Vec<_> = tx
        .scan(MESSAGES.prefix(&webhook))?
        .take(STRETCH_MESSAGES)
        .collect::<Result<_, _>>()?;
    for ((_, id), message) in &stretch {
        remove(tx, webhook, *id, message)?;
    }
    if stretch.len() < STRETCH_MESSAGES {
        tx.delete(TALLIES, &webhook)?;
        tx.delete(DELETED, &webhook)?;
    }
    Ok(true)
}

/// Writes a message for every webhook that wants this event, due at `now`, and
/// says whether there was one.
pub(crate) fn send(tx: &mut Tx<'_>, event: &Event, now: Time) -> Result<bool, StoreError> {
    let Some(fact) = &event.fact else {
        return Ok(false);
    };
    let mut wanting = Vec::new();
    for row in tx.scan(WEBHOOKS.all())? {
        let (id, webhook) = row?;
        if webhook.wants(&event.kind, event.at) {
            wanting.push(id);
        }
    }
    if wanting.is_empty() {
        return Ok(false);
    }
    let mut data = serde_json::to_value(fact).unwrap_or_default();
    let (r#type, timestamp) = (event.kind.as_str(), event.at);
    let payload = Payload { r#type, timestamp, data: data[r#type].take() };
    let message = Message {
        kind: event.kind.clone(),
        payload: serde_json::to_string(&payload).unwrap_or_default(),
        created_at: event.at,
        began_at: now,
        failed: 0,
        due: Some(now),
        attempts: Vec::new(),
    };
    for webhook in wanting {
        let id = MessageId::new();
        tx.put(MESSAGES, &(webhook, id), &message)?;
        tx.put(DUE, &(webhook, now, id), &())?;
        let held = tx.get(TALLIES, &webhook)?.unwrap_or(0) + 1;
        let held = held - drop_oldest(tx, webhook, held, now)?;
        tx.put(TALLIES, &webhook, &held)?;
    }
    Ok(true)
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
            tracing::error!(%webhook, message = %id, "a message that never arrived makes room for new ones");
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
    message: &Message,
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
) -> Result<impl Iterator<Item = Result<(MessageId, Message), StoreError>>, StoreError> {
    let messages = MESSAGES.prefix(&webhook).newest_first();
    let span = match before {
        Some(id) => messages.before(&(webhook, id)),
        None => messages,
    };
    Ok(from
        .scan(span)?
        .map(|row| row.map(|((_, id), message)| (id, message))))
}

/// A message and where it goes, if both are still there.
pub(super) fn at(store: &Store, place: &Place) -> Result<Option<(Webhook, Message)>, StoreError> {
    let webhook = store.get(WEBHOOKS, &place.0)?;
    let message = store.get(MESSAGES, &(place.0, place.2))?;
    Ok(webhook.zip(message))
}

/// Changes a message and, with it, when it is due; returns it.
pub(super) fn change_message(
    tx: &mut Tx<'_>,
    webhook: WebhookId,
    id: MessageId,
    change: impl FnOnce(&mut Message),
) -> Result<Message, Error> {
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

/// What is due at `now` and not under way, at most so many in all and of each.
pub(super) fn due(
    store: &Store,
    now: Time,
    under_way: &HashSet<Place>,
    count_max: usize,
) -> Result<Due<Place>, StoreError> {
    let mut due = Due::default();
    for row in all(store)? {
        let (webhook, state) = row?;
        if state.disabled_at.is_some() {
            continue;
        }
        let busy = under_way.iter().filter(|place| place.0 == webhook).count();
        let mut room = AT_ONCE_EACH_MAX.saturating_sub(busy);
        for row in store.scan(DUE.prefix(&webhook))? {
            let (place, ()) = row?;
            if place.1 > now {
                let sooner = due.next.is_none_or(|next| place.1 < next);
                due.next = if sooner { Some(place.1) } else { due.next };
                break;
            }
            if room == 0 || due.now.len() == count_max {
                break;
            }
            // The message itself, since a redelivery may have moved it.
            if !under_way
                .iter()
                .any(|busy| (busy.0, busy.2) == (place.0, place.2))
            {
                due.now.push(place);
                room -= 1;
            }
        }
    }
    Ok(due)
}
