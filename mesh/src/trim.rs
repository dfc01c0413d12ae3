//! Trimming: deletes the oldest events of a log, which all followers have applied.
//!
//! **Invariants:** an event goes only when it is old enough and every follower is beyond it;
//! a follower that is silent, or that this source does not know yet, holds all. The newest
//! event stays, and so does the one at each cursor, by which a follower proves its history.

use model::Time;
use store::{Read, Tx};

use crate::log::LOG;
use crate::{Event, Log, retention};

/// The events that are deleted in one transaction.
const BATCH_MAX: usize = 64;

impl Log {
    /// Deletes a batch of the oldest events: those of before `until` that all followers have
    /// applied. `followers` are those that there must be, as `orders/main`. Returns whether
    /// there may be more.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn trim(
        &self,
        tx: &mut Tx<'_>,
        followers: &[&str],
        until: Time,
    ) -> Result<bool, store::Error> {
        let Some(cursor) = self.cursors.least(followers) else {
            return Ok(false);
        };
        let before = retention::beginning(tx, self.source())?;
        let end = cursor.min(self.tail().seq);
        let (mut trimmed, mut count) = (before, 0);
        for row in tx
            .scan(LOG.all().after(&before.seq).before(&end))?
            .take(BATCH_MAX)
        {
            let (_, recorded) = row?;
            // A gap is damage, which `verify` reports; it stays.
            let is_next = recorded.continues(&trimmed);
            if !is_next || Event::at_of(&recorded.body).is_none_or(|at| at >= until) {
                break;
            }
            trimmed = recorded.mark();
            count += 1;
        }
        if count > 0 {
            for seq in before.seq + 1..=trimmed.seq {
                tx.delete(LOG, &seq)?;
            }
            retention::set_beginning(tx, self.source(), &trimmed)?;
        }
        Ok(count == BATCH_MAX)
    }
}
