//! Passive health checking (outlier ejection) with exponential backoff: requests
//! themselves show whether an instance works, there are no probes.
//!
//! **Invariants:** an instance that fails [`FAILURES_MAX`] times in a row is ejected
//! for [`EJECTION_FIRST`], and for twice as long each time it fails again on its
//! return, up to [`EJECTION_MAX`]; one response clears it. Ejection only ranks
//! replicas (`choice`): where all are ejected, or there is only one instance, the
//! request is sent all the same.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row. One is chance, as when a connection breaks in a restart.
const FAILURES_MAX: u32 = 5;

/// Shortest and longest ejection: a restart takes about a second, and an instance
/// that is back should not stay unused for a minute.
const EJECTION_FIRST: Duration = Duration::from_secs(1);
const EJECTION_MAX: Duration = Duration::from_secs(30);

/// Failures in a row of one instance, and its ejection.
#[derive(Debug)]
pub(super) struct InstanceHealth {
    since: Instant,
    failures: AtomicU32,
    /// In milliseconds after `since`.
    ejected_until: AtomicU64,
}

impl InstanceHealth {
    /// Healthy until requests fail.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            failures: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
        }
    }

    /// Records a response, whatever its status.
    pub(super) fn answered(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.ejected_until.store(0, Ordering::Relaxed);
        }
    }

    /// Records a failure, and ejects the instance after enough of them. Failures
    /// during an ejection do not count: those requests were in flight when it began.
    pub(super) fn failed(&self, now: Instant) {
        if self.is_ejected(now) {
            return;
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(repeats) = failures.checked_sub(FAILURES_MAX) {
            let ejection = EJECTION_FIRST
                .saturating_mul(2_u32.saturating_pow(repeats))
                .min(EJECTION_MAX);
            self.ejected_until
                .store(self.millis(now + ejection), Ordering::Relaxed);
        }
    }

    /// Whether other replicas are preferred at `now`.
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
    fn ejections_double_until_a_response() {
        let mut now = Instant::now();
        let health = InstanceHealth::new(now);
        for _ in 0..2 {
            for _ in 1..FAILURES_MAX {
                health.failed(now);
                assert!(!health.is_ejected(now));
            }
            health.answered();
        }
        for _ in 1..FAILURES_MAX {
            health.failed(now);
        }
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            let ejection = Duration::from_secs(seconds);
            health.failed(now);
            health.failed(now); // In flight when the ejection began.
            assert!(health.is_ejected(now + ejection - Duration::from_millis(1)));
            now += ejection;
            assert!(!health.is_ejected(now));
        }
        health.failed(now);
        health.answered();
        assert!(!health.is_ejected(now));
    }
}
