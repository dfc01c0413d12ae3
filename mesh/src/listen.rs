//! Hears another service's log as it grows, from now on, and keeps nothing.
//!
//! For whoever only wants to know when something is no longer so, such as a cache:
//! it needs no past and no store, but must know whether it missed anything.
//!
//! **Invariant:** between two words that are not [`Update::Gap`] or [`Update::Stale`]
//! nothing was missed: each event continues the running hash of the one before, and
//! an announcement repeats it.

use std::time::Duration;

use crate::page::{Announcement, unpack};
use crate::{Event, Mark, Mesh, Subscription, TransportError};

/// What a listener hears.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// What happened next, in order. None at all: the log ends where it did.
    Events(Vec<Event>),
    /// Something may have happened that was not heard; from here on everything is.
    Gap,
    /// There was no word for too long, or one that cannot be read. The next one that
    /// can is a [`Update::Gap`].
    Stale,
}

/// Listens to one source.
pub struct Listener {
    announcements: Subscription<Vec<u8>>,
    timeout: Duration,
    /// Where the log ended when it was last heard; `None` while out of touch.
    heard: Option<Mark>,
}

impl Listener {
    /// Listens to `source`, which announces itself every 250 ms; no word for longer
    /// than `timeout` is a [`Update::Stale`].
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
        Ok(Self { announcements, timeout, heard: None })
    }

    /// The place of the last event that was heard of; 0 while out of touch.
    pub fn place(&self) -> u64 {
        self.heard.map_or(0, |mark| mark.seq)
    }

    /// The next word. Stale is told once, then waited through. May be dropped
    /// while it waits; nothing is lost by that.
    pub async fn next(&mut self) -> Update {
        let announcement = self.announcements.messages.recv_async();
        let announcement = if self.heard.is_some() {
            tokio::time::timeout(self.timeout, announcement).await.ok()
        } else {
            Some(announcement.await)
        };
        match announcement {
            Some(Ok(announcement)) => self.hear(&announcement),
            // The transport has ended: nobody will ever say anything again.
            Some(Err(_)) if self.heard.is_none() => std::future::pending().await,
            Some(Err(_)) | None => {
                self.heard = None;
                Update::Stale
            }
        }
    }

    fn hear(&mut self, message: &[u8]) -> Update {
        let Some(Announcement { events, tail }) = unpack(message) else {
            self.heard = None;
            return Update::Stale;
        };
        let Some(before) = self.heard.replace(tail) else {
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
        let mut news = Vec::with_capacity(events.len());
        for recorded in events.iter().filter(|event| event.seq > before.seq) {
            let event = Event::decode(&recorded.body);
            let (true, Ok(event)) = (recorded.continues(&mark), event) else {
                return Update::Gap;
            };
            mark = recorded.mark();
            news.push(event);
        }
        // The log may have grown since: what is missing comes with the next announcement, or
        // the next announcement shows that it was lost.
        self.heard = Some(mark);
        Update::Events(news)
    }
}
