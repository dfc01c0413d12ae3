//! What a follower does with events inside a transaction: apply, park, retry.
//!
//! **Invariants:** the cursor and every effect of a page are one transaction; a
//! handler that refuses, or panics, leaves none of its writes; an event whose key
//! has something parked is parked behind it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use store::{Read, Store, Table, Tx};

use crate::{DeadLetter, Event, Mark, Recorded, dead_letters};
use model::now;

/// lane (`follower/source`) → the last event whose effect is in this store.
const CURSORS: Table<String, Mark> = Table::new("cursors");

/// Why a handler did not take an event.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It never will: the event is parked and the rest flows on.
    #[error("{0}")]
    Never(String),
    /// Not now: tried again for as long as it lasts.
    #[error(transparent)]
    Later(#[from] store::Error),
}

pub(crate) type Handler = dyn Fn(&mut Tx<'_>, &Event) -> Result<(), Refusal> + Send + Sync;

/// Whether the log has to be asked after some events were looked at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Wait,
    Ask,
}

/// The last event whose effect is in `store`.
pub(crate) fn cursor(store: &Store, lane: &str) -> Result<Mark, store::Error> {
    Ok(store.get(CURSORS, &lane.to_owned())?.unwrap_or_default())
}

/// Applies, in order, the events that continue the stored cursor.
pub(crate) fn apply_page(
    tx: &mut Tx<'_>,
    lane: &str,
    events: &[Recorded],
    handler: &Handler,
    parks: bool,
) -> Result<(Mark, Next), store::Error> {
    let mut cursor = tx.get(CURSORS, &lane.to_owned())?.unwrap_or_default();
    let mut next = Next::Wait;
    // Nearly always nothing is, and then no event is asked for its key.
    let mut any_dead_letter = dead_letters::any(tx, lane)?;
    for recorded in events {
        if recorded.seq <= cursor.seq {
            continue;
        }
        if !recorded.continues(&cursor) {
            next = Next::Ask;
            break;
        }
        let taken = if any_dead_letter {
            take_in(tx, lane, recorded, handler)
        } else {
            handle(tx, recorded, handler)
        };
        match taken {
            Ok(()) => {}
            Err(Refusal::Never(reason)) if parks => {
                park(tx, lane, recorded, reason)?;
                any_dead_letter = true;
            }
            Err(reason) => {
                tracing::error!(
                    lane,
                    seq = recorded.seq,
                    %reason,
                    "an event that must not be passed over is refused; trying again"
                );
                next = Next::Ask;
                break;
            }
        }
        cursor = recorded.mark();
    }
    tx.put(CURSORS, &lane.to_owned(), &cursor)?;
    Ok((cursor, next))
}

fn take_in(
    tx: &mut Tx<'_>,
    lane: &str,
    recorded: &Recorded,
    handler: &Handler,
) -> Result<(), Refusal> {
    if dead_letters::holds(tx, lane, &Event::key_of(&recorded.body))? {
        return Err(Refusal::Never(
            "an earlier event of its key is parked".into(),
        ));
    }
    handle(tx, recorded, handler)
}

/// Runs the handler so that a refusal, or a panic, leaves none of its writes.
fn handle(tx: &mut Tx<'_>, recorded: &Recorded, handler: &Handler) -> Result<(), Refusal> {
    let event = Event::decode(&recorded.body).map_err(Refusal::Never)?;
    tx.attempt(|tx| {
        catch_unwind(AssertUnwindSafe(|| handler(tx, &event)))
            .unwrap_or_else(|_| Err(Refusal::Never("its handler panicked".into())))
    })
    .map_err(|refusal| match refusal {
        // No later try makes it smaller.
        Refusal::Later(error @ store::Error::TooLarge { .. }) => Refusal::Never(error.to_string()),
        refusal => refusal,
    })
}

fn park(
    tx: &mut Tx<'_>,
    lane: &str,
    recorded: &Recorded,
    reason: String,
) -> Result<(), store::Error> {
    tracing::error!(lane, seq = recorded.seq, reason, "an event was parked");
    let key = Event::key_of(&recorded.body);
    let parked = DeadLetter { recorded: recorded.clone(), key, reason, at: now() };
    dead_letters::park(tx, lane, &parked)
}

/// Handles the parked events of the key of the one at `seq` again, oldest first.
/// What was handled before one is refused stays handled.
pub(crate) fn retry_dead_letter(
    tx: &mut Tx<'_>,
    lane: &str,
    seq: u64,
    handler: &Handler,
) -> Result<(), Refusal> {
    let waiting = dead_letters::of_same_key(tx, lane, seq)?;
    if waiting.is_empty() {
        return Err(no_dead_letter(lane, seq));
    }
    for (place, parked) in waiting.iter().enumerate() {
        match handle(tx, &parked.recorded, handler) {
            Err(Refusal::Never(_)) if place > 0 => return Ok(()),
            handled => handled?,
        }
        dead_letters::release(tx, lane, parked)?;
    }
    Ok(())
}

/// Gives one parked event up, doing what is done `instead` of handling it. Nothing
/// keeps an event that is to go.
pub(crate) fn discard_dead_letter(
    tx: &mut Tx<'_>,
    lane: &str,
    seq: u64,
    instead: &Handler,
) -> Result<(), Refusal> {
    let waiting = dead_letters::of_same_key(tx, lane, seq)?;
    let parked = waiting.iter().find(|letter| letter.recorded.seq == seq);
    let parked = parked.ok_or_else(|| no_dead_letter(lane, seq))?;
    match handle(tx, &parked.recorded, instead) {
        Err(Refusal::Never(reason)) => {
            tracing::warn!(
                lane,
                seq,
                reason,
                "nothing was done in place of a discarded event"
            );
        }
        handled => handled?,
    }
    Ok(dead_letters::release(tx, lane, parked)?)
}

fn no_dead_letter(lane: &str, seq: u64) -> Refusal {
    Refusal::Never(format!("nothing is parked at {lane}/{seq}"))
}
