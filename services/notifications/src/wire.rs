//! Request and response bodies.
//!
//! **Invariant:** a response contains a webhook's secret only when that is new.

use crate::config::WebhooksConfig;
use chassis::FieldError;
use chassis::fields::{CheckedBody, Fields, ReadFields};
use chassis::page::Page;
use model::{Time, described_kinds};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::{Counted, Notification, NotificationId, Topic};
use crate::text::order::OrderData;
use crate::text::{Text, Texts};
use crate::webhooks::{
    self, DeliveryAttempt, Expansion, MessageId, MessageStatus, Webhook, WebhookId, WebhookMessage,
};

/// A notification in a response.
#[derive(Serialize)]
pub(crate) struct NotificationResponse {
    id: NotificationId,
    #[serde(flatten)]
    topic: Topic,
    /// What it counts, if it is not about one thing.
    #[serde(flatten)]
    counted: Option<Counted>,
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
        let Notification { topic, read_at, created_at, counted } = entry;
        let Text { title, body } = match &counted {
            None => texts.notice(&topic, order, languages),
            Some(counted) => texts.digest(topic.kind(), *counted, languages),
        };
        Self { id, topic, counted, title, body, read_at, created_at }
    }
}

/// A page of an inbox, with the number of unread entries in all of it.
#[derive(Serialize)]
pub(crate) struct InboxResponse {
    #[serde(flatten)]
    pub(crate) page: Page<NotificationResponse>,
    pub(crate) unread_count: u64,
}

/// A new ticket for a stream.
#[derive(Serialize)]
pub(crate) struct StreamTicketResponse {
    pub(crate) ticket: String,
    /// Seconds.
    pub(crate) expires_in: u64,
}

/// A webhook in a response; the secret is included only when it is new.
#[derive(Serialize)]
pub(crate) struct RegisteredWebhook {
    id: WebhookId,
    url: String,
    events: Vec<String>,
    expand: Vec<Expansion>,
    /// Whether events are sent to it.
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    failing_since: Option<Time>,
    disabled_at: Option<Time>,
    created_at: Time,
}

impl From<(WebhookId, Webhook)> for RegisteredWebhook {
    fn from((id, webhook): (WebhookId, Webhook)) -> Self {
        let Webhook {
            url, events, expand, created_at, failing_since, disabled_at, ..
        } = webhook;
        Self {
            id,
            url,
            events,
            expand,
            active: disabled_at.is_none(),
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
    /// The body as it is signed and sent.
    payload: Option<Box<RawValue>>,
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
    /// The beginning of the response's body, of the latest attempts.
    answer: Option<String>,
}

impl From<(MessageId, WebhookMessage)> for DeliveryResponse {
    fn from((id, message): (MessageId, WebhookMessage)) -> Self {
        let status = message.status();
        let WebhookMessage { kind, payload, created_at, due, attempts, .. } = message;
        let response = |attempt| {
            let DeliveryAttempt { at, took_ms, status, error, answer } = attempt;
            AttemptResponse { at, took_ms, status, error, answer }
        };
        let attempts = attempts.into_iter().map(response).collect();
        Self {
            id,
            kind,
            payload: RawValue::from_string(payload).ok(),
            status,
            attempts,
            next_attempt_at: due,
            created_at,
        }
    }
}

impl DeliveryResponse {
    /// As it is while its webhook is disabled: it waits, and no attempt is planned.
    pub(crate) fn waiting(self) -> Self {
        Self { next_attempt_at: None, ..self }
    }
}

/// The body that registers a webhook.
#[derive(Debug)]
pub(crate) struct RegisterWebhookBody {
    url: String,
    events: Vec<String>,
    expand: Option<Vec<Expansion>>,
    active: Option<bool>,
}

impl ReadFields for RegisterWebhookBody {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        fields.require("events");
        let url = fields.required_value("url");
        let events = event_patterns(fields);
        let (expand, active) = (fields.value("expand"), fields.value("active"));
        Some(Self { url: url?, events: events?, expand, active })
    }
}

/// The body that changes a webhook: what it names.
#[derive(Debug)]
pub(crate) struct PatchWebhookBody {
    url: Option<String>,
    events: Option<Vec<String>>,
    expand: Option<Vec<Expansion>>,
    active: Option<bool>,
}

impl ReadFields for PatchWebhookBody {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let (url, active) = (fields.value("url"), fields.value("active"));
        let (events, expand) = (event_patterns(fields), fields.value("expand"));
        Some(Self { url, events, expand, active })
    }
}

/// The field `events`, if it is there: kinds of events and patterns of them, each once.
fn event_patterns(fields: &mut Fields<'_>) -> Option<Vec<String>> {
    let is_there = fields.has("events");
    let entries = fields.list("events", described_kinds().count());
    if is_there && entries.is_empty() {
        let detail = "name at least one kind of event, such as order.confirmed, order.* or *";
        fields.fault("/events", detail);
    }
    let mut events: Vec<String> = Vec::new();
    for (pointer, raw) in entries {
        let pattern = fields.parsed_at(&pointer, raw, |pattern| match pattern {
            _ if !webhooks::kinds::is_known(pattern) => Err(UNKNOWN_KIND),
            _ if events.iter().any(|earlier| earlier == pattern) => Err("it is named before"),
            _ => Ok(pattern.to_owned()),
        });
        events.extend(pattern);
    }
    is_there.then_some(events)
}

const UNKNOWN_KIND: &str =
    "no kind has this name; GET /v1/webhooks/kinds lists them, and * and order.* are patterns";

/// Checks the URL of a body against the settings.
fn check_url<T>(body: &mut CheckedBody<T>, url: Option<&String>, settings: &WebhooksConfig) {
    if let Some(url) = url
        && let Err(why) = webhooks::check_url(url, settings)
    {
        body.faults.insert(0, FieldError::new("/url", why));
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
        let url = body.value.as_ref().map(|body| body.url.clone());
        check_url(&mut body, url.as_ref(), settings);
        let Self { url, events, expand, active } = body.valid()?;
        Ok(Webhook {
            url,
            events,
            expand: expand.unwrap_or_default(),
            secret: webhooks::new_secret(),
            previous: None,
            created_at: now,
            failing_since: None,
            disabled_at: (active == Some(false)).then_some(now),
        })
    }
}

impl PatchWebhookBody {
    /// The change that a body asks for, once its URL is checked against the settings.
    ///
    /// # Errors
    /// Every invalid field.
    pub(crate) fn checked(
        mut body: CheckedBody<Self>,
        settings: &WebhooksConfig,
    ) -> Result<Self, Vec<FieldError>> {
        let url = body.value.as_ref().and_then(|body| body.url.clone());
        check_url(&mut body, url.as_ref(), settings);
        body.valid()
    }

    /// Changes a webhook.
    pub(crate) fn apply(self, webhook: &mut Webhook, now: Time) {
        if let Some(url) = self.url {
            webhook.url = url;
        }
        if let Some(events) = self.events {
            webhook.events = events;
        }
        if let Some(expand) = self.expand {
            webhook.expand = expand;
        }
        match self.active {
            Some(true) => webhook.enable(),
            Some(false) => webhook.disable(now),
            None => {}
        }
    }
}
