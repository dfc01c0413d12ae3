//! Brings what is due to where it goes, and writes down what became of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::store::{Error as StoreError, Store};
use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use chassis::{Context, config};
use tokio::sync::Notify;

use super::outbound::Outbound;
use super::store::{self, Place};
use super::{Attempt, Message, Webhook, schedule, signature};
use crate::courier;
use crate::domain::Topic;
use crate::error::Error;
use crate::tell::Teller;

struct Rider {
    store: Store,
    settings: config::Webhooks,
    outbound: Outbound,
    teller: Teller,
}

/// Starts bringing messages; `bell` rings when there is one.
pub(crate) fn start(ctx: &Context, teller: Teller, bell: Arc<Notify>) {
    let settings = ctx.config.webhooks.clone();
    let outbound = Outbound::new(&settings);
    let store = ctx.store.clone();
    let rider = Arc::new(Rider { store: store.clone(), settings, outbound, teller });
    let look = move |under_way: &_, room| store::due(&store, model::now(), under_way, room);
    let deliver = move |place| bring(rider.clone(), place);
    let round = courier::run(bell, store::AT_ONCE_MAX, look, deliver);
    ctx.tasks
        .spawn(ctx.stop.clone().run_until_cancelled_owned(round));
}

async fn bring(rider: Arc<Rider>, place: Place) -> Result<(), StoreError> {
    let Some((webhook, message)) = store::at(&rider.store, &place)? else {
        return Ok(());
    };
    let started = Instant::now();
    let answered = rider.attempt(&place, &webhook, message).await;
    let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (status, error) = match answered {
        Ok(status) => (Some(status), None),
        Err(why) => (None, Some(why)),
    };
    tracing::debug!(webhook = %place.0, message = %place.2, status, error, took_ms, "tried");
    let attempt = Attempt { at: model::now(), took_ms, status, error };
    rider.write_down(place, attempt).await
}

impl Rider {
    async fn attempt(
        &self,
        place: &Place,
        webhook: &Webhook,
        message: Message,
    ) -> Result<u16, String> {
        let (id, now) = (place.2.to_string(), model::now());
        let second = now.0.div_euclid(1000);
        let payload = Bytes::from(message.payload);
        let signed = signature::sign(webhook.secrets(now), &id, second, &payload);
        let mut headers = HeaderMap::new();
        let text = |text: String| HeaderValue::try_from(text).map_err(|error| error.to_string());
        headers.insert("webhook-id", text(id)?);
        headers.insert("webhook-timestamp", second.into());
        headers.insert("webhook-signature", text(signed)?);
        self.outbound.post(&webhook.url, headers, payload).await
    }

    /// The try in the message's log, the next one in the queue, and staff told if
    /// this was one too many.
    async fn write_down(&self, place: Place, attempt: Attempt) -> Result<(), StoreError> {
        let (schedule, teller) = (schedule(&self.settings), self.teller.clone());
        let hours = u64::from(self.settings.disable_after_hours);
        let disable_after = Duration::from_secs(hours * 3600);
        let luck = rand::random();
        let written = self.store.write_when_free(move |tx| {
            let (webhook_id, _, message) = place;
            let mut disabled = false;
            let noted = store::change(tx, webhook_id, |webhook| {
                disabled = webhook.note(&attempt, disable_after);
            });
            if disabled {
                tracing::error!(webhook = %webhook_id, "a webhook failed for so long that it is disabled");
                teller.tell_staff(tx, &Topic::WebhookDisabled { webhook_id }, attempt.at)?;
            }
            let note = |message: &mut Message| message.note(attempt, &schedule, luck);
            noted?;
            store::change_message(tx, webhook_id, message, note).map(|_| ())
        });
        match written.await {
            // Deleted, or pushed out, meanwhile: nobody asks how it went.
            Ok(()) | Err(Error::NoWebhook) => Ok(()),
            Err(Error::Store(error)) => Err(error),
            Err(_) => Ok(()),
        }
    }
}
