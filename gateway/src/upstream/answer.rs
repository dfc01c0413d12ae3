//! The body of an answer that comes over a connection.
//!
//! **Invariants:** reading it is what drives the connection, so a slow client slows
//! the service down; the connection goes back to the pool the moment its body ended
//! cleanly, before the client has all of it, and is closed in every other case: cut
//! by the service, left by the client, or the request's own body still on its way.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use super::instance::InFlight;
use super::link::Link;

/// A service's body and the connection that it comes over.
pub(crate) struct FarBody {
    incoming: Incoming,
    /// `None` once the connection was given back or given up.
    lent: Option<(Link, InFlight)>,
}

impl FarBody {
    /// A body of which nothing was read yet; it may have ended with its head.
    pub(super) fn new(incoming: Incoming, link: Link, in_flight: InFlight) -> Self {
        let mut body = Self { incoming, lent: Some((link, in_flight)) };
        if body.incoming.is_end_stream() {
            body.give_back();
        }
        body
    }

    fn poll_incoming(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        if let Some((link, _)) = &mut self.lent {
            link.drive(cx);
        }
        Pin::new(&mut self.incoming).poll_frame(cx)
    }

    fn give_back(&mut self) {
        if let Some((link, in_flight)) = self.lent.take()
            && link.can_serve()
        {
            in_flight.0.pool.put(link);
        }
    }
}

impl HttpBody for FarBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let body = self.get_mut();
        let polled = body.poll_incoming(cx);
        match &polled {
            Poll::Ready(Some(Err(_))) => body.lent = None,
            Poll::Ready(None) => body.give_back(),
            Poll::Ready(Some(Ok(_))) if body.incoming.is_end_stream() => body.give_back(),
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
