//! Dead letters: events that a handler refused for good, set aside so that the rest of
//! the log is applied.
//!
//! **Invariant:** events of one key are applied in order. While one of them is a dead
//! letter, later events of its key become dead letters behind it.

use model::Time;
use serde::{Deserialize, Serialize};
use store::{Read, Store, Table, Tx};

use crate::Recorded;
use crate::cursor::FollowerId;

/// (follower, seq) → the event and why it was refused.
const DEAD_LETTERS: Table<(String, u64), DeadLetter> = Table::new("parked");
/// (follower, key) → the number of dead letters with that key.
const KEYS: Table<(String, String), u64> = Table::new("parked_keys");

/// An event that waits for an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The event as it was received.
    pub recorded: Recorded,
    /// The key that it is ordered by.
    pub key: String,
    /// The reason of the refusal.
    pub reason: String,
    /// The time of the refusal.
    pub at: Time,
}

impl store::Record for DeadLetter {}

/// The number of dead letters of all followers of a store; `None` if it cannot be had within
/// 250 ms. Blocks for that long.
///
/// # Errors
/// When the store cannot be read.
pub fn dead_letter_count(store: &Store) -> Result<Option<u64>, store::Error> {
    store.row_count(DEAD_LETTERS)
}

/// Whether a follower has any dead letters.
pub(crate) fn any(from: &impl Read, follower: &FollowerId) -> Result<bool, store::Error> {
    Ok(!list(from, follower, 1)?.is_empty())
}

/// Whether event `seq` is a dead letter.
pub(crate) fn contains(
    from: &impl Read,
    follower: &FollowerId,
    seq: u64,
) -> Result<bool, store::Error> {
    from.contains(DEAD_LETTERS, &(follower.key(), seq))
}

/// Whether an earlier event of `key` is a dead letter.
pub(crate) fn has_key(tx: &Tx<'_>, follower: &FollowerId, key: &str) -> Result<bool, store::Error> {
    tx.contains(KEYS, &(follower.key(), key.to_owned()))
}

pub(crate) fn add(
    tx: &mut Tx<'_>,
    follower: &FollowerId,
    letter: &DeadLetter,
) -> Result<(), store::Error> {
    let key = (follower.key(), letter.key.clone());
    let count = tx.get(KEYS, &key)?.unwrap_or(0);
    tx.put(KEYS, &key, &(count + 1))?;
    tx.put(DEAD_LETTERS, &(follower.key(), letter.recorded.seq), letter)
}

/// Removes a dead letter; events of its key are applied again after the last one.
pub(crate) fn remove(
    tx: &mut Tx<'_>,
    follower: &FollowerId,
    letter: &DeadLetter,
) -> Result<(), store::Error> {
    let key = (follower.key(), letter.key.clone());
    match tx.get(KEYS, &key)? {
        Some(count) if count > 1 => tx.put(KEYS, &key, &(count - 1))?,
        _ => tx.delete(KEYS, &key)?,
    }
    tx.delete(DEAD_LETTERS, &(follower.key(), letter.recorded.seq))
}

/// A follower's dead letters, oldest first, at most `count_max`.
pub(crate) fn list(
    from: &impl Read,
    follower: &FollowerId,
    count_max: usize,
) -> Result<Vec<DeadLetter>, store::Error> {
    from.scan(DEAD_LETTERS.prefix(&follower.key()))?
        .take(count_max)
        .map(|row| row.map(|(_, letter)| letter))
        .collect()
}

/// The dead letters with the key of the one at `seq`, oldest first.
pub(crate) fn of_same_key(
    tx: &Tx<'_>,
    follower: &FollowerId,
    seq: u64,
) -> Result<Vec<DeadLetter>, store::Error> {
    let Some(letter) = tx.get(DEAD_LETTERS, &(follower.key(), seq))? else {
        return Ok(Vec::new());
    };
    let mut all = list(tx, follower, usize::MAX)?;
    all.retain(|other| other.key == letter.key);
    Ok(all)
}
