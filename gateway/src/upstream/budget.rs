//! Retry budget: how many requests to a service may be repeated.
//!
//! Retries that follow every failure would double the load of a service that already fails.
//! Each request therefore pays a fifth of a retry into the budget, and a retry takes a
//! whole one out.
//!
//! **Invariant:** over any span the retries are at most a fifth of the requests in it and
//! [`SAVED_MAX`] more, which is the number that one restart of a service can break.

use std::sync::atomic::{AtomicU32, Ordering};

/// The price of a retry, in requests.
const PRICE: u32 = 5;

/// The retries of a full budget: as many as a worker's pooled connections, since all of
/// them may break at once.
const SAVED_MAX: u32 = super::pool::IDLE_MAX as u32;

/// The budget of a service. It starts full, so that a quiet shop can retry, too.
#[derive(Debug)]
pub(super) struct Budget(AtomicU32);

impl Budget {
    pub(super) fn new() -> Self {
        Self(AtomicU32::new(SAVED_MAX * PRICE))
    }

    /// Pays in for one request. A full budget is only read, which does not contend.
    pub(super) fn earn(&self) {
        // Concurrent requests may exceed the maximum by one each, which does no harm.
        if self.0.load(Ordering::Relaxed) < SAVED_MAX * PRICE {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes one retry out, if there is enough for it.
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
    fn a_fifth_of_the_requests_may_be_retried() {
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
