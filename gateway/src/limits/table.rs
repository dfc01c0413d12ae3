//! State of a rate limit: a set-associative table of a fixed size.
//!
//! A key belongs to one of [`SETS`] sets by a hash with a random key, and a set holds
//! [`WAYS`] keys. A full set evicts the key that used least of its quota, which gains
//! that key little or nothing: a key with its whole quota and an unknown one are the same.
//!
//! **Invariant:** a flood of addresses costs no memory beyond the table, and evicts
//! no key with a used-up quota before one with quota left.

use parking_lot::Mutex;
use std::hash::{BuildHasher, RandomState};

use governor::nanos::Nanos;
use governor::state::StateStore;

/// The table holds some 16,000 keys, 32 bytes each.
const SETS: usize = 2048;
const WAYS: usize = 8;

/// The moment at which the quota of each key is whole again.
pub(super) struct RateTable {
    hasher: RandomState,
    sets: Vec<Mutex<Vec<(u128, Nanos)>>>,
}

impl RateTable {
    /// Creates an empty table.
    pub(super) fn new() -> Self {
        let sets = (0..SETS).map(|_| Mutex::default()).collect();
        Self { hasher: RandomState::new(), sets }
    }
}

impl StateStore for RateTable {
    type Key = u128;

    fn measure_and_replace<T, F, E>(&self, key: &u128, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let set = self.hasher.hash_one(key) as usize % SETS;
        let mut set = self.sets[set].lock();
        if let Some((_, whole_at)) = set.iter_mut().find(|(known, _)| known == key) {
            let (decided, next) = decide(Some(*whole_at))?;
            *whole_at = next;
            return Ok(decided);
        }
        let (decided, next) = decide(None)?;
        if set.len() < WAYS {
            set.push((*key, next));
        } else if let Some(least) = set.iter_mut().min_by_key(|(_, whole_at)| *whole_at) {
            *least = (*key, next);
        }
        Ok(decided)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;
    use governor::clock::FakeRelativeClock;
    use governor::middleware::NoOpMiddleware;
    use governor::{Quota, RateLimiter};

    #[test]
    fn a_flood_of_addresses_neither_grows_the_table_nor_evicts_a_key_over_its_quota() {
        let clock = FakeRelativeClock::default();
        let quota = Quota::per_second(NonZeroU32::MIN).allow_burst(NonZeroU32::new(4).unwrap());
        let limiter: RateLimiter<_, _, _, NoOpMiddleware<_>> =
            RateLimiter::new(quota, RateTable::new(), clock.clone());
        let greedy = u128::MAX;
        while limiter.check_key(&greedy).is_ok() {}
        for stranger in 0..10 * (SETS * WAYS) as u128 {
            assert!(limiter.check_key(&stranger).is_ok());
        }
        assert!(limiter.check_key(&greedy).is_err(), "not forgotten");
        clock.advance(Duration::from_secs(1));
        assert!(limiter.check_key(&greedy).is_ok(), "refills");
        let sets = limiter.into_state_store().sets;
        let kept = sets.iter().map(|set| set.lock().len());
        assert!(kept.max() <= Some(WAYS));
    }
}
