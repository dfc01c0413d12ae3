//! Response bodies: the gateway's own pages, and a service's body, streamed and timed.
//!
//! **Invariant:** a frame is polled only when the client's side can take it
//! (backpressure), so a slow reader slows the service down instead of filling memory.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use chassis::problem::NO_STORE;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::BoxError;
use crate::Error;
use crate::upstream::ServiceBody;

/// Idle timeout of a service in the middle of a response. A notification stream has a
/// heartbeat every 15 s.
const BODY_IDLE: Duration = Duration::from_secs(60);

/// Ends an event stream: the client reconnects after a second (HTML Standard, "Server-sent
/// events").
const RECONNECT: Bytes = Bytes::from_static(b"retry: 1000\n\n");

/// A response's body on its way to a client.
pub(crate) enum Body {
    /// A page of the gateway.
    Page(UnsyncBoxBody<Bytes, BoxError>),
    /// A service's body.
    Streamed(Streamed),
}

impl Body {
    /// No body.
    pub(crate) fn empty() -> Self {
        Self::page(Empty::new())
    }

    /// The body of a page of the gateway.
    pub(crate) fn page<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        Self::Page(body.map_err(Into::into).boxed_unsync())
    }

    /// A service's body; an event stream with `until` ends cleanly at that moment.
    pub(crate) fn streamed(
        service: &'static str,
        incoming: ServiceBody,
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

/// Converts a response of chassis, such as a problem.
pub(crate) fn page<B>(response: Response<B>) -> Response<Body>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    response.map(Body::page)
}

/// A JSON page about the present state of the shop.
pub(crate) fn json_page(value: &serde_json::Value) -> Response<Body> {
    let mut response = typed_page("application/json", Bytes::from(value.to_string()));
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// A page of a media type.
pub(crate) fn typed_page(kind: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::page(Full::new(body)));
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// A service's body, cut when the service sends nothing for [`BODY_IDLE`].
pub(crate) struct Streamed {
    incoming: ServiceBody,
    service: &'static str,
    until: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    /// Whether the last event is complete, in an event stream.
    is_between: bool,
    /// Whether [`RECONNECT`] was sent.
    is_over: bool,
    /// Created at the first wait: most bodies arrive whole.
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
            // In the middle of an event the hint would become part of it.
            let hint = self.is_between.then(|| Ok(Frame::data(RECONNECT)));
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
        let deadline = Instant::now() + BODY_IDLE;
        let idle = self
            .idle
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if !self.is_waiting {
            idle.as_mut().reset(deadline);
            self.is_waiting = true;
        }
        ready!(idle.as_mut().poll(cx));
        let error = Error::Late { service: self.service, timeout: BODY_IDLE };
        tracing::warn!(%error, "a response was cut");
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
