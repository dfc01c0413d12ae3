//! The source of a log: it announces events and serves followers' queries.
//!
//! **Invariant:** no event above the durable tail is sent, and every query of the log gets a
//! reply, which may be empty.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::protocol::{
    Announcement, PAGE_EVENTS_MAX, PageAnswer, PageQuestion, StateQuestion, pack, unpack,
};
use crate::{Log, Mesh, Question, TransportError};

/// How often a source announces its tail, which bounds how long a lost last event goes
/// unnoticed.
const ANNOUNCE_EVERY: Duration = Duration::from_millis(250);

/// The most queries served concurrently.
const ANSWERS_MAX: usize = 8;

/// Serves a log on the mesh.
pub struct Source {
    /// The log.
    pub log: Log,
    /// The mesh.
    pub mesh: Mesh,
    /// The interval at which the tail is announced; tests shorten it.
    pub announce_every: Duration,
}

impl Source {
    /// A source with the usual interval.
    pub fn new(log: Log, mesh: Mesh) -> Self {
        Self { log, mesh, announce_every: ANNOUNCE_EVERY }
    }

    /// Declares the log's topics and serves them on `tasks` until `stop`.
    ///
    /// # Errors
    /// When the transport refuses the declaration.
    pub async fn start(
        self,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<(), TransportError> {
        let Self { log, mesh, announce_every } = self;
        let topic = |name| mesh.topic(name, log.source());
        let pages = mesh.transport().serve(&topic("log")).await?;
        let states = mesh.transport().serve(&topic("state")).await?;
        for _ in 0..ANSWERS_MAX {
            let (log, messages, stop) = (log.clone(), pages.messages.clone(), stop.clone());
            tasks.spawn(async move {
                while let Some(Ok(question)) = stop.run_until_cancelled(messages.recv_async()).await
                {
                    answer(&log, question).await;
                }
            });
        }
        let (of_state, until) = (log.clone(), stop.clone());
        tasks.spawn(async move {
            let _serving = states.guard;
            let messages = states.messages;
            while let Some(Ok(question)) = until.run_until_cancelled(messages.recv_async()).await {
                answer_with_state(&of_state, question).await;
            }
        });
        tasks.spawn(async move {
            let _serving = pages.guard;
            stop.run_until_cancelled(publish(&log, &mesh, announce_every))
                .await;
        });
        Ok(())
    }
}

/// Announces every event that becomes durable, and the tail at intervals.
async fn publish(log: &Log, mesh: &Mesh, announce_every: Duration) {
    let topic = mesh.topic("events", log.source());
    let mut published = log.tail().seq;
    loop {
        let tail = log.tail();
        // A follower that is further behind than a page asks the log anyway.
        let from = published.max(tail.seq.saturating_sub(PAGE_EVENTS_MAX as u64));
        let events = if tail.seq > from {
            log.read(from)
        } else {
            Ok(Vec::new())
        };
        match events {
            Ok(events) => {
                published = events.last().map_or(tail.seq, |last| last.seq);
                // Without events the tail is the one from before reading, so that a
                // follower behind it knows that it missed an announcement.
                let tail = if events.is_empty() { tail } else { log.tail() };
                let announcement = Announcement { events, tail };
                if let Err(error) = mesh.transport().publish(&topic, pack(&announcement)).await {
                    tracing::warn!(%error, source = log.source(), "events not published; followers will ask");
                }
            }
            Err(error) => {
                tracing::error!(%error, source = log.source(), "the log is unreadable");
                published = tail.seq;
            }
        }
        // The timeout is the interval of announcements.
        let _ = tokio::time::timeout(announce_every, log.beyond(published)).await;
    }
}

async fn answer(log: &Log, question: Question) {
    let Some(PageQuestion { after, epochs, follower }) = unpack(&question.body) else {
        tracing::debug!(source = log.source(), "an undecodable question was ignored");
        return;
    };
    match log.page(&after, &epochs) {
        Ok(page) => {
            match (&follower, &page) {
                (Some(follower), PageAnswer::Events { .. }) => {
                    log.note_follower(follower, after.seq);
                }
                (Some(follower), _) => log.cursors.forget(follower),
                (None, _) => {}
            }
            (question.reply)(pack(&page)).await;
        }
        Err(error) => tracing::error!(%error, source = log.source(), "the log is unreadable"),
    }
}

async fn answer_with_state(log: &Log, question: Question) {
    let Some(StateQuestion { place }) = unpack(&question.body) else {
        tracing::debug!(source = log.source(), "an undecodable question was ignored");
        return;
    };
    match log
        .state_page(place.as_ref().map(|place| place.as_slice()))
        .await
    {
        Ok(Some(page)) => (question.reply)(pack(&page)).await,
        // The service is opening; the follower asks again.
        Ok(None) => {}
        Err(error) => tracing::error!(%error, source = log.source(), "the state is unreadable"),
    }
}
