//! Epochs: the stretches of a log between two starts of its service.
//!
//! A log that was restored from an older copy lacks events that followers have applied, and
//! grows on. Neither side has both histories, but both have epochs: the follower those of the
//! events it applied, the log its own. The histories parted in the newest common epoch.
//!
//! **Invariant:** an epoch of a log has at most one successor in that log.

use model::Time;
use serde::{Deserialize, Serialize};
use store::{Read, Table, Tx};

use crate::Mark;

/// epoch → what it grew from. An epoch begins with the first event after each start.
const EPOCHS: Table<u64, Origin> = Table::new("log_epochs");
/// 0 → the log's end when a rollback was last accepted. At most one row.
const ACCEPTED: Table<u64, u64> = Table::new("log_accepted");

/// The number of names that an epoch may get by chance.
const CHANCES: u64 = 1_000_000;

/// Where an epoch began: at nothing, or at a mark of the epoch before it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Origin {
    parent: Option<u64>,
    forked_at: Mark,
}

impl store::Record for Origin {}

/// The name of an epoch that begins at `now` after the epoch `parent`. A clock that is behind
/// does not name it, and then chance does: a log and a copy of it go on under different names.
pub(crate) fn after(parent: u64, now: Time) -> u64 {
    let started = u64::try_from(now.0).unwrap_or(0);
    if started > parent {
        return started;
    }
    parent + 1 + rand::random_range(0..CHANCES)
}

/// Begins an epoch.
pub(crate) fn begin(
    tx: &mut Tx<'_>,
    epoch: u64,
    parent: Option<u64>,
    forked_at: Mark,
) -> Result<(), store::Error> {
    tx.put(EPOCHS, &epoch, &Origin { parent, forked_at })
}

/// Accepts every rollback before the log's present end.
pub(crate) fn accept(tx: &mut Tx<'_>, end: &Mark) -> Result<(), store::Error> {
    tx.put(ACCEPTED, &0, &end.seq)
}

/// Forgets the epochs that began after event `seq`, and returns the newest that is left.
pub(crate) fn cut(tx: &mut Tx<'_>, seq: u64) -> Result<u64, store::Error> {
    const FIRST: u64 = 1;
    let epochs: Vec<(u64, Origin)> = tx.scan(EPOCHS.all())?.collect::<Result<_, _>>()?;
    let mut newest = None;
    for (epoch, origin) in epochs {
        if origin.forked_at.seq > seq {
            tx.delete(EPOCHS, &epoch)?;
        } else {
            newest = Some((epoch, origin.forked_at.seq));
        }
    }
    // What is lost now was not accepted before.
    let accepted = tx.get(ACCEPTED, &0)?;
    if accepted.is_some_and(|accepted| accepted >= seq) {
        let began = newest.map_or(0, |(_, began)| began);
        tx.put(ACCEPTED, &0, &began.min(seq.saturating_sub(1)))?;
    }
    if let Some((newest, _)) = newest {
        return Ok(newest);
    }
    begin(tx, FIRST, None, Mark::default())?;
    Ok(FIRST)
}

/// Whether a rollback of the log in this store was accepted: others may know what it no
/// longer has.
///
/// # Errors
/// When the store cannot be read.
pub fn lost_events(from: &impl Read) -> Result<bool, store::Error> {
    from.contains(ACCEPTED, &0)
}

/// Where a follower goes on whose mark this log does not have: where the epoch after the
/// newest of `known`, the follower's epochs with the newest first, began. A follower of an
/// earlier version knows none, and applied the log's first. `None` unless a rollback since
/// was accepted.
pub(crate) fn fork(
    from: &impl Read,
    after: &Mark,
    known: &[u64],
) -> Result<Option<Mark>, store::Error> {
    let Some(accepted) = from.get(ACCEPTED, &0)? else {
        return Ok(None);
    };
    let epochs: Vec<(u64, Origin)> = from.scan(EPOCHS.all())?.collect::<Result<_, _>>()?;
    let is_own = |epoch: &u64| epochs.iter().any(|(own, _)| own == epoch);
    let first = epochs.iter().find(|(_, origin)| origin.parent.is_none());
    let common = match known.iter().find(|epoch| is_own(epoch)) {
        Some(epoch) => Some(*epoch),
        None => first.map(|(epoch, _)| *epoch),
    };
    let next = epochs.iter().find(|(_, origin)| origin.parent == common);
    let fork = next.map(|(_, origin)| origin.forked_at);
    Ok(fork.filter(|fork| fork.seq < after.seq && fork.seq <= accepted))
}
