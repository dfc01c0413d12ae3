//! When one who fails has to wait, and for how long. Pure.

use std::time::Duration;

use model::Time;
use serde::{Deserialize, Serialize};

/// What is counted, and what the count means.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rule {
    /// After so many `free` ones each costs a pause, `first` and then twice the
    /// one before up to `longest`. Nobody is locked out for good.
    Backoff {
        free: u32,
        first: Duration,
        longest: Duration,
        /// How long after the last one all of them are forgotten.
        forgotten_after: Duration,
    },
    /// At most so many in a `span` that begins with the first of them.
    Window { most: u32, span: Duration },
}

/// What was counted so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counter {
    pub(super) count: u32,
    began: Time,
    last: Time,
}

impl ::store::Record for Counter {}

impl Rule {
    /// How long the next try has to wait; zero when it need not.
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
        // A clock that was set back must not make the wait longer than it was.
        from.after(pause).since(now).min(pause)
    }

    /// The count with one more.
    pub(super) fn counted(self, before: Option<Counter>, now: Time) -> Counter {
        let current = before.filter(|counter| self.ends(*counter) > now);
        match current {
            Some(counter) => {
                Counter { count: counter.count.saturating_add(1), last: now, ..counter }
            }
            None => Counter { count: 1, began: now, last: now },
        }
    }

    /// From when on the count means nothing.
    pub(super) fn ends(self, counter: Counter) -> Time {
        match self {
            Self::Backoff { forgotten_after, .. } => counter.last.after(forgotten_after),
            Self::Window { span, .. } => counter.began.after(span),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BACKOFF, STRANGERS};
    use super::*;

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
                waits(STRANGERS, failures, seconds(later)),
                seconds(wait),
                "{failures} failures, {later} s later"
            );
        }
    }
}
