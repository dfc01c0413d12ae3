//! Who used how much of a rate: a table of a fixed size.
//!
//! A key belongs to one of [`SETS`] sets by its keyed hash, and a set remembers
//! [`WAYS`] keys. In a full one the key that used least is forgotten, which gives
//! it back little or nothing: a key whose quota is whole again and one that was
//! never seen are the same.
//!
//! **Invariant:** a flood of addresses costs no memory beyond the table, and evicts
//! no key with a used-up quota before one with quota left.

use parking_lot::Mutex;
use std::hash::{BuildHasher, RandomState};

use governor::nanos::Nanos;
use governor::state::StateStore;

/// Some 16,000 keys, of 32 bytes each once they were seen.
const SETS: usize = 2048;
const WAYS: usize = 8;

/// Key → the moment at which its quota is whole again.
pub(super) struct RateTable {
    hasher: RandomState,
    sets: Vec<Mutex<Vec<(u128, Nanos)>>>,
}

impl RateTable {
    /// An empty table.
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
    fn a_flood_of_addresses_neither_grows_it_nor_frees_who_is_over() {
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
