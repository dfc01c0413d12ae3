//! The timer of one connection, for deadlines that are moved far more often than they
//! expire: each request head has one, and arrives long before it.
//!
//! Setting a timer of the runtime takes a lock and sometimes a system call. A timer that is
//! set is therefore left alone: when it expires early it is reset to the deadline of that
//! moment, and when its deadline was met already it expires once without effect.
//!
//! **Invariant:** no deadline is missed: the timer is set for it or for an earlier moment.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use parking_lot::Mutex;

/// One timer for all deadlines of a connection, which waits for one of them at a time.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConnectionTimer(Arc<Mutex<Option<Pin<Box<tokio::time::Sleep>>>>>);

impl Timer for ConnectionTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Until { deadline, timer: self.clone() })
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

/// A deadline.
struct Until {
    deadline: Instant,
    timer: ConnectionTimer,
}

impl Sleep for Until {}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline.into();
        let mut timer = self.timer.0.lock();
        let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    const SHORT: Duration = Duration::from_millis(10);

    async fn is_over(sleep: &mut Pin<Box<dyn Sleep>>) -> bool {
        poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx).is_ready())).await
    }

    #[tokio::test]
    async fn a_timer_that_expires_early_is_reset_to_the_next_deadline() {
        let timer = ConnectionTimer::default();
        let mut first = timer.sleep(SHORT);
        assert!(!is_over(&mut first).await);
        drop(first);
        let (began, mut second) = (Instant::now(), timer.sleep(3 * SHORT));
        assert!(!is_over(&mut second).await);
        second.await;
        assert!(
            began.elapsed() >= 3 * SHORT,
            "it expired at the first deadline"
        );
    }

    #[tokio::test]
    async fn an_earlier_deadline_moves_the_timer_forward() {
        let timer = ConnectionTimer::default();
        let mut far = timer.sleep(Duration::from_secs(3600));
        assert!(!is_over(&mut far).await);
        drop(far);
        timer.sleep(SHORT).await;
    }
}
