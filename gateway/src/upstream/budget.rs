//! How many requests to a service may be repeated.
//!
//! A service that fails gets no less work by being asked twice for everything, so
//! repetitions are paid from what ordinary requests left here: a fifth of each.
//!
//! **Invariant:** over any span the repetitions are at most a fifth of the requests
//! in it and [`SAVED_MAX`] more, which is what one restart of a service can break.

use std::sync::atomic::{AtomicU32, Ordering};

/// What a repetition costs, in what a request leaves.
const PRICE: u32 = 5;

/// Repetitions that can be saved up: as many connections as are kept warm, since
/// all of them may break in the same moment.
const SAVED_MAX: u32 = super::pool::IDLE_MAX as u32;

/// A service's budget. Starts full, so that a quiet shop can repeat, too.
#[derive(Debug)]
pub(super) struct Budget(AtomicU32);

impl Budget {
    pub(super) fn new() -> Self {
        Self(AtomicU32::new(SAVED_MAX * PRICE))
    }

    /// Pays in for one request. While nothing fails this only reads.
    pub(super) fn earn(&self) {
        // Two at once may go over by one, which spending forgets again.
        if self.0.load(Ordering::Relaxed) < SAVED_MAX * PRICE {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Pays for one repetition, if there is enough.
    pub(super) fn spend(&self) -> bool {
        let paid = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| {
                saved.checked_sub(PRICE)
            });
        paid.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_may_be_repeated() {
        let budget = Budget::new();
        budget.earn();
        let saved = (0..).take_while(|_| budget.spend()).count();
        assert_eq!(saved, SAVED_MAX as usize, "a full budget takes no more");

        let mut repeated = 0;
        for _ in 0..1_000 {
            budget.earn();
            repeated += u32::from(budget.spend());
        }
        assert_eq!(repeated, 200);
    }
}
