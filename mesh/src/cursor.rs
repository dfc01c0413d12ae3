//! Cursors: how far each follower has applied its source's log.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use store::{Read, Table, Tx};

use crate::{Event, Mark, Recorded};

/// The table of cursors.
pub(crate) const TABLE: &str = "cursors";

/// Follower → the last event whose effect is in this store.
const CURSORS: Table<String, Mark> = Table::new(TABLE);

/// (follower, seq) → the epoch that was applied from that event on.
const EPOCHS: Table<(String, u64), u64> = Table::new("cursor_epochs");

/// Follower → where it goes on once it has applied all of a source's state.
const STATES: Table<String, TakingState> = Table::new("cursor_states");

/// The epochs that are kept, one a start of the source.
const EPOCHS_MAX: usize = 64;

/// A follower that takes the present state of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TakingState {
    /// The log's end before the first page was read, also by an attempt that was cut off:
    /// what was removed since is among the events after it.
    pub(crate) mark: Mark,
    /// The epoch of the event there.
    pub(crate) epoch: Option<u64>,
}

impl store::Record for TakingState {}

/// Names one follower of one source, `main/orders`: a store can follow a source for
/// several purposes.
#[derive(Debug, Clone)]
pub(crate) struct FollowerId(Arc<str>);

impl FollowerId {
    pub(crate) fn new(name: &str, source: &str) -> Self {
        Self(format!("{name}/{source}").into())
    }

    /// The follower's name, without its source.
    pub(crate) fn name(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }

    /// The id as a key, or the first part of one.
    pub(crate) fn key(&self) -> String {
        self.0.to_string()
    }
}

impl fmt::Display for FollowerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The last event whose effect is in the store.
pub(crate) fn read(from: &impl Read, follower: &FollowerId) -> Result<Mark, store::Error> {
    Ok(from.get(CURSORS, &follower.key())?.unwrap_or_default())
}

/// Moves the cursor, in the transaction of the effect.
pub(crate) fn write(
    tx: &mut Tx<'_>,
    follower: &FollowerId,
    cursor: &Mark,
) -> Result<(), store::Error> {
    tx.put(CURSORS, &follower.key(), cursor)
}

/// Begins to take a source's state, or goes on with it; returns where the first page was read.
pub(crate) fn begin_state(
    tx: &mut Tx<'_>,
    follower: &FollowerId,
    page: TakingState,
) -> Result<TakingState, store::Error> {
    if let Some(begun) = tx.get(STATES, &follower.key())? {
        return Ok(begun);
    }
    tx.put(STATES, &follower.key(), &page)?;
    Ok(page)
}

/// Moves the cursor to where a state was taken from.
pub(crate) fn end_state(
    tx: &mut Tx<'_>,
    follower: &FollowerId,
    begun: &TakingState,
) -> Result<(), store::Error> {
    tx.delete(STATES, &follower.key())?;
    if let Some(epoch) = begun.epoch {
        tx.put(EPOCHS, &(follower.key(), begun.mark.seq), &epoch)?;
    }
    write(tx, follower, &begun.mark)
}

/// The epochs of the events applied, the newest first.
pub(crate) fn read_epochs(
    from: &impl Read,
    follower: &FollowerId,
) -> Result<Vec<u64>, store::Error> {
    let rows = from.scan(EPOCHS.prefix(&follower.key()).newest_first())?;
    rows.map(|row| row.map(|(_, epoch)| epoch)).collect()
}

/// Keeps the epochs of the events applied, in the transaction of their effects.
pub(crate) fn write_epochs(
    tx: &mut Tx<'_>,
    follower: &FollowerId,
    applied: &[&Recorded],
) -> Result<(), store::Error> {
    let span = || EPOCHS.prefix(&follower.key());
    let newest = tx.scan(span().newest_first())?.next().transpose()?;
    let mut newest = newest.map(|(_, epoch)| epoch);
    for recorded in applied {
        let epoch = Event::epoch_of(&recorded.body);
        if let Some(epoch) = epoch.filter(|_| epoch != newest) {
            tx.put(EPOCHS, &(follower.key(), recorded.seq), &epoch)?;
        }
        newest = epoch.or(newest);
    }
    let kept: Vec<_> = tx.scan(span())?.collect::<Result<_, _>>()?;
    let superfluous = kept.len().saturating_sub(EPOCHS_MAX);
    for (key, _) in kept.into_iter().take(superfluous) {
        tx.delete(EPOCHS, &key)?;
    }
    Ok(())
}

/// Forgets the epochs that began after event `seq`.
pub(crate) fn forget_epochs_after(
    tx: &mut Tx<'_>,
    follower: &FollowerId,
    seq: u64,
) -> Result<(), store::Error> {
    let kept: Vec<_> = tx
        .scan(EPOCHS.prefix(&follower.key()))?
        .collect::<Result<_, _>>()?;
    for (key, _) in kept.into_iter().filter(|((_, first), _)| *first > seq) {
        tx.delete(EPOCHS, &key)?;
    }
    Ok(())
}
