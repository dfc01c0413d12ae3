//! When to try again, and when to give up: pauses that double, each a little
//! different, so that what failed together does not come back together.

use std::time::Duration;

use model::Time;

/// A rhythm of tries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    /// The pause after the first failed try.
    pub(crate) first: Duration,
    /// The longest pause.
    pub(crate) pause_max: Duration,
    /// How long after the beginning the last try may be.
    pub(crate) give_up_after: Duration,
}

impl Schedule {
    /// When to try again after `failed` failed tries, the last of them at `now`;
    /// `None` when that would be too late. `luck` in 0..1 makes the pause up to a
    /// fifth shorter or longer.
    pub(crate) fn next(&self, began: Time, failed: u32, now: Time, luck: f64) -> Option<Time> {
        let doublings = failed.saturating_sub(1).min(31);
        let pause = self.first.saturating_mul(1 << doublings);
        let pause = pause.min(self.pause_max).mul_f64(0.8 + 0.4 * luck);
        let next = now.after(pause);
        (next.since(began) <= self.give_up_after).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole of a mail's life, with the two extremes of luck.
    #[test]
    fn pauses_double_and_end() {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        let schedule = Schedule {
            first: minutes(1),
            pause_max: minutes(240),
            give_up_after: minutes(48 * 60),
        };
        for (luck, tries) in [(0.0, 8..=30), (1.0, 8..=20)] {
            let (mut now, mut failed) = (Time(0), 1);
            let mut pauses = Vec::new();
            while let Some(next) = schedule.next(Time(0), failed, now, luck) {
                pauses.push(next.since(now).as_secs_f64() / 60.0);
                (now, failed) = (next, failed + 1);
            }
            let scale = 0.8 + 0.4 * luck;
            assert!((pauses[0] - scale).abs() < 0.01, "{pauses:?}");
            assert!((pauses[3] - 8.0 * scale).abs() < 0.01, "{pauses:?}");
            assert!((pauses[12] - 240.0 * scale).abs() < 0.01, "{pauses:?}");
            assert!(tries.contains(&failed), "{failed} tries");
            assert!(now.since(Time(0)) <= schedule.give_up_after);
        }
        assert!(schedule.next(Time(0), u32::MAX, Time(0), 0.5).is_some());
    }
}
