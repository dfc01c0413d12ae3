//! Rules of rate limits: exponential backoff and fixed windows. Pure: the counter and the
//! time are given, the wait is returned. **Invariant:** a clock step backwards never
//! lengthens a wait.

use std::time::Duration;

use model::Time;
use serde::{Deserialize, Serialize};

/// How a counter limits attempts.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    /// After `free` attempts each one costs a pause: `first`, doubled each time up to
    /// `longest`. No lockout is permanent.
    Backoff {
        /// Attempts without a pause.
        free: u32,
        /// The first pause.
        first: Duration,
        /// The longest one.
        longest: Duration,
        /// Time after the last attempt at which the counter expires.
        forgotten_after: Duration,
    },
    /// At most so many in a `span` that begins with the first attempt.
    Window {
        /// Attempts.
        most: u32,
        /// How long they count.
        span: Duration,
    },
}

/// A counter: number of attempts, time of the first and the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counter {
    count: u32,
    began: Time,
    last: Time,
}

impl store::Record for Counter {}

impl Rule {
    /// The time until the next attempt is allowed; zero if it is now.
    pub(super) fn wait(self, counter: Counter, now: Time) -> Duration {
        if self.ends(counter) <= now {
            return Duration::ZERO;
        }
        let (from, pause) = match self {
            Self::Backoff { free, first, longest, .. } => {
                let doublings = counter.count.checked_sub(free);
                let pause = doublings.map_or(Duration::ZERO, |doublings| {
                    first.saturating_mul(2u32.saturating_pow(doublings))
                });
                (counter.last, pause.min(longest))
            }
            Self::Window { most, span } if counter.count >= most => (counter.began, span),
            Self::Window { .. } => return Duration::ZERO,
        };
        // After a clock step backwards the wait is at most the pause itself.
        from.after(pause).since(now).min(pause)
    }

    /// The counter after one more attempt.
    pub(super) fn counted(self, before: Option<Counter>, now: Time) -> Counter {
        let current = before.filter(|counter| self.ends(*counter) > now);
        match current {
            Some(counter) => {
                Counter { count: counter.count.saturating_add(1), last: now, ..counter }
            }
            None => Counter { count: 1, began: now, last: now },
        }
    }

    /// When the counter expires.
    pub(super) fn ends(self, counter: Counter) -> Time {
        match self {
            Self::Backoff { forgotten_after, .. } => counter.last.after(forgotten_after),
            Self::Window { span, .. } => counter.began.after(span),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = seconds(3600);
    const UNKNOWN_ADDRESSES: Rule = Rule::Window { most: 60, span: HOUR };
    const BACKOFF: Rule = Rule::Backoff {
        free: 5,
        first: seconds(1),
        longest: seconds(900),
        forgotten_after: HOUR.saturating_mul(24),
    };

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The wait after the last of so many failures, one right after the other.
    fn waits(rule: Rule, failures: u32, later: Duration) -> Duration {
        let start = Time(1_000_000);
        let counter = (0..failures).fold(None, |before, _| Some(rule.counted(before, start)));
        counter.map_or(Duration::ZERO, |counter| {
            rule.wait(counter, start.after(later))
        })
    }

    #[test]
    fn five_are_free_then_each_waits_twice_as_long() {
        for (failures, later, wait) in [
            (0, 0, 0),
            (4, 0, 0),
            (5, 0, 1),
            (6, 0, 2),
            (7, 0, 4),
            (7, 3, 1),
            (7, 4, 0),
            (14, 0, 512),
            (15, 0, 900),
            (90, 0, 900),
            (90, 899, 1),
            (90, 900, 0),
        ] {
            assert_eq!(
                waits(BACKOFF, failures, seconds(later)),
                seconds(wait),
                "{failures} failures, {later} s later"
            );
        }
        assert_eq!(waits(BACKOFF, 90, seconds(24 * 3600)), seconds(0));
        let start = Time(1_000_000_000);
        let counter = (0..6).fold(None, |before, _| Some(BACKOFF.counted(before, start)));
        let earlier = Time(start.0 - 3_600_000);
        assert_eq!(BACKOFF.wait(counter.unwrap(), earlier), seconds(2));
        let forgotten = BACKOFF.counted(counter, start.after(seconds(24 * 3600)));
        assert_eq!(forgotten.count, 1);
    }

    #[test]
    fn a_window_is_full_until_it_is_over() {
        for (failures, later, wait) in [
            (59, 0, 0),
            (60, 0, 3600),
            (60, 3599, 1),
            (60, 3600, 0),
            (99, 1800, 1800),
        ] {
            assert_eq!(
                waits(UNKNOWN_ADDRESSES, failures, seconds(later)),
                seconds(wait),
                "{failures} failures, {later} s later"
            );
        }
    }
}
