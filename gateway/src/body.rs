//! Bodies on their way through: counted and timed, never collected.
//!
//! **Invariant:** a frame is asked for only when the other side has room for it,
//! so a slow reader slows the writer down instead of filling memory.

mod request;

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

pub(crate) use self::request::{Progress, RequestBody, linger};

use crate::Error;
use crate::upstream::FarBody;

/// How long a service may send nothing in the middle of an answer. A stream of
/// notifications shows a sign of life every 15 s.
const ANSWER_IDLE: Duration = Duration::from_secs(60);

/// The last of a stream of events that the gateway ends: connect again after a
/// second (HTML Standard, "Server-sent events").
const COME_AGAIN: Bytes = Bytes::from_static(b"retry: 1000\n\n");

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A service's body: over a connection, or from this process.
pub(crate) enum Answer {
    /// Over a connection.
    Far(FarBody),
    /// From this process.
    Near(chassis::in_process::LocalBody),
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Far(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Near(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Far(body) => body.is_end_stream(),
            Self::Near(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Far(body) => body.size_hint(),
            Self::Near(body) => body.size_hint(),
        }
    }
}

/// An answer's body on its way to a client.
pub(crate) enum Body {
    /// One of the gateway's own.
    Page(UnsyncBoxBody<Bytes, BoxError>),
    /// A service's.
    Streamed(Streamed),
}

impl Body {
    /// No body.
    pub(crate) fn empty() -> Self {
        Self::page(Empty::new())
    }

    /// A page of the gateway's.
    pub(crate) fn page<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        Self::Page(body.map_err(Into::into).boxed_unsync())
    }

    /// A service's answer; with `until` it ends there, cleanly.
    pub(crate) fn streamed(
        service: &'static str,
        incoming: Answer,
        until: Option<&CancellationToken>,
    ) -> Self {
        let until = until.map(|token| Box::pin(token.clone().cancelled_owned()));
        Self::Streamed(Streamed {
            incoming,
            service,
            until,
            is_between: true,
            is_over: false,
            idle: None,
            is_waiting: false,
        })
    }
}

/// A chassis page, such as a problem, as an answer here.
pub(crate) fn page<B>(response: Response<B>) -> Response<Body>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    response.map(Body::page)
}

/// A service's body, cut when the service falls silent.
pub(crate) struct Streamed {
    incoming: Answer,
    service: &'static str,
    until: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    /// Whether an event is whole so far, where events are streamed.
    is_between: bool,
    /// Whether its end has been hinted at.
    is_over: bool,
    /// Made when the body is first waited for: most have arrived whole.
    idle: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
}

impl Streamed {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Some(until) = &mut self.until
            && until.as_mut().poll(cx).is_ready()
        {
            self.is_over = true;
            // Amid an event it would become a part of that.
            let hint = self.is_between.then(|| Ok(Frame::data(COME_AGAIN)));
            return Poll::Ready(hint);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) {
            self.is_waiting = false;
            if let (Some(_), Some(Ok(frame))) = (&self.until, &frame) {
                let ends_event = |data: &Bytes| data.ends_with(b"\n\n");
                self.is_between = frame.data_ref().is_none_or(ends_event);
            }
            return Poll::Ready(frame);
        }
        let deadline = Instant::now() + ANSWER_IDLE;
        let idle = self
            .idle
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if !self.is_waiting {
            idle.as_mut().reset(deadline);
            self.is_waiting = true;
        }
        ready!(idle.as_mut().poll(cx));
        let error = Error::Late { service: self.service, timeout: ANSWER_IDLE };
        tracing::warn!(%error, "an answer was cut");
        Poll::Ready(Some(Err(error.into())))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Page(body) => Pin::new(body).poll_frame(cx),
            Self::Streamed(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Page(body) => body.is_end_stream(),
            Self::Streamed(body) => body.is_over || body.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Page(body) => body.size_hint(),
            Self::Streamed(body) => body.incoming.size_hint(),
        }
    }
}
