//! Rate limit of a log line that clients can cause, so that none of them fills the log or hides
//! other lines in it.
//!
//! Lines beyond the limit are dropped and not counted: what matters is that it happens. The limit
//! is one of the process and not of a client.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use model::{Time, now};

/// A limit, as a `static` beside its line.
pub struct LogLimit {
    every: Duration,
    logged_at: AtomicI64,
}

impl LogLimit {
    /// Admits a line in each span of `every`.
    pub const fn new(every: Duration) -> Self {
        Self { every, logged_at: AtomicI64::new(i64::MIN) }
    }

    /// Whether the line is logged, which counts as doing so.
    pub fn admits(&self) -> bool {
        self.admits_at(now())
    }

    /// Two threads at once may both be admitted, which costs a line.
    fn admits_at(&self, at: Time) -> bool {
        let before = Time(self.logged_at.load(Ordering::Relaxed));
        // A clock that was set back does not silence the line.
        let is_due = at < before || before.after(self.every) <= at;
        if is_due {
            self.logged_at.store(at.0, Ordering::Relaxed);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_logged_once_a_span() {
        let limit = LogLimit::new(Duration::from_secs(10));
        let admitted = [0, 9_999, 10_000, 19_000, 5_000, 15_000];
        let admitted = admitted.map(|at| limit.admits_at(Time(at)));
        assert_eq!(admitted, [true, false, true, false, true, true]);
    }
}
