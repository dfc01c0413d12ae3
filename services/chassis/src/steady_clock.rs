//! A clock for deadlines whose effects cannot be taken back, such as the cancellation of
//! unpaid orders: it believes a jump ahead only after some minutes.
//!
//! The wall clock of a small host without a battery jumps when it first reaches a time
//! server, and a wrong server or a typing error sends it years ahead for a moment. The
//! monotonic clock beside it (`CLOCK_MONOTONIC`) does not jump.
//!
//! **Invariant:** between two readings the time advances by no more than [`JUMP_MIN`] above
//! the monotonic clock, until a jump has lasted [`BELIEVED_AFTER`].

use std::time::{Duration, Instant};

use model::Time;

/// How far ahead of the monotonic clock the wall clock may be without having jumped.
const JUMP_MIN: Duration = Duration::from_secs(60);

/// How long a jump must last to be believed: longer than it takes to notice and mend a
/// wrong clock by hand, or for a time server to correct it.
const BELIEVED_AFTER: Duration = Duration::from_secs(5 * 60);

/// When this program was built, which no right clock is before: `SOURCE_DATE_EPOCH` of the
/// build in seconds (<https://reproducible-builds.org/specs/source-date-epoch>), or else the
/// month of the release.
pub fn built_at() -> Time {
    const RELEASE: i64 = 1_793_491_200;
    let given = option_env!("SOURCE_DATE_EPOCH").and_then(|text| text.parse().ok());
    Time(given.unwrap_or(RELEASE).saturating_mul(1_000))
}

/// Whether a wall clock can be right. One of a host without a battery is not until it has
/// reached a time server.
pub fn is_clock_set(wall: Time) -> bool {
    wall >= built_at()
}

/// See the module's description.
#[derive(Debug)]
pub struct SteadyClock {
    /// The last believed time, and when it was read.
    believed: (Time, Instant),
    /// When the present jump was noticed.
    jumped_at: Option<Instant>,
}

impl SteadyClock {
    /// Starts with the present time of both clocks.
    pub fn start(wall: Time, monotonic: Instant) -> Self {
        Self { believed: (wall, monotonic), jumped_at: None }
    }

    /// The time, from the present time of both clocks.
    pub fn read(&mut self, wall: Time, monotonic: Instant) -> Time {
        let (before, at) = self.believed;
        let expected = before.after(monotonic.saturating_duration_since(at));
        if wall > expected.after(JUMP_MIN) {
            let is_new = self.jumped_at.is_none();
            let since = *self.jumped_at.get_or_insert(monotonic);
            if monotonic.saturating_duration_since(since) < BELIEVED_AFTER {
                if is_new {
                    let minutes = (wall.0 - expected.0) / 60_000;
                    tracing::warn!(
                        minutes,
                        "the clock jumped ahead; nothing expires by it before it has lasted {} minutes",
                        BELIEVED_AFTER.as_secs() / 60
                    );
                }
                return expected;
            }
        }
        self.believed = (wall, monotonic);
        self.jumped_at = None;
        wall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_clock_before_the_build_is_not_right() {
        assert!(is_clock_set(model::now()));
        assert!(
            !is_clock_set(Time(0)),
            "the clock of a host without a battery"
        );
        assert!(!is_clock_set(Time(built_at().0 - 1)));
    }

    /// Readings as (elapsed on the monotonic clock, wall clock, expected), from zero.
    fn assert_reads(readings: &[(Duration, Duration, Duration)]) {
        let (zero, begun) = (Time(1_000_000_000_000), Instant::now());
        let mut clock = SteadyClock::start(zero, begun);
        for (elapsed, wall, expected) in readings {
            let read = clock.read(zero.after(*wall), begun + *elapsed);
            assert_eq!(read, zero.after(*expected), "after {elapsed:?}");
        }
    }

    #[test]
    fn a_jump_ahead_is_believed_after_some_minutes() {
        assert_reads(&[
            (MINUTE, MINUTE, MINUTE),
            // Corrected after 20 s.
            (MINUTE * 2, DAY, MINUTE * 2),
            (MINUTE * 7 / 3, MINUTE * 7 / 3, MINUTE * 7 / 3),
            // A new jump is not believed sooner because of the one before.
            (MINUTE * 6, DAY + MINUTE * 6, MINUTE * 6),
            (MINUTE * 10, DAY + MINUTE * 10, MINUTE * 10),
            (MINUTE * 11, DAY + MINUTE * 11, DAY + MINUTE * 11),
            (MINUTE * 12, DAY + MINUTE * 12, DAY + MINUTE * 12),
        ]);
    }

    #[test]
    fn a_step_back_is_believed_at_once() {
        let zero = Time(1_000_000_000_000);
        let begun = Instant::now();
        let mut clock = SteadyClock::start(zero.after(DAY), begun);
        assert_eq!(clock.read(zero, begun + MINUTE), zero);
        assert_eq!(
            clock.read(zero.after(MINUTE), begun + MINUTE * 2),
            zero.after(MINUTE)
        );
    }
}
