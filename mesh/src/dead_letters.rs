//! Events whose handler refused them for good, set aside so that the rest flows.
//!
//! **Invariant:** events of one key are handled in order. While one of them is
//! parked, later ones of the same key are parked behind it.

use serde::{Deserialize, Serialize};
use store::{Read, Table, Tx};

use crate::Recorded;
use model::Time;

/// (lane, seq) → the event and why. A lane is one follower of one source.
const DEAD_LETTERS: Table<(String, u64), DeadLetter> = Table::new("parked");
/// (lane, key) → how many events of that key are parked.
const KEYS: Table<(String, String), u64> = Table::new("parked_keys");

/// An event that waits for an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The event as it came.
    pub recorded: Recorded,
    /// What it is ordered by.
    pub key: String,
    /// Why it could not be handled.
    pub reason: String,
    /// When it was set aside.
    pub at: Time,
}

impl store::Record for DeadLetter {}

/// Whether anything is parked in a lane.
pub(crate) fn any(from: &impl Read, lane: &str) -> Result<bool, store::Error> {
    Ok(!list(from, lane, 1)?.is_empty())
}

/// Whether event `seq` is parked in a lane.
pub(crate) fn contains(from: &impl Read, lane: &str, seq: u64) -> Result<bool, store::Error> {
    from.contains(DEAD_LETTERS, &(lane.to_owned(), seq))
}

/// Whether an earlier event of `key` is parked.
pub(crate) fn holds(tx: &Tx<'_>, lane: &str, key: &str) -> Result<bool, store::Error> {
    tx.contains(KEYS, &(lane.to_owned(), key.to_owned()))
}

pub(crate) fn park(tx: &mut Tx<'_>, lane: &str, parked: &DeadLetter) -> Result<(), store::Error> {
    let key = (lane.to_owned(), parked.key.clone());
    let count = tx.get(KEYS, &key)?.unwrap_or(0);
    tx.put(KEYS, &key, &(count + 1))?;
    tx.put(
        DEAD_LETTERS,
        &(lane.to_owned(), parked.recorded.seq),
        parked,
    )
}

/// Takes an event out of the lane; the key is free again with its last one.
pub(crate) fn release(
    tx: &mut Tx<'_>,
    lane: &str,
    parked: &DeadLetter,
) -> Result<(), store::Error> {
    let key = (lane.to_owned(), parked.key.clone());
    match tx.get(KEYS, &key)? {
        Some(count) if count > 1 => tx.put(KEYS, &key, &(count - 1))?,
        _ => tx.delete(KEYS, &key)?,
    }
    tx.delete(DEAD_LETTERS, &(lane.to_owned(), parked.recorded.seq))
}

/// What is parked in a lane, oldest first, at most `count_max`.
pub(crate) fn list(
    from: &impl Read,
    lane: &str,
    count_max: usize,
) -> Result<Vec<DeadLetter>, store::Error> {
    from.scan(DEAD_LETTERS.prefix(&lane.to_owned()))?
        .take(count_max)
        .map(|row| row.map(|(_, parked)| parked))
        .collect()
}

/// The parked events of the same key as the one at `seq`, oldest first.
pub(crate) fn of_same_key(
    tx: &Tx<'_>,
    lane: &str,
    seq: u64,
) -> Result<Vec<DeadLetter>, store::Error> {
    let Some(parked) = tx.get(DEAD_LETTERS, &(lane.to_owned(), seq))? else {
        return Ok(Vec::new());
    };
    let all = list(tx, lane, usize::MAX)?;
    Ok(all
        .into_iter()
        .filter(|other| other.key == parked.key)
        .collect())
}
