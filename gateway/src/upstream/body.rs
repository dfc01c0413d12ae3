//! The body of a service's response, over a connection or from this process.
//!
//! **Invariants:** reading a remote body drives its connection, so a slow client slows the
//! service down. The connection returns to the pool as soon as its body ended cleanly,
//! before the client has all of it, and is closed in every other case: cut by the service,
//! abandoned by the client, or with the request's body still on its way.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use super::link::Link;
use super::pool::Lease;
use crate::BoxError;

/// The body of a service's response.
pub(crate) enum ServiceBody {
    /// Over a connection.
    Remote(RemoteBody),
    /// From this process.
    InProcess(chassis::in_process::LocalBody),
}

impl HttpBody for ServiceBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Remote(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::InProcess(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Remote(body) => body.is_end_stream(),
            Self::InProcess(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Remote(body) => body.size_hint(),
            Self::InProcess(body) => body.size_hint(),
        }
    }
}

/// A body and the connection that it comes over.
pub(crate) struct RemoteBody {
    incoming: Incoming,
    /// `None` once the connection was returned or closed.
    lent: Option<(Link, Lease)>,
}

impl RemoteBody {
    /// A body of which nothing was read yet; it may have ended with its head.
    pub(super) fn new(incoming: Incoming, link: Link, lease: Lease) -> Self {
        let mut body = Self { incoming, lent: Some((link, lease)) };
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
        if let Some((link, lease)) = self.lent.take()
            && link.can_serve()
        {
            lease.give_back(link);
        }
    }
}

impl HttpBody for RemoteBody {
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
