//! Applies another service's log to one's own store, exactly once.
//!
//! A follower subscribes first, then asks the log from its cursor, then waits
//! for announcements. An event whose place is at or below the cursor is done; the one
//! right after it, in the same history, is applied; anything else means "ask the
//! log, never guess".
//!
//! **Invariants:** the cursor moves in the transaction that holds the effect. An
//! event is applied only if the running hash proves that it continues what was
//! applied before. A source that answers that it never showed our mark was
//! rolled back or replaced: it is followed no further, loudly, until it shows it
//! again.

use std::sync::Arc;
use std::time::Duration;

use store::{Store, Tx};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::apply::{Handler, Next, apply_page, cursor, discard_dead_letter, retry_dead_letter};
use crate::page::{Announcement, PAGE_EVENTS_MAX, PageAnswer, PageQuestion, pack, unpack};
use crate::{
    DeadLetter, Event, Mark, Mesh, Recorded, Refusal, Subscription, TransportError, dead_letters,
};

/// How long one question to a source may take before it counts as absent.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// How often a follower asks although nothing rang.
const POLL_EVERY: Duration = Duration::from_secs(5);

/// Pauses between tries while a source is absent or a write failed.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// How many callers may wait for a catch-up at once.
const COMMANDS_MAX: usize = 256;

/// One follower of one source, not yet started.
pub struct Follower {
    /// Names its cursor, so that one store can follow a source for two purposes.
    pub name: &'static str,
    /// The service whose log it follows.
    pub source: &'static str,
    /// Where effects and cursor are kept.
    pub store: Store,
    /// Where the source is heard.
    pub mesh: Mesh,
    /// Applies an event in the transaction it is given. Called once per event
    /// whose effect lasts; it may be called again for one whose effect did not.
    pub handler: Arc<Handler>,
    /// What is done, in the same transaction, when an operator gives a parked event
    /// up: for whoever waits for word of it. Usually nothing.
    pub instead: Arc<Handler>,
    /// Whether refused events are parked. Keys and revocations never are: they
    /// are retried, since passing over one would open a door.
    pub parks: bool,
    /// How often to ask although nothing rang; tests hurry.
    pub poll_every: Duration,
}

impl Follower {
    /// A follower with the usual rhythm that parks what it cannot handle.
    pub fn new(
        name: &'static str,
        source: &'static str,
        store: Store,
        mesh: Mesh,
        handler: impl Fn(&mut Tx<'_>, &Event) -> Result<(), Refusal> + Send + Sync + 'static,
    ) -> Self {
        let handler = Arc::new(handler);
        Self {
            name,
            source,
            store,
            mesh,
            handler,
            instead: Arc::new(|_, _| Ok(())),
            parks: true,
            poll_every: POLL_EVERY,
        }
    }

    /// Subscribes, then follows on `tasks` until `stop`.
    ///
    /// # Errors
    /// When the transport refuses the subscription or the store the cursor.
    pub async fn start(
        self,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Following, TransportError> {
        let topic = self.mesh.topic("events", self.source);
        let announcements = self.mesh.transport().subscribe(&topic).await?;
        let lane: Arc<str> = format!("{}/{}", self.name, self.source).into();
        let cursor =
            cursor(&self.store, &lane).map_err(|error| TransportError(error.to_string()))?;
        let (commands, inbox) = flume::bounded(COMMANDS_MAX);
        let (state, seen) = watch::channel(FollowerState::Waiting { cursor });
        let (source, store) = (self.source, self.store.clone());
        let following = Following { source, lane: lane.clone(), store, commands, state: seen };
        let run = Run { follower: self, lane, cursor, state };
        tasks.spawn(async move {
            stop.run_until_cancelled(run.run(announcements, inbox))
                .await;
        });
        Ok(following)
    }
}

/// How a follower stands to its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowerState {
    /// The source has not answered since this process started.
    Waiting {
        /// The last event applied.
        cursor: Mark,
    },
    /// It has; there may be a lag.
    Following {
        /// The last event applied.
        cursor: Mark,
        /// Where the source last said its log ends.
        tail: Mark,
    },
    /// The source no longer shows what was applied; nothing of it is believed.
    Stopped {
        /// What happened and what resolves it.
        why: String,
    },
}

impl FollowerState {
    /// Whether everything the source has told of is applied.
    pub fn is_caught_up(&self) -> bool {
        matches!(self, Self::Following { cursor, tail } if cursor.seq >= tail.seq)
    }
}

enum Command {
    CatchUp(oneshot::Sender<bool>),
    Retry(u64, oneshot::Sender<Result<(), Refusal>>),
    Discard(u64, oneshot::Sender<Result<(), Refusal>>),
}

/// A running follower.
#[derive(Clone)]
pub struct Following {
    source: &'static str,
    lane: Arc<str>,
    store: Store,
    commands: flume::Sender<Command>,
    state: watch::Receiver<FollowerState>,
}

impl Following {
    /// The service followed.
    pub fn source(&self) -> &'static str {
        self.source
    }

    /// What it is called, so that one store can follow a source for two purposes.
    pub fn name(&self) -> &str {
        self.lane.split('/').next().unwrap_or("")
    }

    /// How it stands now.
    pub fn state(&self) -> FollowerState {
        self.state.borrow().clone()
    }

    /// The place of the last event whose effect readers of the store see.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn applied(&self) -> Result<u64, store::Error> {
        Ok(cursor(&self.store, &self.lane)?.seq)
    }

    /// Applies everything that was in the source's log when this was called:
    /// before refusing for want of something just made elsewhere. `false` when
    /// that did not succeed within `timeout`.
    pub async fn catch_up(&self, timeout: Duration) -> bool {
        let (done, answer) = oneshot::channel();
        if self.commands.try_send(Command::CatchUp(done)).is_err() {
            return false;
        }
        matches!(tokio::time::timeout(timeout, answer).await, Ok(Ok(true)))
    }

    /// What is parked, oldest first, at most `count_max` events.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn dead_letters(&self, count_max: usize) -> Result<Vec<DeadLetter>, store::Error> {
        dead_letters::list(&self.store, &self.lane, count_max)
    }

    /// Whether event `seq` of the source is parked.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn is_dead_letter(&self, seq: u64) -> Result<bool, store::Error> {
        dead_letters::contains(&self.store, &self.lane, seq)
    }

    /// Handles the parked events of the key of event `seq` again, oldest first,
    /// until one is refused again.
    ///
    /// # Errors
    /// Why the oldest was refused again, that nothing is parked there, or that
    /// the follower has ended.
    pub async fn retry(&self, seq: u64) -> Result<(), Refusal> {
        self.command(|done| Command::Retry(seq, done)).await
    }

    /// Gives a parked event up for good.
    ///
    /// # Errors
    /// That nothing is parked there, or that the follower has ended.
    pub async fn discard(&self, seq: u64) -> Result<(), Refusal> {
        self.command(|done| Command::Discard(seq, done)).await
    }

    async fn command(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<(), Refusal>>) -> Command,
    ) -> Result<(), Refusal> {
        let ended = || Refusal::Never("the follower has ended".into());
        let (done, answer) = oneshot::channel();
        let sent = self.commands.send_async(command(done)).await;
        sent.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

struct Run {
    follower: Follower,
    lane: Arc<str>,
    cursor: Mark,
    state: watch::Sender<FollowerState>,
}

impl Run {
    /// Asks at once, then whenever something is missing, and now and then. While
    /// the source is absent, which it may be for as long as it likes, it is asked
    /// ever more rarely; commands and announcements are heard all the same.
    async fn run(mut self, announcements: Subscription<Vec<u8>>, inbox: flume::Receiver<Command>) {
        let (mut wait, mut pause) = (Duration::ZERO, RETRY.0);
        loop {
            let next = tokio::select! {
                // Commands first: somebody waits for them.
                biased;
                Ok(command) = inbox.recv_async() => {
                    self.obey(command, &inbox).await;
                    Next::Wait
                }
                Ok(announcement) = announcements.messages.recv_async() => self.hear(announcement, &announcements).await,
                () = tokio::time::sleep(wait) => Next::Ask,
            };
            if next == Next::Ask {
                (wait, pause) = match self.pull().await {
                    Some(_) => (self.follower.poll_every, RETRY.0),
                    None => (pause, (pause * 2).min(RETRY.1)),
                };
            }
        }
    }

    /// Takes in a announcement and whatever else rang meanwhile, in one transaction.
    async fn hear(&mut self, first: Vec<u8>, announcements: &Subscription<Vec<u8>>) -> Next {
        let queued = std::iter::once(first).chain(announcements.messages.try_iter());
        let announcements: Option<Vec<Announcement>> = queued
            .take(PAGE_EVENTS_MAX)
            .map(|message| unpack(&message))
            .collect();
        let Some(announcements) = announcements else {
            // One that this version cannot read still rang.
            return Next::Ask;
        };
        let tail = announcements
            .last()
            .map_or(self.cursor, |announcement| announcement.tail);
        let mut events: Vec<_> = announcements
            .into_iter()
            .flat_map(|announcement| announcement.events)
            .collect();
        events.sort_by_key(|event| event.seq);
        events.truncate(PAGE_EVENTS_MAX);
        let next = self.apply(events).await;
        if next == Next::Wait && tail == self.cursor {
            self.stand(tail);
            return Next::Wait;
        }
        Next::Ask
    }

    /// Does what was asked, and whatever else was asked meanwhile. All who wait for
    /// a catch-up share one; those who gave up waiting cost nothing.
    async fn obey(&mut self, first: Command, inbox: &flume::Receiver<Command>) {
        let mut catching_up = Vec::new();
        for command in std::iter::once(first).chain(inbox.drain()) {
            match command {
                Command::CatchUp(done) => catching_up.push(done),
                Command::Retry(seq, done) => {
                    let _ = done.send(self.retry(seq).await);
                }
                Command::Discard(seq, done) => {
                    let _ = done.send(self.discard(seq).await);
                }
            }
        }
        catching_up.retain(|done| !done.is_closed());
        if catching_up.is_empty() {
            return;
        }
        let caught_up = self.pull().await.is_some_and(|caught_up| caught_up);
        for done in catching_up {
            let _ = done.send(caught_up);
        }
    }

    /// Applies pages until the log's end. `None`: no answer, or nothing could be
    /// written; `Some(false)`: the source is not the one that was followed.
    async fn pull(&mut self) -> Option<bool> {
        let topic = self.follower.mesh.topic("log", self.follower.source);
        loop {
            let question = pack(&PageQuestion { after: self.cursor });
            let transport = self.follower.mesh.transport();
            let answer = transport.ask(&topic, question, ASK_TIMEOUT).await?;
            match unpack(&answer)? {
                PageAnswer::Diverged { tail } => {
                    self.stop_following(tail);
                    return Some(false);
                }
                PageAnswer::Events { events, tail } => {
                    let before = self.cursor;
                    // It shows our mark (again): whatever stopped us is over.
                    self.stand(tail);
                    self.apply(events).await;
                    self.stand(tail);
                    if self.cursor.seq >= tail.seq {
                        return Some(true);
                    }
                    if self.cursor == before {
                        return None;
                    }
                }
            }
        }
    }

    /// Applies what continues the cursor, in one transaction.
    async fn apply(&mut self, events: Vec<Recorded>) -> Next {
        let done = self.cursor.seq;
        if matches!(&*self.state.borrow(), FollowerState::Stopped { .. }) {
            return Next::Ask;
        }
        if events.iter().all(|event| event.seq <= done) {
            return Next::Wait;
        }
        let (lane, handler) = (self.lane.clone(), self.follower.handler.clone());
        let parks = self.follower.parks;
        let outcome = self
            .follower
            .store
            .write_when_free(move |tx| apply_page(tx, &lane, &events, &*handler, parks))
            .await;
        match outcome {
            Ok((cursor, next)) => {
                self.cursor = cursor;
                next
            }
            Err(error) => {
                tracing::warn!(%error, lane = %self.lane, "events not applied; trying again");
                Next::Ask
            }
        }
    }

    async fn retry(&self, seq: u64) -> Result<(), Refusal> {
        let (lane, handler) = (self.lane.clone(), self.follower.handler.clone());
        let store = &self.follower.store;
        store
            .write_when_free(move |tx| retry_dead_letter(tx, &lane, seq, &*handler))
            .await
    }

    async fn discard(&self, seq: u64) -> Result<(), Refusal> {
        let (lane, instead) = (self.lane.clone(), self.follower.instead.clone());
        let store = &self.follower.store;
        store
            .write_when_free(move |tx| discard_dead_letter(tx, &lane, seq, &*instead))
            .await
    }

    fn stand(&self, tail: Mark) {
        let cursor = self.cursor;
        let state = FollowerState::Following { cursor, tail };
        self.state.send_if_modified(|before| {
            let changed = *before != state;
            *before = state;
            changed
        });
    }

    fn stop_following(&self, tail: Mark) {
        let why = format!(
            "{} was rolled back or replaced: it no longer shows event {} as this service saw it (its log ends at {}). \
             Nothing more of it is applied. Bring back the newer data of {}, or restore this service's data from the same backup",
            self.follower.source, self.cursor.seq, tail.seq, self.follower.source,
        );
        let changed = self.state.send_if_modified(|state| {
            let stopped = FollowerState::Stopped { why: why.clone() };
            let changed = *state != stopped;
            *state = stopped;
            changed
        });
        if changed {
            tracing::error!(lane = %self.lane, "{why}");
        }
    }
}
