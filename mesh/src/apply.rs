//! Applying events inside a transaction: a page of the log, or dead letters again.
//!
//! **Invariants:** the cursor and every effect of a page are one transaction; a handler
//! that refuses, or panics, leaves none of its writes; an event whose key has a dead
//! letter becomes one behind it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use model::now;
use store::Tx;

use crate::cursor::{self, FollowerId, TakingState};
use crate::protocol::StateAnswer;
use crate::{DeadLetter, Event, Mark, Recorded, dead_letters};

/// The reason why a handler did not apply an event.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A permanent failure: the event becomes a dead letter, and later ones are applied.
    #[error("{0}")]
    Never(String),
    /// A temporary failure: the event is retried until it succeeds.
    #[error(transparent)]
    Later(#[from] store::Error),
}

/// The treatment of an event that its handler refuses for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnRefusal {
    /// It becomes a dead letter.
    DeadLetter,
    /// It is retried: for keys and revocations, which must not be skipped.
    Retry,
}

pub(crate) type EventHandler = dyn Fn(&mut Tx<'_>, &Event) -> Result<(), Refusal> + Send + Sync;

/// Whether to ask the log for more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Wait,
    Ask,
}

/// What the application of a page left.
pub(crate) struct Applied {
    pub(crate) cursor: Mark,
    /// The epoch of the last event applied so far, if it is known.
    pub(crate) epoch: Option<u64>,
    pub(crate) next: Next,
}

/// Applies, in order, the events that continue the stored cursor. `epoch` is that of the last
/// event applied before, if it is known.
pub(crate) fn apply_page(
    tx: &mut Tx<'_>,
    follower: &FollowerId,
    epoch: Option<u64>,
    events: &[Recorded],
    handler: &EventHandler,
    on_refusal: OnRefusal,
) -> Result<Applied, store::Error> {
    let mut cursor = cursor::read(tx, follower)?;
    let before = cursor.seq;
    let mut next = Next::Wait;
    // Usually there are none, and then no event is decoded for its key.
    let mut any_dead_letter = dead_letters::any(tx, follower)?;
    for recorded in events {
        if recorded.seq <= cursor.seq {
            continue;
        }
        if !recorded.continues(&cursor) {
            next = Next::Ask;
            break;
        }
        let applied = if any_dead_letter && has_dead_key(tx, follower, recorded)? {
            Err(Refusal::Never(
                "an earlier event of its key is a dead letter".into(),
            ))
        } else {
            handle(tx, &recorded.body, handler)
        };
        match applied {
            Ok(()) => {}
            Err(Refusal::Never(reason)) if on_refusal == OnRefusal::DeadLetter => {
                set_aside(tx, follower, recorded, reason)?;
                any_dead_letter = true;
            }
            Err(reason) => {
                tracing::error!(
                    %follower,
                    seq = recorded.seq,
                    %reason,
                    "an event that must not be passed over was refused; trying again"
                );
                next = Next::Ask;
                break;
            }
        }
        cursor = recorded.mark();
    }
    let is_applied = |recorded: &&Recorded| before < recorded.seq && recorded.seq <= cursor.seq;
    let last = events.iter().rev().find(is_applied);
    let newest = last.map_or(epoch, |last| Event::epoch_of(&last.body));
    if newest != epoch {
        let applied: Vec<_> = events.iter().filter(is_applied).collect();
        cursor::write_epochs(tx, follower, &applied)?;
    }
    cursor::write(tx, follower, &cursor)?;
    Ok(Applied { cursor, epoch: newest, next })
}

/// Applies a page of a source's state; the last one moves the cursor to where the first was
/// read. Returns that place.
pub(crate) fn apply_state(
    tx: &mut Tx<'_>,
    follower: &FollowerId,
    page: &StateAnswer,
    handler: &EventHandler,
) -> Result<Mark, Refusal> {
    let StateAnswer { mark, epoch, events, next } = page;
    let begun = cursor::begin_state(tx, follower, TakingState { mark: *mark, epoch: *epoch })?;
    for body in events {
        handle(tx, body, handler)?;
    }
    if next.is_none() {
        cursor::end_state(tx, follower, &begun)?;
    }
    Ok(begun.mark)
}

/// Moves the cursor back to where a rolled-back source goes on. Dead letters of the events
/// that it lost are discarded: the log has other events in their places.
pub(crate) fn rewind(
    tx: &mut Tx<'_>,
    follower: &FollowerId,
    fork: &Mark,
) -> Result<(), store::Error> {
    for letter in dead_letters::list(tx, follower, usize::MAX)? {
        if letter.recorded.seq > fork.seq {
            dead_letters::remove(tx, follower, &letter)?;
        }
    }
    cursor::forget_epochs_after(tx, follower, fork.seq)?;
    cursor::write(tx, follower, fork)
}

fn has_dead_key(
    tx: &Tx<'_>,
    follower: &FollowerId,
    recorded: &Recorded,
) -> Result<bool, store::Error> {
    dead_letters::has_key(tx, follower, &Event::key_of(&recorded.body))
}

/// Runs the handler so that a refusal, or a panic, leaves none of its writes.
fn handle(tx: &mut Tx<'_>, body: &[u8], handler: &EventHandler) -> Result<(), Refusal> {
    let event = Event::decode(body).map_err(Refusal::Never)?;
    tx.attempt(|tx| {
        catch_unwind(AssertUnwindSafe(|| handler(tx, &event)))
            .unwrap_or_else(|_| Err(Refusal::Never("its handler panicked".into())))
    })
    .map_err(|refusal| match refusal {
        // A retry would not make it smaller.
        Refusal::Later(error @ store::Error::TooLarge { .. }) => Refusal::Never(error.to_string()),
        refusal => refusal,
    })
}

fn set_aside(
    tx: &mut Tx<'_>,
    follower: &FollowerId,
    recorded: &Recorded,
    reason: String,
) -> Result<(), store::Error> {
    tracing::error!(%follower, seq = recorded.seq, reason, "an event became a dead letter");
    let key = Event::key_of(&recorded.body);
    let letter = DeadLetter { recorded: recorded.clone(), key, reason, at: now() };
    dead_letters::add(tx, follower, &letter)
}

/// Applies the dead letters with the key of the one at `seq` again, oldest first. Those
/// before one that is refused again stay applied.
pub(crate) fn retry_dead_letter(
    tx: &mut Tx<'_>,
    follower: &FollowerId,
    seq: u64,
    handler: &EventHandler,
) -> Result<(), Refusal> {
    let letters = dead_letters::of_same_key(tx, follower, seq)?;
    if letters.is_empty() {
        return Err(no_dead_letter(follower, seq));
    }
    for (index, letter) in letters.iter().enumerate() {
        match handle(tx, &letter.recorded.body, handler) {
            Err(Refusal::Never(_)) if index > 0 => return Ok(()),
            handled => handled?,
        }
        dead_letters::remove(tx, follower, letter)?;
    }
    Ok(())
}

/// Discards a dead letter and runs `instead` in place of its handler. A refusal of
/// `instead` is logged and does not keep the dead letter.
pub(crate) fn discard_dead_letter(
    tx: &mut Tx<'_>,
    follower: &FollowerId,
    seq: u64,
    instead: &EventHandler,
) -> Result<(), Refusal> {
    let letters = dead_letters::of_same_key(tx, follower, seq)?;
    let letter = letters.iter().find(|letter| letter.recorded.seq == seq);
    let letter = letter.ok_or_else(|| no_dead_letter(follower, seq))?;
    match handle(tx, &letter.recorded.body, instead) {
        Err(Refusal::Never(reason)) => {
            tracing::warn!(%follower, seq, reason, "nothing was done in place of a discarded event");
        }
        handled => handled?,
    }
    Ok(dead_letters::remove(tx, follower, letter)?)
}

fn no_dead_letter(follower: &FollowerId, seq: u64) -> Refusal {
    Refusal::Never(format!("{follower} has no dead letter {seq}"))
}
