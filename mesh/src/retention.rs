//! What a log keeps: where it begins, after the last event that was trimmed, and the cursors
//! of its followers, as far as its source knows them, which hold trimming back.
//!
//! A follower names its cursor in each question. Nothing of that is stored: a source that has
//! started knows no cursor before it was asked, and trims nothing meanwhile.
//!
//! **Invariants:** the beginning moves in the transaction that deletes the events before it,
//! so the first event of a log continues its beginning. A cursor is known only while this log
//! has its history, so what is trimmed behind it was applied by its follower.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use store::{Read, Table, Tx};

use crate::Mark;

/// source → the last event that was trimmed. No row while none was.
const BEGINNINGS: Table<String, Mark> = Table::new("log_beginning");

/// The mark before a log's first event.
pub(crate) fn beginning(from: &impl Read, source: &str) -> Result<Mark, store::Error> {
    let beginning = from.get(BEGINNINGS, &source.to_owned())?;
    Ok(beginning.unwrap_or_default())
}

/// Moves the beginning, in the transaction that deletes the events before it.
pub(crate) fn set_beginning(
    tx: &mut Tx<'_>,
    source: &str,
    beginning: &Mark,
) -> Result<(), store::Error> {
    tx.put(BEGINNINGS, &source.to_owned(), beginning)
}

/// The reason why events cannot be read from a log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// They were trimmed.
    #[error("the log begins at event {first}: earlier ones were trimmed")]
    Trimmed {
        /// The first event that the log has.
        first: u64,
    },
    /// The store does not read.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// The most followers that are known: several times those of a shop. A further one is not
/// noted, and holds nothing.
const FOLLOWERS_MAX: usize = 64;

/// The known cursors, by follower: `orders/main`.
#[derive(Debug, Default)]
pub(crate) struct FollowerCursors(Mutex<BTreeMap<String, u64>>);

impl FollowerCursors {
    /// Notes that a follower has durably applied the events up to `seq`.
    pub(crate) fn note(&self, follower: &str, seq: u64) {
        let mut known = self.0.lock();
        if let Some(cursor) = known.get_mut(follower) {
            *cursor = seq;
        } else if known.len() < FOLLOWERS_MAX {
            known.insert(follower.to_owned(), seq);
        }
    }

    /// Forgets the cursor of a follower that has another history.
    pub(crate) fn forget(&self, follower: &str) {
        self.0.lock().remove(follower);
    }

    /// The least cursor of all known followers; `None` while one of `expected` is unknown.
    pub(crate) fn least(&self, expected: &[&str]) -> Option<u64> {
        let known = self.0.lock();
        let has_all = expected.iter().all(|name| known.contains_key(*name));
        has_all.then(|| known.values().copied().min().unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_follower_holds_everything_and_the_slowest_holds_the_rest() {
        let cursors = FollowerCursors::default();
        assert_eq!(cursors.least(&[]), Some(u64::MAX), "nobody follows");
        cursors.note("orders/main", 7);
        assert_eq!(cursors.least(&["orders/main", "gateway/trust"]), None);
        cursors.note("gateway/trust", 9);
        cursors.note("bystander/main", 3);
        assert_eq!(cursors.least(&["orders/main", "gateway/trust"]), Some(3));
        cursors.forget("bystander/main");
        cursors.note("orders/main", 5);
        assert_eq!(cursors.least(&["orders/main", "gateway/trust"]), Some(5));
        cursors.forget("orders/main");
        assert_eq!(cursors.least(&["orders/main", "gateway/trust"]), None);
    }
}
