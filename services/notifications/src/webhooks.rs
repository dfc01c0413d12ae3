//! Webhooks: other people's programs, told of events over HTTP as Standard
//! Webhooks has it.
//!
//! | module | holds |
//! | --- | --- |
//! | `signature` | secrets, and what is signed with them |
//! | `address` | which addresses may be connected to |
//! | `outbound` | one request to one such address |
//! | `store` | webhooks, messages, and which are due |
//! | `ride` | bringing what is due, and what becomes of it |
//! | `http` | the endpoints |
//!
//! **Invariants:** a message is written in the transaction that tells its event,
//! so none is missed, and has one `webhook-id` at every try. No request is made to
//! an address that was not checked after its name was resolved.

mod address;
pub(crate) mod http;
mod outbound;
mod ride;
mod signature;
pub(crate) mod store;

use std::net::IpAddr;
use std::time::Duration;

use chassis::{FieldError, config};
use model::{Fact, Id, Time, kinds};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

pub(crate) use self::ride::start;
use crate::retry::Schedule;

/// Somebody else's program.
pub(crate) type WebhookId = Id<kinds::Webhook>;
/// One event on its way there.
pub(crate) type MessageId = Id<kinds::Message>;

/// How many webhooks a shop has. Each event is matched against all of them.
pub(crate) const WEBHOOKS_MAX: usize = 32;

/// How long a URL may be, in bytes.
const URL_BYTES_MAX: usize = 2_000;

/// The longest pause between two tries of a message.
const PAUSE_MAX: Duration = Duration::from_secs(6 * 60 * 60);

/// For how long the secret before the present one is signed with, too.
const ROTATION: Duration = Duration::from_secs(24 * 60 * 60);

/// How many tries of a message are remembered.
const ATTEMPTS_MAX: usize = 20;

/// A webhook as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Webhook {
    /// Where messages are sent.
    pub(crate) url: String,
    /// Of which kinds.
    pub(crate) events: Vec<String>,
    /// What they are signed with, `whsec_…`.
    pub(crate) secret: String,
    /// What they are also signed with, and until when.
    pub(crate) previous: Option<(String, Time)>,
    /// When it was made; earlier events are not told.
    pub(crate) created_at: Time,
    /// Since when no try succeeded, if the last one did not.
    pub(crate) failing_since: Option<Time>,
    /// Since when it is not tried any more.
    pub(crate) disabled_at: Option<Time>,
}

impl ::store::Record for Webhook {}

impl Webhook {
    /// Whether an event is to be sent there.
    pub(crate) fn wants(&self, kind: &str, at: Time) -> bool {
        self.disabled_at.is_none()
            && at >= self.created_at
            && self.events.iter().any(|wanted| wanted == kind)
    }

    /// The secrets to sign with at `now`, the present one first.
    pub(crate) fn secrets(&self, now: Time) -> impl Iterator<Item = &str> {
        let previous = self.previous.as_ref().filter(|(_, until)| now < *until);
        std::iter::once(self.secret.as_str()).chain(previous.map(|(secret, _)| secret.as_str()))
    }

    /// Takes a new secret; the present one is good for a while yet, any before
    /// that no more.
    pub(crate) fn rotate(&mut self, secret: String, now: Time) {
        let before = std::mem::replace(&mut self.secret, secret);
        self.previous = Some((before, now.after(ROTATION)));
    }

    /// Takes note of a try; whether it has now failed for so long that it is
    /// disabled.
    pub(crate) fn note(&mut self, attempt: &Attempt, disable_after: Duration) -> bool {
        if attempt.is_success() {
            self.failing_since = None;
            return false;
        }
        let since = *self.failing_since.get_or_insert(attempt.at);
        let gone = attempt.status == Some(410);
        let hopeless = gone || attempt.at.since(since) >= disable_after;
        let disabled = hopeless && self.disabled_at.is_none();
        if disabled {
            self.disabled_at = Some(attempt.at);
        }
        disabled
    }
}

/// A message as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message {
    /// The event's kind.
    pub(crate) kind: String,
    /// The body, to the byte.
    pub(crate) payload: String,
    /// When the event happened.
    pub(crate) created_at: Time,
    /// When trying began, the first time or again.
    pub(crate) began_at: Time,
    /// How often it failed since then.
    pub(crate) failed: u32,
    /// When it is tried next; `None` when it is not.
    pub(crate) due: Option<Time>,
    /// The last tries, oldest first.
    pub(crate) attempts: Vec<Attempt>,
}

impl ::store::Record for Message {}

/// How a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    /// It will be tried.
    Pending,
    /// It arrived.
    Delivered,
    /// It is given up.
    Failed,
}

impl Message {
    pub(crate) fn standing(&self) -> Standing {
        if self.due.is_some() {
            return Standing::Pending;
        }
        match self.attempts.last() {
            Some(last) if last.is_success() => Standing::Delivered,
            _ => Standing::Failed,
        }
    }

    /// Takes note of a try, and when the next one is, if any.
    pub(crate) fn note(&mut self, attempt: Attempt, schedule: &Schedule, luck: f64) {
        self.due = None;
        if !attempt.is_success() {
            self.failed += 1;
            self.due = schedule.next(self.began_at, self.failed, attempt.at, luck);
        }
        if self.attempts.len() >= ATTEMPTS_MAX {
            self.attempts.remove(0);
        }
        self.attempts.push(attempt);
    }

    /// Begins anew, now.
    pub(crate) fn again(&mut self, now: Time) {
        (self.began_at, self.failed, self.due) = (now, 0, Some(now));
    }
}

/// One try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    /// When it ended.
    pub(crate) at: Time,
    /// How long it took.
    pub(crate) took_ms: u64,
    /// What was answered.
    pub(crate) status: Option<u16>,
    /// Why nothing was.
    pub(crate) error: Option<String>,
}

impl Attempt {
    fn is_success(&self) -> bool {
        self.status
            .is_some_and(|status| (200..300).contains(&status))
    }
}

/// When messages are tried again.
pub(crate) fn schedule(settings: &config::Webhooks) -> Schedule {
    Schedule {
        first: Duration::from_millis(settings.retry_first_ms),
        pause_max: PAUSE_MAX,
        give_up_after: Duration::from_secs(u64::from(settings.retry_hours) * 3600),
    }
}

/// What somebody sends to make a webhook.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Registering {
    url: Option<String>,
    events: Option<Vec<String>>,
}

impl Registering {
    /// The webhook that is meant.
    ///
    /// # Errors
    /// Every field at fault.
    pub(crate) fn check(
        self,
        settings: &config::Webhooks,
        now: Time,
    ) -> Result<Webhook, Vec<FieldError>> {
        let mut faults = Vec::new();
        let url = self.url.unwrap_or_default();
        if let Err(why) = check_url(&url, settings) {
            faults.push(FieldError::new("/url", why));
        }
        let events = self.events.unwrap_or_default();
        if events.is_empty() {
            faults.push(FieldError::new(
                "/events",
                "name at least one kind of event, such as order.confirmed",
            ));
        }
        for (place, kind) in events.iter().enumerate() {
            if !Fact::knows(kind) {
                faults.push(FieldError::new(
                    format!("/events/{place}"),
                    "no kind of event has this name",
                ));
            } else if events[..place].contains(kind) {
                faults.push(FieldError::new(
                    format!("/events/{place}"),
                    "it is named before",
                ));
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Webhook {
            url,
            events,
            secret: signature::fresh(),
            previous: None,
            created_at: now,
            failing_since: None,
            disabled_at: None,
        })
    }
}

/// Refuses early what would be refused at every try.
fn check_url(text: &str, settings: &config::Webhooks) -> Result<(), String> {
    if text.len() > URL_BYTES_MAX {
        return Err(format!("at most {URL_BYTES_MAX} bytes"));
    }
    let url = Url::parse(text).map_err(|error| format!("not an absolute URL: {error}"))?;
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
