//! Exponential backoff with jitter, and the time after which a delivery is given up.
//!
//! Jitter spreads retries, so that deliveries that failed together are not retried
//! together. **Invariant:** no attempt is scheduled after `give_up_after`.

use std::time::Duration;

use model::Time;

/// A retry backoff.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    /// The pause after the first failure.
    pub(crate) first: Duration,
    /// The longest pause.
    pub(crate) pause_max: Duration,
    /// The latest attempt, counted from the first.
    pub(crate) give_up_after: Duration,
}

impl Backoff {
    /// The time of the next attempt after `failed` failures, the last of them at `now`;
    /// `None` to give up. `jitter` in 0..1 shortens or lengthens the pause by up to a
    /// fifth.
    pub(crate) fn next(&self, began: Time, failed: u32, now: Time, jitter: f64) -> Option<Time> {
        let doublings = failed.saturating_sub(1).min(31);
        let pause = self.first.saturating_mul(1 << doublings);
        let pause = pause.min(self.pause_max).mul_f64(0.8 + 0.4 * jitter);
        let next = now.after(pause);
        (next.since(began) <= self.give_up_after).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole schedule of a mail, at both extremes of jitter.
    #[test]
    fn pauses_double_and_end() {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        let backoff = Backoff {
            first: minutes(1),
            pause_max: minutes(240),
            give_up_after: minutes(48 * 60),
        };
        for (jitter, attempts) in [(0.0, 8..=30), (1.0, 8..=20)] {
            let (mut now, mut failed) = (Time(0), 1);
            let mut pauses = Vec::new();
            while let Some(next) = backoff.next(Time(0), failed, now, jitter) {
                pauses.push(next.since(now).as_secs_f64() / 60.0);
                (now, failed) = (next, failed + 1);
            }
            let scale = 0.8 + 0.4 * jitter;
            assert!((pauses[0] - scale).abs() < 0.01, "{pauses:?}");
            assert!((pauses[3] - 8.0 * scale).abs() < 0.01, "{pauses:?}");
            assert!((pauses[12] - 240.0 * scale).abs() < 0.01, "{pauses:?}");
            assert!(attempts.contains(&failed), "{failed} attempts");
            assert!(now.since(Time(0)) <= backoff.give_up_after);
        }
        assert!(backoff.next(Time(0), u32::MAX, Time(0), 0.5).is_some());
    }
}
