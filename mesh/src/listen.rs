//! A listener observes another service's log from now on, without a store or a cursor.
//!
//! A cache uses it to invalidate entries: it needs no history, but must know whether it
//! missed an event.
//!
//! **Invariant:** between two updates other than [`Update::Gap`] and [`Update::Stale`] no
//! event was missed: each continues the running hash of the one before, and an
//! announcement without events repeats it.

use std::time::Duration;

use crate::protocol::{Announcement, unpack};
use crate::{Event, Mark, Mesh, Subscription, TransportError};

/// A change that a listener observed.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// The next events, in order; empty when the tail has not moved.
    Events(Vec<Event>),
    /// Events may have been missed; from here on none is.
    Gap,
    /// No announcement within the timeout, or an undecodable one. The next update is a
    /// [`Update::Gap`].
    Stale,
}

/// Observes the log of one source.
pub struct Listener {
    announcements: Subscription<Vec<u8>>,
    timeout: Duration,
    /// The last observed tail; `None` while stale.
    tail: Option<Mark>,
}

impl Listener {
    /// Listens to `source`, which announces its tail every 250 ms; without an announcement
    /// for `timeout` the listener is [`Update::Stale`].
    ///
    /// # Errors
    /// When the transport refuses the subscription.
    pub async fn start(
        mesh: &Mesh,
        source: &str,
        timeout: Duration,
    ) -> Result<Self, TransportError> {
        let topic = mesh.topic("events", source);
        let announcements = mesh.transport().subscribe(&topic).await?;
        Ok(Self { announcements, timeout, tail: None })
    }

    /// The sequence number of the last observed event; 0 while stale.
    pub fn place(&self) -> u64 {
        self.tail.map_or(0, |mark| mark.seq)
    }

    /// The next update; [`Update::Stale`] is returned once. Cancel safe.
    pub async fn next(&mut self) -> Update {
        let announcement = self.announcements.messages.recv_async();
        let announcement = if self.tail.is_some() {
            tokio::time::timeout(self.timeout, announcement).await.ok()
        } else {
            Some(announcement.await)
        };
        match announcement {
            Some(Ok(announcement)) => self.on_message(&announcement),
            // The transport has ended: there will be no announcement any more.
            Some(Err(_)) if self.tail.is_none() => std::future::pending().await,
            Some(Err(_)) | None => {
                self.tail = None;
                Update::Stale
            }
        }
    }

    fn on_message(&mut self, message: &[u8]) -> Update {
        let Some(Announcement { events, tail }) = unpack(message) else {
            self.tail = None;
            return Update::Stale;
        };
        let Some(before) = self.tail.replace(tail) else {
            return Update::Gap;
        };
        if events.is_empty() {
            let unchanged = tail == before;
            return if unchanged {
                Update::Events(Vec::new())
            } else {
                Update::Gap
            };
        }
        let mut mark = before;
        let mut observed = Vec::with_capacity(events.len());
        for recorded in events.iter().filter(|event| event.seq > before.seq) {
            let event = Event::decode(&recorded.body);
            let (true, Ok(event)) = (recorded.continues(&mark), event) else {
                return Update::Gap;
            };
            mark = recorded.mark();
            observed.push(event);
        }
        // The log may have grown since: the next announcement has the missing events, or
        // shows that they were lost.
        self.tail = Some(mark);
        Update::Events(observed)
    }
}
