//! A follower applies another service's log to its own store, exactly once.
//!
//! It subscribes first, then asks the log from its cursor, then waits for announcements.
//! An event at or below the cursor is already applied; the one right after it, in the
//! same history, is applied; in every other case the follower asks the log.
//!
//! **Invariants:** the cursor moves in the transaction of the effect. An event is applied
//! only if the running hash proves that it continues what was applied before. A source
//! that does not have the follower's mark was rolled back or replaced: it is followed no
//! further, and an error is logged, until it has the mark again, or an operator accepted
//! the rollback and it says where to go on.

use std::sync::Arc;
use std::time::Duration;

use store::{Store, Tx};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::apply::{
    Applied, EventHandler, Next, apply_page, apply_state, discard_dead_letter, retry_dead_letter,
    rewind,
};
use crate::cursor::{self, FollowerId};
use crate::following::{self, Command, HOLD_MAX, HoldRequest};
use crate::protocol::{
    Announcement, PAGE_EVENTS_MAX, PageAnswer, PageQuestion, StateAnswer, StateQuestion, pack,
    unpack,
};
use crate::{
    Event, FollowerState, Following, Mark, Mesh, OnRefusal, Recorded, Refusal, Subscription,
    TransportError,
};

/// Timeout of a query, after which the source counts as absent.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// The interval at which a follower queries the log without an announcement.
const POLL_EVERY: Duration = Duration::from_secs(5);

/// Backoff while a source is absent or a write fails: the first pause and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// The most callers that wait for a catch-up.
const COMMANDS_MAX: usize = 256;

/// One follower of one source, not yet started.
pub struct Follower {
    /// Names its cursor: a store can follow a source for several purposes.
    pub name: &'static str,
    /// The service whose log it follows.
    pub source: &'static str,
    /// The service that follows, for which the source keeps its events; `None` if it need keep none.
    pub service: Option<&'static str>,
    /// The store of the effects and of the cursor.
    pub store: Store,
    /// The mesh of the source.
    pub mesh: Mesh,
    /// Applies an event in the transaction it is given. It is called once for each event
    /// whose transaction commits, and again for one whose transaction did not.
    pub handler: Arc<EventHandler>,
    /// Applies a fact of the source's present state, in place of events that were trimmed: the
    /// handler, unless that does more than keep it. Without it a new follower stops.
    pub state: Option<Arc<EventHandler>>,
    /// Runs, in the same transaction, when an operator discards a dead letter: for
    /// requests that wait for its effect. Usually it does nothing.
    pub instead: Arc<EventHandler>,
    /// The treatment of an event that is refused for good.
    pub on_refusal: OnRefusal,
    /// The interval of queries without an announcement; tests shorten it.
    pub poll_every: Duration,
}

impl Follower {
    /// A follower with the usual interval, whose refused events become dead letters.
    pub fn new(
        name: &'static str,
        source: &'static str,
        store: Store,
        mesh: Mesh,
        handler: impl Fn(&mut Tx<'_>, &Event) -> Result<(), Refusal> + Send + Sync + 'static,
    ) -> Self {
        let handler: Arc<EventHandler> = Arc::new(handler);
        Self {
            name,
            source,
            service: None,
            store,
            mesh,
            state: Some(handler.clone()),
            handler,
            instead: Arc::new(|_, _| Ok(())),
            on_refusal: OnRefusal::DeadLetter,
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
        let id = FollowerId::new(self.name, self.source);
        let cursor =
            cursor::read(&self.store, &id).map_err(|error| TransportError(error.to_string()))?;
        let (commands, inbox) = flume::bounded(COMMANDS_MAX);
        let (state, seen) = watch::channel(FollowerState::Waiting { cursor });
        let (step, steps) = watch::channel(());
        let (source, store) = (self.source, self.store.clone());
        let following = Following { source, id: id.clone(), store, commands, state: seen, steps };
        let run = Run { follower: self, id, cursor, epoch: None, state, step };
        tasks.spawn(async move {
            stop.run_until_cancelled(run.run(announcements, inbox))
                .await;
        });
        Ok(following)
    }
}

/// Where events come from.
enum Origin {
    /// They are new. A crash may take back what they did, since the source still has them.
    Announcement,
    /// They may be old: the source may trim what a follower that asks again has applied, so
    /// that is durable before.
    Log,
}

struct Run {
    follower: Follower,
    id: FollowerId,
    cursor: Mark,
    /// The epoch of the event at the cursor, if it is known.
    epoch: Option<u64>,
    state: watch::Sender<FollowerState>,
    /// Notified after each step, for [`Following::progress`].
    step: watch::Sender<()>,
}

impl Run {
    /// Asks the log at once, then whenever something is missing, and at intervals. While
    /// the source is absent the interval grows (backoff); commands and announcements are
    /// handled meanwhile.
    async fn run(mut self, announcements: Subscription<Vec<u8>>, inbox: flume::Receiver<Command>) {
        let (mut wait, mut pause) = (Duration::ZERO, BACKOFF.0);
        loop {
            let next = tokio::select! {
                // Commands first: a caller waits for them.
                biased;
                Ok(command) = inbox.recv_async() => {
                    self.on_command(command, &inbox).await;
                    Next::Wait
                }
                Ok(announcement) = announcements.messages.recv_async() => self.on_message(announcement, &announcements).await,
                () = tokio::time::sleep(wait) => Next::Ask,
            };
            if next == Next::Ask {
                (wait, pause) = match self.pull().await {
                    Some(_) => (self.follower.poll_every, BACKOFF.0),
                    None => (pause, (pause * 2).min(BACKOFF.1)),
                };
            }
            self.step.send_replace(());
        }
    }

    /// Applies an announcement and those queued behind it, in one transaction.
    async fn on_message(&mut self, first: Vec<u8>, announcements: &Subscription<Vec<u8>>) -> Next {
        let queued = std::iter::once(first).chain(announcements.messages.try_iter());
        let announcements: Option<Vec<Announcement>> = queued
            .take(PAGE_EVENTS_MAX)
            .map(|message| unpack(&message))
            .collect();
        let Some(announcements) = announcements else {
            // An announcement this version cannot decode still wakes the follower.
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
        let next = self.apply(events, Origin::Announcement).await;
        if next == Next::Wait && tail == self.cursor {
            self.set_following(tail);
            return Next::Wait;
        }
        Next::Ask
    }

    /// Runs a command and those queued behind it. All callers that wait for a catch-up
    /// share one; a caller that gave up costs nothing.
    async fn on_command(&mut self, first: Command, inbox: &flume::Receiver<Command>) {
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
                Command::Hold(HoldRequest { held, released }) => {
                    if held.send(()).is_ok() {
                        let _ = tokio::time::timeout(HOLD_MAX, released).await;
                    }
                }
                Command::Wake => {}
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

    /// Applies pages until the end of the log. `None` without a reply or when the store
    /// refuses; `Some(false)` when the source has another history.
    async fn pull(&mut self) -> Option<bool> {
        let topic = self.follower.mesh.topic("log", self.follower.source);
        let service = self.follower.service;
        let follower = service.map(|service| format!("{service}/{}", self.follower.name));
        loop {
            let epochs = cursor::read_epochs(&self.follower.store, &self.id).ok()?;
            let question =
                pack(&PageQuestion { after: self.cursor, epochs, follower: follower.clone() });
            let transport = self.follower.mesh.transport();
            let answer = transport.ask(&topic, question, ASK_TIMEOUT).await?;
            match unpack(&answer)? {
                PageAnswer::Diverged { tail: _, fork: Some(fork) } => self.rewind(fork).await?,
                PageAnswer::Diverged { tail, fork: None } => {
                    let source = self.follower.source;
                    self.stop_following(following::diverged(source, self.cursor, tail));
                    return Some(false);
                }
                PageAnswer::Trimmed { beginning } => match self.follower.state.clone() {
                    Some(handler) if self.cursor.seq == 0 => self.take_state(handler).await?,
                    _ => {
                        let source = self.follower.source;
                        self.stop_following(following::trimmed(source, self.cursor, beginning));
                        return Some(false);
                    }
                },
                PageAnswer::Events { events, tail } => {
                    let before = self.cursor;
                    // The source has our mark (again), so following goes on.
                    self.set_following(tail);
                    self.apply(events, Origin::Log).await;
                    self.set_following(tail);
                    self.step.send_replace(());
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

    /// Applies the source's present state. `None` without a reply or when the store refuses;
    /// then it begins anew, which does no harm.
    async fn take_state(&mut self, handler: Arc<EventHandler>) -> Option<()> {
        let source = self.follower.source;
        let topic = self.follower.mesh.topic("state", source);
        tracing::info!(follower = %self.id, "the beginning of the log was trimmed; taking the present state of {source}");
        let mut place = None;
        loop {
            let transport = self.follower.mesh.transport();
            let question = pack(&StateQuestion { place });
            let page: StateAnswer = unpack(&transport.ask(&topic, question, ASK_TIMEOUT).await?)?;
            place = page.next.clone();
            let (id, handler) = (self.id.clone(), handler.clone());
            let store = &self.follower.store;
            let applied = store
                .write_when_free(move |tx| apply_state(tx, &id, &page, &*handler))
                .await;
            self.step.send_replace(());
            match applied {
                Ok(mark) if place.is_none() => {
                    (self.cursor, self.epoch) = (mark, None);
                    return Some(());
                }
                Ok(_) => {}
                Err(reason) => {
                    tracing::error!(follower = %self.id, %reason, "the state was refused; trying again");
                    return None;
                }
            }
        }
    }

    /// Goes back to where a rolled-back source goes on. `None` when the store refuses.
    async fn rewind(&mut self, fork: Mark) -> Option<()> {
        let lost = self.cursor.seq - fork.seq;
        let id = self.id.clone();
        let store = &self.follower.store;
        let rewound = store
            .write_when_free(move |tx| rewind(tx, &id, &fork))
            .await;
        if let Err(error) = rewound {
            tracing::warn!(%error, follower = %self.id, "not rewound; trying again");
            return None;
        }
        (self.cursor, self.epoch) = (fork, None);
        tracing::warn!(
            follower = %self.id,
            lost,
            "{} was rolled back and that was accepted: {lost} events applied here are no longer in its log; going on from event {}",
            self.follower.source,
            fork.seq
        );
        Some(())
    }

    /// Applies the events that continue the cursor, in one transaction.
    async fn apply(&mut self, events: Vec<Recorded>, origin: Origin) -> Next {
        let done = self.cursor.seq;
        if matches!(&*self.state.borrow(), FollowerState::Stopped { .. }) {
            return Next::Ask;
        }
        if events.iter().all(|event| event.seq <= done) {
            return Next::Wait;
        }
        let (id, handler) = (self.id.clone(), self.follower.handler.clone());
        let (epoch, on_refusal) = (self.epoch, self.follower.on_refusal);
        let apply =
            move |tx: &mut Tx<'_>| apply_page(tx, &id, epoch, &events, &*handler, on_refusal);
        let store = &self.follower.store;
        let outcome = match origin {
            Origin::Announcement => store.write_deferred(apply).await,
            Origin::Log => store.write_when_free(apply).await,
        };
        match outcome {
            Ok(Applied { cursor, epoch, next }) => {
                (self.cursor, self.epoch) = (cursor, epoch);
                next
            }
            Err(error) => {
                tracing::warn!(%error, follower = %self.id, "events not applied; trying again");
                Next::Ask
            }
        }
    }

    async fn retry(&self, seq: u64) -> Result<(), Refusal> {
        let (id, handler) = (self.id.clone(), self.follower.handler.clone());
        let store = &self.follower.store;
        store
            .write_when_free(move |tx| retry_dead_letter(tx, &id, seq, &*handler))
            .await
    }

    async fn discard(&self, seq: u64) -> Result<(), Refusal> {
        let (id, instead) = (self.id.clone(), self.follower.instead.clone());
        let store = &self.follower.store;
        store
            .write_when_free(move |tx| discard_dead_letter(tx, &id, seq, &*instead))
            .await
    }

    fn set_following(&self, tail: Mark) {
        self.set_state(FollowerState::Following { cursor: self.cursor, tail });
    }

    /// Sets the state; returns whether it changed.
    fn set_state(&self, state: FollowerState) -> bool {
        self.state.send_if_modified(|before| {
            let changed = *before != state;
            *before = state;
            changed
        })
    }

    fn stop_following(&self, why: String) {
        if self.set_state(FollowerState::Stopped { why: why.clone() }) {
            tracing::error!(follower = %self.id, "{why}");
        }
    }
}
