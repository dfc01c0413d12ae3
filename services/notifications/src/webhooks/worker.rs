//! Webhook worker: signs a due message, posts it, and records the attempt.
//!
//! **Invariant:** the attempt, the next due time and the webhook's health are stored in one
//! transaction.

use crate::config::WebhooksConfig;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::store::{Error as StoreError, Store, Table, Tx};
use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use chassis::Context;
use chassis::delivery::{self, Delivery, QueueMetrics};
use chassis::outbound::Outbound;
use mesh::Mesh;
use model::Time;
use tokio::sync::Notify;

use super::expansion::expanded;
use super::request::ReceiverAnswer;
use super::tables::{self, DUE};
use super::{
    DeliveryAttempt, MessageId, Noted, WEBHOOKS_MAX, Webhook, WebhookId, WebhookMessage, backoff,
    request,
};
use crate::domain::Topic;
use crate::error::Error;
use crate::incidents::{self, IncidentNews, LASTS};
use crate::notify::Notifier;

struct WebhookWorker {
    store: Store,
    settings: WebhooksConfig,
    client: Outbound,
    mesh: Mesh,
    notifier: Notifier,
}

/// Starts the webhook worker; `wake_up` announces new messages.
pub(crate) fn start(
    ctx: &Context,
    settings: WebhooksConfig,
    notifier: Notifier,
    wake_up: Arc<Notify>,
) -> Result<(), chassis::Error> {
    let client = request::client(&settings)?;
    let store = ctx.store.clone();
    delivery::measure::<WebhookWorker>(ctx);
    let mesh = ctx.mesh.clone();
    let worker = WebhookWorker { store, settings, client, mesh, notifier };
    delivery::spawn(ctx, worker, wake_up);
    Ok(())
}

impl Delivery for WebhookWorker {
    type Partition = WebhookId;
    type DeliveryId = MessageId;
    type Row = ();
    const QUEUE: Table<(WebhookId, Time, MessageId), ()> = DUE;
    const METRICS: QueueMetrics = QueueMetrics {
        service: "notifications",
        waiting: "konbini_webhook_queue",
        given_up: "konbini_webhook_given_up_total",
    };
    /// Every webhook has its share, so a slow one delays no other.
    const IN_FLIGHT_MAX: usize = Self::PARTITION_IN_FLIGHT_MAX * WEBHOOKS_MAX;
    const PARTITION_IN_FLIGHT_MAX: usize = 4;

    fn store(&self) -> &Store {
        &self.store
    }

    /// The webhooks that are not disabled.
    fn partitions(&self) -> Result<Vec<WebhookId>, StoreError> {
        let mut enabled = Vec::new();
        for row in tables::all(&self.store)? {
            let (id, webhook) = row?;
            if webhook.disabled_at.is_none() {
                enabled.push(id);
            }
        }
        Ok(enabled)
    }

    async fn deliver(
        self: Arc<Self>,
        (webhook_id, _, id): (WebhookId, Time, MessageId),
    ) -> Result<(), StoreError> {
        let Some((webhook, message)) = tables::message(&self.store, webhook_id, id)? else {
            return Ok(());
        };
        let started = Instant::now();
        let sent = self.send(id, &webhook, message).await;
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut attempt = DeliveryAttempt {
            at: model::now(),
            took_ms,
            status: None,
            error: None,
            answer: None,
        };
        let mut retry_after = None;
        match sent {
            Ok(answer) => {
                retry_after = answer.retry_after;
                attempt.status = Some(answer.status);
                attempt.answer = Some(answer.beginning);
            }
            Err(why) => attempt.error = Some(why),
        }
        let DeliveryAttempt { status, error, .. } = &attempt;
        tracing::debug!(webhook = %webhook_id, message = %id, status, error, took_ms, "delivery attempt");
        self.record((webhook_id, id), attempt, retry_after).await
    }
}

impl WebhookWorker {
    async fn send(
        &self,
        id: MessageId,
        webhook: &Webhook,
        message: WebhookMessage,
    ) -> Result<ReceiverAnswer, String> {
        let (id, now) = (id.to_string(), model::now());
        let second = now.0.div_euclid(1000);
        let payload = expanded(&self.mesh, message.payload, &webhook.expand);
        let payload = Bytes::from(payload.await?);
        let signed = request::sign(webhook.secrets(now), &id, second, &payload);
        let signed = signed.map_err(|error| error.to_string())?;
        let mut headers = HeaderMap::new();
        let text = |text: String| HeaderValue::try_from(text).map_err(|error| error.to_string());
        headers.insert("webhook-id", text(id)?);
        headers.insert("webhook-timestamp", second.into());
        headers.insert("webhook-signature", text(signed)?);
        request::post(&self.client, &webhook.url, headers, payload).await
    }

    /// Records the attempt, reschedules the message, and notifies staff of a webhook that is
    /// disabled by it.
    async fn record(
        &self,
        (webhook_id, id): (WebhookId, MessageId),
        attempt: DeliveryAttempt,
        retry_after: Option<Duration>,
    ) -> Result<(), StoreError> {
        let (backoff, notifier) = (backoff(&self.settings), self.notifier.clone());
        let hours = u64::from(self.settings.disable_after_hours);
        let disable_after = Duration::from_secs(hours * 3600);
        let jitter = rand::random();
        let written = self.store.write_when_free(move |tx| {
            let mut noted = Noted::Kept;
            tables::change(tx, webhook_id, |webhook| {
                noted = webhook.note(&attempt, disable_after);
            })?;
            if noted == Noted::Disabled {
                tracing::error!(webhook = %webhook_id, "a webhook failed for so long that it is disabled");
                notifier.notify_staff(tx, &Topic::WebhookDisabled { webhook_id }, attempt.at)?;
            }
            let is_success = attempt.is_success();
            if let Some(topic) = news(tx, webhook_id, noted, &attempt)? {
                notifier.notify_staff(tx, &topic, attempt.at)?;
            }
            let note = |message: &mut WebhookMessage| {
                message.note(attempt, retry_after, &backoff, jitter);
            };
            let message = tables::change_message(tx, webhook_id, id, note)?;
            if message.due.is_none() && !is_success {
                tx.on_durable(|| delivery::given_up::<Self>().increment(1));
            }
            Ok(())
        });
        match written.await {
            Err(Error::Store(error)) => Err(error),
            // The webhook or the message was deleted meanwhile.
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// What staff are to be notified of a webhook that fails; of its end they are when it is
/// disabled.
fn news(
    tx: &mut Tx<'_>,
    webhook_id: WebhookId,
    noted: Noted,
    attempt: &DeliveryAttempt,
) -> Result<Option<Topic>, StoreError> {
    let what = webhook_id.to_string();
    let news = match attempt.is_success() || noted == Noted::Disabled {
        true => incidents::succeeded(tx, &what)?,
        false => incidents::failed(tx, &what, LASTS, attempt.at)?,
    };
    Ok(match news {
        IncidentNews::Began(since) => Some(Topic::WebhookFailing { webhook_id, since }),
        IncidentNews::Nothing | IncidentNews::Ended => None,
    })
}
