//! Whether an instance is worth asking, as requests show it: nothing is ever asked
//! only to find out.
//!
//! **Invariants:** an instance that failed [`FAILURES_MAX`] times without an answer
//! in between is passed over for [`EJECTION_FIRST`], and for twice as long each time
//! it fails again on its return, up to [`EJECTION_MAX`]; one answer clears it. What
//! is said here only ranks instances: where all are passed over, or there is only
//! one, it is asked all the same (`choice`).

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row. One is chance, as when a connection breaks in a restart.
const FAILURES_MAX: u32 = 5;

/// How long it is passed over at first, and at most: a restart takes about a
/// second, and whoever is back should not wait for a minute.
const EJECTION_FIRST: Duration = Duration::from_secs(1);
const EJECTION_MAX: Duration = Duration::from_secs(30);

/// What is known of an instance.
#[derive(Debug)]
pub(super) struct InstanceHealth {
    since: Instant,
    failures: AtomicU32,
    /// In milliseconds after `since`.
    ejected_until: AtomicU64,
}

impl InstanceHealth {
    /// Well until shown otherwise.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            failures: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
        }
    }

    /// It answered, whatever it said.
    pub(super) fn answered(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.ejected_until.store(0, Ordering::Relaxed);
        }
    }

    /// It did not; how long it is passed over, if that begins now. What was in
    /// flight when that began tells nothing new.
    pub(super) fn failed(&self, now: Instant) -> Option<Duration> {
        if self.is_ejected(now) {
            return None;
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let again = failures.checked_sub(FAILURES_MAX)?;
        let ejection = EJECTION_FIRST
            .saturating_mul(2_u32.saturating_pow(again))
            .min(EJECTION_MAX);
        self.ejected_until
            .store(self.millis(now + ejection), Ordering::Relaxed);
        Some(ejection)
    }

    /// Whether it is passed over while there are others.
    pub(super) fn is_ejected(&self, now: Instant) -> bool {
        let until = self.ejected_until.load(Ordering::Relaxed);
        until != 0 && self.millis(now) < until
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.duration_since(self.since).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passed_over_for_longer_and_longer_until_it_answers() {
        let mut now = Instant::now();
        let health = InstanceHealth::new(now);
        for _ in 1..FAILURES_MAX {
            assert_eq!(health.failed(now), None);
        }
        health.answered();
        for _ in 1..FAILURES_MAX {
            assert_eq!(health.failed(now), None, "it starts anew");
        }
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            let ejection = Duration::from_secs(seconds);
            assert_eq!(health.failed(now), Some(ejection));
            assert_eq!(health.failed(now), None, "what was in flight");
            assert!(health.is_ejected(now + ejection - Duration::from_millis(1)));
            now += ejection;
            assert!(!health.is_ejected(now));
        }
        health.failed(now);
        health.answered();
        assert!(!health.is_ejected(now));
    }
}
