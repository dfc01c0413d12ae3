//! When operations are to start: in a closed loop, or by a schedule that knows nothing of
//! answers.
//!
//! **Invariant:** the instants of a schedule ascend, and do not depend on how soon anything is
//! answered.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// The arrivals of a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Arrivals {
    /// A worker starts its next operation when its last one was answered.
    Closed,
    /// So many a second, evenly.
    Constant(f64),
    /// So many a second on average, independent of each other.
    Poisson(f64),
    /// From none to so many a second over the run, evenly.
    Ramp(f64),
    /// At these offsets from the first, divided by the speed.
    Replay {
        offsets: Arc<[Duration]>,
        speed: f64,
    },
}

/// The arrivals that a command line can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ArrivalKind {
    /// Each connection starts its next operation when its last one was answered.
    Closed,
    /// By the clock, evenly.
    Constant,
    /// By the clock, at random: what independent people do.
    Poisson,
    /// By the clock, from none to the full rate at the end.
    Ramp,
}

impl Arrivals {
    /// Those that `--arrivals` and `--rate` name: by the clock if there is a rate, evenly unless
    /// it says otherwise.
    pub(crate) fn named(kind: Option<ArrivalKind>, rate: Option<f64>) -> anyhow::Result<Self> {
        let Some(rate) = rate else {
            return match kind {
                None | Some(ArrivalKind::Closed) => Ok(Self::Closed),
                Some(_) => Err(anyhow::anyhow!("--arrivals by the clock need a --rate")),
            };
        };
        match kind {
            Some(ArrivalKind::Closed) => Err(anyhow::anyhow!(
                "--arrivals closed have no --rate: leave one out"
            )),
            None | Some(ArrivalKind::Constant) => Ok(Self::Constant(rate)),
            Some(ArrivalKind::Poisson) => Ok(Self::Poisson(rate)),
            Some(ArrivalKind::Ramp) => Ok(Self::Ramp(rate)),
        }
    }

    /// The instants of a run of this length; `None` for a closed loop.
    pub(super) fn schedule(&self, lasting: Option<Duration>) -> Option<Schedule> {
        (*self != Self::Closed).then(|| Schedule {
            arrivals: self.clone(),
            lasting,
            number: 0,
            last: Duration::ZERO,
            // The same instants in every run, so that runs can be compared.
            rng: StdRng::seed_from_u64(1),
        })
    }
}

impl fmt::Display for Arrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed"),
            Self::Constant(rate) => write!(f, "constant {rate}/s"),
            Self::Poisson(rate) => write!(f, "poisson {rate}/s"),
            Self::Ramp(rate) => write!(f, "ramp to {rate}/s"),
            Self::Replay { speed, .. } => write!(f, "replay at ×{speed}"),
        }
    }
}

/// The intended starts of a run, as offsets from its beginning.
pub(super) struct Schedule {
    arrivals: Arrivals,
    /// Of the run; a schedule without goes on until it is dropped, or its replay is over.
    lasting: Option<Duration>,
    number: u64,
    last: Duration,
    rng: StdRng,
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let number = self.number as f64;
        let offset = match &self.arrivals {
            Arrivals::Closed => return None,
            Arrivals::Constant(rate) => Duration::from_secs_f64(number / rate),
            Arrivals::Poisson(rate) => {
                // Never the logarithm of zero: the range excludes 1.
                let share: f64 = self.rng.random_range(0.0..1.0);
                self.last + Duration::from_secs_f64(-(1.0 - share).ln() / rate)
            }
            Arrivals::Ramp(rate) => {
                // Of a rate that grows evenly, half its end times the time have come by the end.
                let all = self.lasting?.as_secs_f64() * rate / 2.0;
                self.lasting?.mul_f64(((number + 0.5) / all).sqrt())
            }
            Arrivals::Replay { offsets, speed } => {
                offsets.get(self.number as usize)?.div_f64(*speed)
            }
        };
        self.number += 1;
        self.last = offset;
        let is_over = self.lasting.is_some_and(|lasting| offset >= lasting);
        (!is_over).then_some(offset)
    }
}

/// Wakes at an instant within some 50 µs: the runtime's own timers know milliseconds only.
pub(super) struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    pub(super) fn new() -> anyhow::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags);
        let timer = timer.context("cannot make a timer")?;
        #[expect(
            deprecated,
            reason = "unsound for types whose descriptor may change, and its replacement is \
                      unsafe; that of an `OwnedFd` stays the same until it is dropped"
        )]
        let watched = AsyncFd::new(timer);
        Ok(Self(watched.context("cannot watch a timer")?))
    }

    /// Returns at `due`, at once if that is past.
    pub(super) async fn until(&self, due: Instant) -> anyhow::Result<()> {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: left.as_secs() as i64,
                tv_nsec: left.subsec_nanos().into(),
            },
        };
        // Set anew, a timer is not readable before it has expired again.
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.0.readable().await?;
            if Instant::now() >= due {
                ready.clear_ready();
                return Ok(());
            }
            // Of an earlier expiry.
            ready.clear_ready();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LASTING: Duration = Duration::from_secs(10);

    fn instants(arrivals: &Arrivals) -> Vec<f64> {
        let schedule = arrivals.schedule(Some(LASTING)).unwrap();
        schedule.map(|offset| offset.as_secs_f64()).collect()
    }

    /// How many of them lie in the first half of the run.
    fn early(instants: &[f64]) -> usize {
        instants.iter().filter(|instant| **instant < 5.0).count()
    }

    #[test]
    fn a_schedule_has_the_instants_of_its_arrivals() {
        let constant = instants(&Arrivals::Constant(4.0));
        assert_eq!(
            (constant.len(), constant[1], constant[39]),
            (40, 0.25, 9.75)
        );

        let poisson = instants(&Arrivals::Poisson(1_000.0));
        // Four standard deviations of either count.
        assert!(poisson.len().abs_diff(10_000) < 400, "{}", poisson.len());
        assert!(early(&poisson).abs_diff(5_000) < 283, "{}", early(&poisson));
        assert!(poisson.is_sorted());
        let gaps = poisson.windows(2).map(|two| two[1] - two[0]);
        let long = gaps.filter(|gap| *gap > 0.001).count() as f64 / poisson.len() as f64;
        assert!((long - (-1f64).exp()).abs() < 0.02, "{long} above the mean");

        let ramp = instants(&Arrivals::Ramp(1_000.0));
        assert_eq!((ramp.len(), early(&ramp)), (5_000, 1_250));
        assert!(ramp.is_sorted());

        let offsets = [0, 2, 4, 60].map(Duration::from_secs).into();
        let replay = instants(&Arrivals::Replay { offsets, speed: 4.0 });
        assert_eq!(replay, [0.0, 0.5, 1.0]);

        assert!(Arrivals::Closed.schedule(Some(LASTING)).is_none());
    }

    #[tokio::test]
    async fn an_alarm_never_wakes_early() {
        let alarm = Alarm::new().unwrap();
        for micros in [0, 100, 3_000, 10] {
            let due = Instant::now() + Duration::from_micros(micros);
            alarm.until(due).await.unwrap();
            assert!(Instant::now() >= due);
        }
    }
}
