//! Request and response bodies.
//!
//! **Invariant:** a response contains a webhook's secret only when that is new.

use crate::config::WebhooksConfig;
use chassis::FieldError;
use chassis::fields::{CheckedBody, Fields, ReadFields};
use chassis::page::Page;
use model::{Fact, Time};
use serde::Serialize;

use crate::domain::{Notification, NotificationId, Topic};
use crate::text::order::OrderData;
use crate::text::{Text, Texts};
use crate::webhooks::{
    self, DeliveryAttempt, MessageId, MessageStatus, Webhook, WebhookId, WebhookMessage,
};

/// A notification in a response.
#[derive(Serialize)]
pub(crate) struct NotificationResponse {
    id: NotificationId,
    #[serde(flatten)]
    topic: Topic,
    title: String,
    body: String,
    read_at: Option<Time>,
    created_at: Time,
}

impl NotificationResponse {
    pub(crate) fn new(
        id: NotificationId,
        entry: Notification,
        order: Option<&OrderData>,
        texts: &Texts,
        languages: &[String],
    ) -> Self {
        let Notification { topic, read_at, created_at } = entry;
        let Text { title, body } = texts.notice(&topic, order, languages);
        Self { id, topic, title, body, read_at, created_at }
    }
}

/// A page of an inbox, with the number of unread entries in all of it.
#[derive(Serialize)]
pub(crate) struct InboxResponse {
    #[serde(flatten)]
    pub(crate) page: Page<NotificationResponse>,
    pub(crate) unread_count: u64,
}

/// A webhook in a response; the secret is included only when it is new.
/// A new ticket for a stream.
#[derive(Serialize)]
pub(crate) struct StreamTicketResponse {
    pub(crate) ticket: String,
    /// Seconds.
    pub(crate) expires_in: u64,
}

#[derive(Serialize)]
pub(crate) struct RegisteredWebhook {
    id: WebhookId,
    url: String,
    events: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    failing_since: Option<Time>,
    disabled_at: Option<Time>,
    created_at: Time,
}

impl From<(WebhookId, Webhook)> for RegisteredWebhook {
    fn from((id, webhook): (WebhookId, Webhook)) -> Self {
        let Webhook { url, events, created_at, failing_since, disabled_at, .. } = webhook;
        Self {
            id,
            url,
            events,
            secret: None,
            failing_since,
            disabled_at,
            created_at,
        }
    }
}

impl RegisteredWebhook {
    pub(crate) fn with_secret(id: WebhookId, webhook: Webhook) -> Self {
        let secret = Some(webhook.secret.clone());
        Self { secret, ..Self::from((id, webhook)) }
    }
}

/// A message in a response; its id is the `webhook-id` that was sent.
#[derive(Serialize)]
pub(crate) struct DeliveryResponse {
    id: MessageId,
    kind: String,
    status: MessageStatus,
    attempts: Vec<AttemptResponse>,
    next_attempt_at: Option<Time>,
    created_at: Time,
}

#[derive(Serialize)]
struct AttemptResponse {
    at: Time,
    took_ms: u64,
    status: Option<u16>,
    error: Option<String>,
}

impl From<(MessageId, WebhookMessage)> for DeliveryResponse {
    fn from((id, message): (MessageId, WebhookMessage)) -> Self {
        let status = message.status();
        let WebhookMessage { kind, created_at, due, attempts, .. } = message;
        let response = |DeliveryAttempt { at, took_ms, status, error }| AttemptResponse {
            at,
            took_ms,
            status,
            error,
        };
        let attempts = attempts.into_iter().map(response).collect();
        Self { id, kind, status, attempts, next_attempt_at: due, created_at }
    }
}

/// The body that registers a webhook.
#[derive(Debug)]
pub(crate) struct RegisterWebhookBody {
    url: String,
    events: Vec<String>,
}

impl ReadFields for RegisterWebhookBody {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let url = fields.required_value("url");
        let entries = fields.list("events", Fact::KINDS.len());
        if entries.is_empty() {
            let detail = "name at least one kind of event, such as order.confirmed";
            fields.fault("/events", detail);
        }
        let mut events: Vec<String> = Vec::new();
        for (pointer, raw) in entries {
            let kind = fields.parsed_at(&pointer, raw, |kind| match kind {
                _ if !Fact::knows(kind) => Err("no kind of event has this name"),
                _ if events.iter().any(|earlier| earlier == kind) => Err("it is named before"),
                _ => Ok(kind.to_owned()),
            });
            events.extend(kind);
        }
        Some(Self { url: url?, events })
    }
}

impl RegisterWebhookBody {
    /// Makes a new webhook of a body, once its URL is checked against the settings.
    ///
    /// # Errors
    /// Every invalid field.
    pub(crate) fn webhook(
        mut body: CheckedBody<Self>,
        settings: &WebhooksConfig,
        now: Time,
    ) -> Result<Webhook, Vec<FieldError>> {
        if let Some(Self { url, .. }) = &body.value
            && let Err(why) = webhooks::check_url(url, settings)
        {
            body.faults.insert(0, FieldError::new("/url", why));
        }
        let Self { url, events } = body.valid()?;
        Ok(Webhook {
            url,
            events,
            secret: webhooks::new_secret(),
            previous: None,
            created_at: now,
            failing_since: None,
            disabled_at: None,
        })
    }
}
