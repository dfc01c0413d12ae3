//! Progress timeout: a limit on slow clients that a long transfer does not reach.
//!
//! A client starts with the whole timeout. Waiting for it uses that up, and each byte earns
//! a little back, never beyond the whole. A pause shorter than the timeout is therefore
//! accepted, while one byte a second is not. Time in which the gateway does not wait for the
//! client does not count.
//!
//! Under pressure, when the gateway drains or the send budget is scarce, a second and much
//! shorter timeout ([`URGENT_TIMEOUT`]) counts as well: what a stalled client holds is needed.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// The timeout under pressure, and the rate in bytes per second that refills it: a phone with
/// a weak signal is faster.
const URGENT_TIMEOUT: Duration = Duration::from_secs(1);
const URGENT_BYTES_PER_SECOND: u32 = 16 * 1024;

/// The interval at which a waiting transfer looks for pressure.
const PRESSURE_CHECK: Duration = Duration::from_millis(500);

/// Whether slow clients have to give way. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Pressure(Arc<dyn Fn() -> bool + Send + Sync>);

impl Pressure {
    /// The pressure is high while `is_high` returns true.
    pub(crate) fn new(is_high: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_high))
    }
}

impl fmt::Debug for Pressure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pressure").field(&(self.0)()).finish()
    }
}

/// One client's timeout.
#[derive(Debug)]
pub(crate) struct ProgressTimeout {
    usual: TimeoutBudget,
    urgent: TimeoutBudget,
    pressure: Pressure,
    waiting_since: Option<Instant>,
    /// Created at the first wait: most clients never make the gateway wait.
    timer: Option<Pin<Box<Sleep>>>,
}

/// A timeout that waiting uses up and bytes refill.
#[derive(Debug)]
struct TimeoutBudget {
    timeout: Duration,
    bytes_per_second: u32,
    left: Duration,
}

impl TimeoutBudget {
    fn new(timeout: Duration, bytes_per_second: u32) -> Self {
        Self { timeout, bytes_per_second, left: timeout }
    }

    fn spend(&mut self, waited: Duration) {
        self.left = self.left.saturating_sub(waited);
    }

    fn refill(&mut self, bytes: u32) {
        if self.left < self.timeout {
            let refill = Duration::from_secs(1) * bytes / self.bytes_per_second;
            self.left = self.timeout.min(self.left + refill);
        }
    }
}

impl ProgressTimeout {
    /// Creates a whole `timeout`, which refills at `bytes_per_second`.
    pub(crate) fn new(timeout: Duration, bytes_per_second: u32, pressure: Pressure) -> Self {
        Self {
            usual: TimeoutBudget::new(timeout, bytes_per_second),
            urgent: TimeoutBudget::new(URGENT_TIMEOUT, URGENT_BYTES_PER_SECOND),
            pressure,
            waiting_since: None,
            timer: None,
        }
    }

    /// The longest time without progress.
    pub(crate) fn timeout(&self) -> Duration {
        self.usual.timeout
    }

    /// Whether waiting for the client has used up more of the timeout than its bytes have
    /// earned: a byte now and then does not end the wait.
    pub(crate) fn is_waiting(&self) -> bool {
        let used = self.usual.timeout.saturating_sub(self.usual.left);
        let waited = self.waiting_since.map(|since| since.elapsed());
        used + waited.unwrap_or_default() >= PRESSURE_CHECK
    }

    /// Records that the gateway waits for the client; ready when the timeout is used up.
    pub(crate) fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let since = *self.waiting_since.get_or_insert(now);
        let mut now = now;
        loop {
            let deadline = self.deadline(since);
            if deadline <= now {
                return Poll::Ready(());
            }
            let next = deadline.min(now + PRESSURE_CHECK);
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
            if timer.deadline() <= now || timer.deadline() > next {
                timer.as_mut().reset(next);
            }
            ready!(timer.as_mut().poll(cx));
            now = Instant::now();
        }
    }

    fn deadline(&self, since: Instant) -> Instant {
        let left = if (self.pressure.0)() {
            self.usual.left.min(self.urgent.left)
        } else {
            self.usual.left
        };
        since + left
    }

    /// Records progress: stops the wait, and refills the timeout by these bytes.
    pub(crate) fn moved(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let waited = self.waiting_since.take().map(|since| since.elapsed());
        for budget in [&mut self.usual, &mut self.urgent] {
            budget.spend(waited.unwrap_or_default());
            budget.refill(bytes);
        }
    }
}

/// A connection that is closed when its client reads too slowly.
pub(crate) struct WithProgressTimeout<S> {
    stream: S,
    writing: ProgressTimeout,
}

impl<S> WithProgressTimeout<S> {
    /// Closes `stream` when its writes make less progress than `writing` allows.
    pub(crate) fn new(stream: S, writing: ProgressTimeout) -> Self {
        Self { stream, writing }
    }

    fn with_progress(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => self.writing.moved(bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                ready!(self.writing.poll_too_slow(cx));
                let why = "the client reads too slowly";
                return Poll::Ready(Err(io::Error::new(ErrorKind::TimedOut, why)));
            }
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WithProgressTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WithProgressTimeout<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.with_progress(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.with_progress(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use tokio::io::AsyncWriteExt;

    const TIMEOUT: Duration = Duration::from_millis(50);

    fn without_pressure() -> Pressure {
        Pressure::new(|| false)
    }

    /// Whether the timeout lasts longer than `pause`.
    async fn is_waited_for(progress: &mut ProgressTimeout, pause: Duration) -> bool {
        let too_slow = poll_fn(|cx| progress.poll_too_slow(cx));
        tokio::time::timeout(pause, too_slow).await.is_err()
    }

    #[tokio::test]
    async fn a_trickle_of_bytes_times_out() {
        let mut progress = ProgressTimeout::new(TIMEOUT, 1024, without_pressure());
        let started = Instant::now();
        while is_waited_for(&mut progress, TIMEOUT / 5).await {
            progress.moved(1);
            assert!(
                started.elapsed() < 100 * TIMEOUT,
                "a trickle of bytes keeps it alive"
            );
        }
        assert!(started.elapsed() >= TIMEOUT);
    }

    #[tokio::test]
    async fn a_byte_now_and_then_does_not_end_the_wait() {
        let hour = Duration::from_secs(3600);
        let mut progress = ProgressTimeout::new(hour, 1024, without_pressure());
        assert!(is_waited_for(&mut progress, TIMEOUT).await);
        assert!(!progress.is_waiting(), "a moment");
        while progress.usual.left > hour - PRESSURE_CHECK {
            assert!(is_waited_for(&mut progress, TIMEOUT).await);
            progress.moved(1);
        }
        assert!(progress.is_waiting());
        progress.moved(1024);
        assert!(!progress.is_waiting(), "its bytes have earned it back");
    }

    #[tokio::test]
    async fn progress_after_a_pause_refills_the_timeout_and_no_more() {
        let mut progress =
            ProgressTimeout::new(Duration::from_secs(3600), 1024, without_pressure());
        for _ in 0..3 {
            assert!(is_waited_for(&mut progress, TIMEOUT).await);
            assert!(progress.waiting_since.is_some());
            progress.moved(1024);
            assert_eq!(progress.usual.left, progress.timeout(), "refilled");
        }
        progress.moved(1);
        assert_eq!(
            progress.usual.left,
            progress.timeout(),
            "and no more than whole"
        );
    }

    #[tokio::test]
    async fn under_pressure_a_trickle_ends_the_transfer() {
        let is_high = Arc::new(AtomicBool::new(false));
        let seen = is_high.clone();
        let pressure = Pressure::new(move || seen.load(Ordering::Relaxed));
        let hour = Duration::from_secs(3600);
        let mut progress = ProgressTimeout::new(hour, 1024, pressure);
        while progress.urgent.left > TIMEOUT {
            assert!(is_waited_for(&mut progress, 2 * TIMEOUT).await);
            progress.moved(16);
        }
        is_high.store(true, Ordering::Relaxed);
        assert!(!is_waited_for(&mut progress, hour).await);
        progress.moved(URGENT_BYTES_PER_SECOND as usize);
        assert_eq!(progress.urgent.left, URGENT_TIMEOUT);
        assert!(is_waited_for(&mut progress, TIMEOUT).await);
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_disconnected() {
        let (_unread, end) = tokio::io::duplex(16);
        let mut limited =
            WithProgressTimeout::new(end, ProgressTimeout::new(TIMEOUT, 1024, without_pressure()));
        let started = Instant::now();
        let error = limited.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(started.elapsed() >= TIMEOUT);
    }
}
