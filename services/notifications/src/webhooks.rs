//! Webhooks: events posted to external programs, signed as Standard Webhooks specifies.
//!
//! | module | holds |
//! | --- | --- |
//! | `expansion` | whole orders in messages, made when they are sent |
//! | `kinds` | the kinds of events and patterns of them |
//! | `address` | the filter of addresses |
//! | `request` | signing and posting a message |
//! | `tables` | webhooks, messages and their queue |
//! | `worker` | delivery and its outcome |
//! | `http` | the endpoints |
//!
//! **Invariants:** a message is written in the transaction that handles its event, so none is
//! missed, and has the same `webhook-id` at every attempt. No connection is made to an address
//! that was not checked after its name was resolved.

mod address;
mod expansion;
pub(crate) mod http;
pub(crate) mod kinds;
mod request;
pub(crate) mod tables;
mod worker;

use crate::config::WebhooksConfig;
use std::net::IpAddr;
use std::time::Duration;

use chassis::delivery::Backoff;
use model::{Id, Time};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

pub(crate) use self::request::new_secret;
pub(crate) use self::worker::start;

pub(crate) type WebhookId = Id<model::kinds::Webhook>;
pub(crate) type MessageId = Id<model::kinds::Message>;

/// Most webhooks of a shop: each event is matched against all of them.
pub(crate) const WEBHOOKS_MAX: usize = 32;

/// Longest URL, in bytes.
const URL_BYTES_MAX: usize = 2_000;

/// The longest pause between two attempts of a message.
const PAUSE_MAX: Duration = Duration::from_secs(6 * 60 * 60);

/// How long the previous secret stays valid after a rotation.
const ROTATION: Duration = Duration::from_secs(24 * 60 * 60);

/// Attempts of a message kept in its log, and those of them whose answers are kept, too: a row
/// is bounded.
const ATTEMPTS_MAX: usize = 20;
const ANSWERS_MAX: usize = 5;

/// The beginning of an answer that is kept, in bytes.
pub(crate) const ANSWER_BYTES_MAX: usize = 1024;

/// A stored webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Webhook {
    pub(crate) url: String,
    /// The kinds of events it subscribes to, and patterns of them (`kinds`).
    pub(crate) events: Vec<String>,
    /// Resources that a message contains whole; the event itself has only their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) expand: Vec<Expansion>,
    /// The signing secret, `whsec_…`.
    pub(crate) secret: String,
    /// The previous secret and its expiry.
    pub(crate) previous: Option<(String, Time)>,
    /// Earlier events are not sent.
    pub(crate) created_at: Time,
    /// Time of the first failure since the last success.
    pub(crate) failing_since: Option<Time>,
    /// When it was disabled.
    pub(crate) disabled_at: Option<Time>,
}

/// What a webhook may have sent along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Expansion {
    /// The order that an event is about, as it is when the message is sent.
    Order,
}

impl ::store::Record for Webhook {}

impl Webhook {
    /// Whether it is enabled and subscribed to an event.
    pub(crate) fn is_subscribed(&self, kind: &str, at: Time) -> bool {
        self.disabled_at.is_none()
            && at >= self.created_at
            && self
                .events
                .iter()
                .any(|pattern| kinds::matches(pattern, kind))
    }

    /// The secrets valid at `now`, the current one first.
    pub(crate) fn secrets(&self, now: Time) -> impl Iterator<Item = &str> {
        let previous = self.previous.as_ref().filter(|(_, until)| now < *until);
        std::iter::once(self.secret.as_str()).chain(previous.map(|(secret, _)| secret.as_str()))
    }

    /// Replaces the secret; the current one stays valid for [`ROTATION`].
    pub(crate) fn rotate(&mut self, secret: String, now: Time) {
        let before = std::mem::replace(&mut self.secret, secret);
        self.previous = Some((before, now.after(ROTATION)));
    }

    /// Enables it: events are queued again, and what was queued before is delivered.
    pub(crate) fn enable(&mut self) {
        (self.failing_since, self.disabled_at) = (None, None);
    }

    /// Disables it: no event is queued, and what was queued before waits.
    pub(crate) fn disable(&mut self, now: Time) {
        self.disabled_at.get_or_insert(now);
    }

    /// Notes an attempt, and disables the webhook after a failure of `disable_after` or a
    /// response of 410.
    pub(crate) fn note(&mut self, attempt: &DeliveryAttempt, disable_after: Duration) -> Noted {
        if attempt.is_success() {
            self.failing_since = None;
            return Noted::Kept;
        }
        let since = *self.failing_since.get_or_insert(attempt.at);
        let is_gone = attempt.status == Some(410);
        let is_disabled = is_gone || attempt.at.since(since) >= disable_after;
        if is_disabled && self.disabled_at.is_none() {
            self.disabled_at = Some(attempt.at);
            return Noted::Disabled;
        }
        Noted::Kept
    }
}

/// Whether an attempt disabled its webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noted {
    Kept,
    Disabled,
}

/// A stored message: one event for one webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WebhookMessage {
    /// The event's kind.
    pub(crate) kind: String,
    /// The exact body.
    pub(crate) payload: String,
    /// When the event happened.
    pub(crate) created_at: Time,
    /// Start of the current series of attempts.
    pub(crate) began_at: Time,
    /// Failures in that series.
    pub(crate) failed: u32,
    /// The next attempt, if there is one.
    pub(crate) due: Option<Time>,
    /// The latest attempts, oldest first.
    pub(crate) attempts: Vec<DeliveryAttempt>,
}

impl ::store::Record for WebhookMessage {}

/// Status of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MessageStatus {
    Pending,
    Delivered,
    /// Given up.
    Failed,
}

impl WebhookMessage {
    pub(crate) fn status(&self) -> MessageStatus {
        if self.due.is_some() {
            return MessageStatus::Pending;
        }
        match self.attempts.last() {
            Some(last) if last.is_success() => MessageStatus::Delivered,
            _ => MessageStatus::Failed,
        }
    }

    /// Notes an attempt and schedules the next one after a failure: not before `retry_after`,
    /// which the receiver asked for, has passed, as far as there is a longest pause.
    pub(crate) fn note(
        &mut self,
        attempt: DeliveryAttempt,
        retry_after: Option<Duration>,
        backoff: &Backoff,
        jitter: f64,
    ) {
        self.due = None;
        if !attempt.is_success() {
            self.failed += 1;
            let next = backoff.next(self.began_at, self.failed, attempt.at, jitter);
            let wish = retry_after.unwrap_or_default().min(backoff.pause_max);
            self.due = next.map(|next| next.max(attempt.at.after(wish)));
        }
        let older = self.attempts.len().saturating_sub(ANSWERS_MAX - 1);
        for attempt in &mut self.attempts[..older] {
            attempt.answer = None;
        }
        if self.attempts.len() >= ATTEMPTS_MAX {
            self.attempts.remove(0);
        }
        self.attempts.push(attempt);
    }

    /// Starts a new series of attempts.
    pub(crate) fn restart(&mut self, now: Time) {
        (self.began_at, self.failed, self.due) = (now, 0, Some(now));
    }
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeliveryAttempt {
    /// When it ended.
    pub(crate) at: Time,
    pub(crate) took_ms: u64,
    /// Status of the response.
    pub(crate) status: Option<u16>,
    /// Why there was no response.
    pub(crate) error: Option<String>,
    /// The beginning of the response's body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) answer: Option<String>,
}

impl DeliveryAttempt {
    /// Whether the receiver took it.
    fn is_success(&self) -> bool {
        self.status
            .is_some_and(|status| (200..300).contains(&status))
    }
}

/// Checks the files that the settings name.
///
/// # Errors
/// [`chassis::Error::Config`] naming the file at fault.
pub(crate) fn check(settings: &WebhooksConfig) -> Result<(), chassis::Error> {
    request::client(settings).map(drop)
}

/// The backoff of messages.
pub(crate) fn backoff(settings: &WebhooksConfig) -> Backoff {
    Backoff {
        first: Duration::from_millis(settings.retry_first_ms),
        pause_max: PAUSE_MAX,
        give_up_after: Duration::from_secs(u64::from(settings.retry_hours) * 3600),
    }
}

/// Refuses early a URL that would fail at every attempt.
pub(crate) fn check_url(text: &str, settings: &WebhooksConfig) -> Result<(), String> {
    if text.len() > URL_BYTES_MAX {
        return Err(format!("must have at most {URL_BYTES_MAX} bytes"));
    }
    let url = Url::parse(text).map_err(|error| format!("must be an absolute URL: {error}"))?;
    match url.scheme() {
        "https" => {}
        "http" if settings.allow_http => {}
        _ => return Err("it must begin with https://".into()),
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("it must have no user, no password and no fragment".into());
    }
    let address = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(_)) => return Ok(()),
        None => return Err("it must name a host".into()),
    };
    if settings.allow_private {
        return Ok(());
    }
    address::refuse_private(address)
}

#[cfg(test)]
mod tests;
