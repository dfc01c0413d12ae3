//! The body of a request on its way to a service: limited in size and progress, and
//! drained even when the service responds without reading it.
//!
//! **Invariant:** a body never passes more bytes than its route allows, and its failure
//! reaches the task that waits for the response.

use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::Error;
use crate::progress_timeout::ProgressTimeout;
use crate::shed::Arrival;

/// Lingering close: how much of a refused request's body is still read, and for how long,
/// so that the client reads its refusal instead of a reset connection.
const LINGER_BYTES: usize = 4 * 1024 * 1024;
const LINGER_TIMEOUT: Duration = Duration::from_secs(5);

/// The moment of a body's last progress.
#[derive(Debug)]
pub(crate) struct BodyProgress(Mutex<Instant>);

impl BodyProgress {
    /// Starts with the present moment.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Instant::now())))
    }

    /// The moment of the last progress.
    pub(crate) fn last(&self) -> Instant {
        *self.0.lock()
    }

    fn touch(&self) {
        *self.0.lock() = Instant::now();
    }
}

/// The failure of a body, for the task that sent it. An in-process service that is given
/// the failing body makes a response of its own, which must not hide the cause.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestBodyFault(Arc<OnceLock<Error>>);

impl RequestBodyFault {
    /// The failure, if there was one.
    pub(crate) fn seen(&self) -> Option<Error> {
        self.0.get().cloned()
    }
}

/// A body that the client sends only after `100 Continue` (`Expect`, RFC 9110 §10.1.1), which
/// hyper sends when the body is first read.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeldBack(Arc<AtomicBool>);

impl HeldBack {
    /// Whether it was never read, so that the client does not send it.
    pub(crate) fn is_unread(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }
}

/// A client's body on its way to a service.
#[derive(Debug)]
pub(crate) struct RequestBody {
    incoming: Option<Incoming>,
    bytes_left: u64,
    bytes_max: u64,
    progress: Option<Arc<BodyProgress>>,
    progress_timeout: Option<ProgressTimeout>,
    arrival: Option<Arrival>,
    /// Unless the client sends the body whatever the response is.
    held_back: Option<HeldBack>,
    fault: Option<RequestBodyFault>,
}

impl RequestBody {
    /// No body.
    pub(crate) fn empty() -> Self {
        Self {
            incoming: None,
            bytes_left: 0,
            bytes_max: 0,
            progress: None,
            progress_timeout: None,
            arrival: None,
            held_back: None,
            fault: None,
        }
    }

    /// Where its failure is recorded; `None` for an empty body, which cannot fail.
    pub(crate) fn fault(&mut self) -> Option<RequestBodyFault> {
        self.incoming.as_ref()?;
        Some(self.fault.get_or_insert_default().clone())
    }

    fn failed(&self, error: Error) -> Error {
        // The first failure is the cause of any other.
        match &self.fault {
            Some(fault) => fault.0.get_or_init(|| error).clone(),
            None => error,
        }
    }

    /// Passes at most `bytes_max` bytes, and records the progress of each frame.
    pub(crate) fn new(
        incoming: Incoming,
        bytes_max: u64,
        progress: Option<Arc<BodyProgress>>,
    ) -> Self {
        let incoming = Some(incoming).filter(|incoming| !incoming.is_end_stream());
        Self {
            incoming,
            bytes_left: bytes_max,
            bytes_max,
            progress,
            progress_timeout: None,
            arrival: None,
            held_back: None,
            fault: None,
        }
    }

    /// Marks a body that the client may hold back.
    #[must_use]
    pub(crate) fn held_back(mut self, held_back: Option<HeldBack>) -> Self {
        self.held_back = held_back.filter(|_| self.incoming.is_some());
        self
    }

    /// Cuts the body off when it arrives more slowly than `progress_timeout` allows.
    #[must_use]
    pub(crate) fn with_progress_timeout(mut self, progress_timeout: ProgressTimeout) -> Self {
        self.progress_timeout = self.incoming.is_some().then_some(progress_timeout);
        self
    }

    /// Notifies `arrival` when the whole body has arrived; from then on its service works.
    #[must_use]
    pub(crate) fn with_arrival(mut self, arrival: Arrival) -> Self {
        if self.incoming.is_none() {
            arrival.notify();
        } else {
            self.arrival = Some(arrival);
        }
        self
    }

    fn poll_incoming(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(&mut *incoming).poll_frame(cx);
        if let Some(arrival) = &self.arrival
            && (matches!(polled, Poll::Ready(None)) || incoming.is_end_stream())
        {
            arrival.notify();
        }
        polled
    }
}

impl Drop for RequestBody {
    /// Drains the rest: a service may respond before it has read everything, and the
    /// client must receive that response.
    fn drop(&mut self) {
        let is_coming = !self.held_back.as_ref().is_some_and(HeldBack::is_unread);
        if let Some(rest) = self.incoming.take().filter(|_| is_coming) {
            linger(rest);
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(HeldBack(is_read)) = &self.held_back {
            is_read.store(true, Ordering::Relaxed);
        }
        let frame = match self.poll_incoming(cx) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) => {
                let why = crate::error::chain(&error);
                return Poll::Ready(Some(Err(self.failed(Error::Unreadable { why }))));
            }
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {
                let Some(progress_timeout) = &mut self.progress_timeout else {
                    return Poll::Pending;
                };
                ready!(progress_timeout.poll_too_slow(cx));
                let timeout = progress_timeout.timeout();
                return Poll::Ready(Some(Err(self.failed(Error::Slow { timeout }))));
            }
        };
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        if let Some(progress_timeout) = &mut self.progress_timeout {
            progress_timeout.moved(bytes);
        }
        let bytes = bytes as u64;
        let Some(bytes_left) = self.bytes_left.checked_sub(bytes) else {
            let bytes_max = self.bytes_max;
            return Poll::Ready(Some(Err(self.failed(Error::TooLarge { bytes_max }))));
        };
        self.bytes_left = bytes_left;
        if let Some(progress) = &self.progress {
            progress.touch();
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

/// Reads on after an early response, within bounds: closing a socket with unread bytes
/// resets it, and the client would lose the response.
pub(crate) fn linger(body: Incoming) {
    // A body may outlive its runtime while the process ends.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    if body.is_end_stream() {
        return;
    }
    runtime.spawn(async move {
        let mut rest = Limited::new(body, LINGER_BYTES);
        let drained = async { while let Some(Ok(_)) = rest.frame().await {} };
        let _ = tokio::time::timeout(LINGER_TIMEOUT, drained).await;
    });
}
