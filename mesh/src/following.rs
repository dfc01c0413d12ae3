//! [`Following`]: the handle of a running follower, for its state, catching up and dead
//! letters.

use std::time::Duration;

use store::Store;
use tokio::sync::{oneshot, watch};

use crate::cursor::{self, FollowerId};
use crate::{DeadLetter, Mark, Refusal, dead_letters};

/// The state of a follower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowerState {
    /// The source has not answered since this process started.
    Waiting {
        /// The last event applied.
        cursor: Mark,
    },
    /// The source has answered; the follower may lag behind its tail.
    Following {
        /// The last event applied.
        cursor: Mark,
        /// The last known end of the source's log.
        tail: Mark,
    },
    /// The source no longer has the history that was applied; nothing more is applied.
    Stopped {
        /// The cause and its remedy.
        why: String,
    },
}

impl FollowerState {
    /// Whether everything up to the known tail is applied.
    pub fn is_caught_up(&self) -> bool {
        matches!(self, Self::Following { cursor, tail } if cursor.seq >= tail.seq)
    }
}

/// Why a follower stops whose source has another history, and what to do.
pub(crate) fn diverged(source: &str, cursor: Mark, tail: Mark) -> String {
    format!(
        "{source} was rolled back or replaced: its log has no event {} as this service applied it (it ends at {}). \
         Nothing more of it is applied. Restore the newer data of {source}, or go on without it: `konbini accept-rollback {source}`",
        cursor.seq, tail.seq,
    )
}

/// Why a follower stops whose next events were trimmed, and what to do.
pub(crate) fn trimmed(source: &str, cursor: Mark, beginning: Mark) -> String {
    format!(
        "{source} has trimmed the events after {}, which this service has not applied (its log begins at {}). \
         Nothing more of it is applied. Restore newer data of this service from a backup",
        cursor.seq,
        beginning.seq + 1,
    )
}

/// A request to the running follower.
pub(crate) enum Command {
    CatchUp(oneshot::Sender<bool>),
    Retry(u64, oneshot::Sender<Result<(), Refusal>>),
    Discard(u64, oneshot::Sender<Result<(), Refusal>>),
    Hold(HoldRequest),
    /// Does nothing, so that an idle follower makes a step.
    Wake,
}

/// A request to apply nothing until it is released.
pub(crate) struct HoldRequest {
    /// Answered once nothing more is applied.
    pub(crate) held: oneshot::Sender<()>,
    /// Resolves when it is released.
    pub(crate) released: oneshot::Receiver<()>,
}

/// The longest that a follower is held, for a copy of several services of one moment. What
/// the shop promises within seconds, such as the answer to an order, must still be kept.
pub const HOLD_MAX: Duration = Duration::from_secs(2);

/// A follower that applies nothing. It goes on when this is dropped, and after [`HOLD_MAX`].
pub struct Hold(oneshot::Sender<()>);

impl Hold {
    /// Ends it. Returns whether it lasted until now.
    pub fn release(self) -> bool {
        self.0.send(()).is_ok()
    }
}

/// A running follower.
#[derive(Clone)]
pub struct Following {
    pub(crate) source: &'static str,
    pub(crate) id: FollowerId,
    pub(crate) store: Store,
    pub(crate) commands: flume::Sender<Command>,
    pub(crate) state: watch::Receiver<FollowerState>,
    pub(crate) steps: watch::Receiver<()>,
}

impl Following {
    /// The service followed.
    pub fn source(&self) -> &'static str {
        self.source
    }

    /// The follower's name: a store can follow a source for several purposes.
    pub fn name(&self) -> &str {
        self.id.name()
    }

    /// The present state.
    pub fn state(&self) -> FollowerState {
        self.state.borrow().clone()
    }

    /// The sequence number of the last event whose effect is visible in the store.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn applied(&self) -> Result<u64, store::Error> {
        Ok(cursor::read(&self.store, &self.id)?.seq)
    }

    /// The last event whose effect is visible in the store.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn cursor(&self) -> Result<Mark, store::Error> {
        cursor::read(&self.store, &self.id)
    }

    /// Applies everything that is in the source's log now, for a caller that misses a row
    /// which another service may just have created. Returns `false` when that did not
    /// succeed within `timeout`.
    pub async fn catch_up(&self, timeout: Duration) -> bool {
        let (done, answer) = oneshot::channel();
        if self.commands.try_send(Command::CatchUp(done)).is_err() {
            return false;
        }
        matches!(tokio::time::timeout(timeout, answer).await, Ok(Ok(true)))
    }

    /// Holds the follower: it applies nothing more until the hold ends, so its cursor stays
    /// where it is. `None` if it did not answer within [`HOLD_MAX`], for example because it
    /// catches up with many events.
    pub async fn hold(&self) -> Option<Hold> {
        let (held, answer) = oneshot::channel();
        let (release, released) = oneshot::channel();
        let request = HoldRequest { held, released };
        self.commands.try_send(Command::Hold(request)).ok()?;
        let answered = tokio::time::timeout(HOLD_MAX, answer).await;
        matches!(answered, Ok(Ok(()))).then_some(Hold(release))
    }

    /// Resolves once the follower has made a step since the call, such as a page applied or
    /// a command done; never while it is stuck or after it has ended: for a watchdog.
    pub async fn progress(&self) {
        let mut steps = self.steps.clone();
        steps.mark_unchanged();
        // A full queue means that there are steps to make.
        let _ = self.commands.try_send(Command::Wake);
        if steps.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The dead letters, oldest first, at most `count_max`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn dead_letters(&self, count_max: usize) -> Result<Vec<DeadLetter>, store::Error> {
        dead_letters::list(&self.store, &self.id, count_max)
    }

    /// Whether event `seq` of the source is a dead letter.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn is_dead_letter(&self, seq: u64) -> Result<bool, store::Error> {
        dead_letters::contains(&self.store, &self.id, seq)
    }

    /// Applies the dead letters with the key of event `seq` again, oldest first, until one
    /// is refused again.
    ///
    /// # Errors
    /// When the oldest is refused again, there is no such dead letter, or the follower
    /// has ended.
    pub async fn retry(&self, seq: u64) -> Result<(), Refusal> {
        self.command(|done| Command::Retry(seq, done)).await
    }

    /// Discards a dead letter.
    ///
    /// # Errors
    /// When there is no such dead letter, or the follower has ended.
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
