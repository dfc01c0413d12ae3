//! The access log, and the guards held until a response has left.
//!
//! A line is written when a response has left or failed to, because the bytes sent are known
//! only then. It contains the client, the method, the path and the outcome, but never a token
//! or a query, which may be personal data. With the log off nothing is collected.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use chassis::request_id::RequestId;
use chassis::telemetry::ACCESS;
use http::{Method, StatusCode, Uri};
use http_body::{Body as HttpBody, Frame, SizeHint};
use model::{Id, kinds};

use crate::body::Body;
use crate::limits::{AddressPlace, SMALL_BYTES, SendCharge};
use crate::transfer::{Outgoing, Transfer};

/// The longest path in a line, in bytes; the shop's own have less than 200.
const PATH_BYTES_MAX: usize = 512;

/// The line of one request.
pub(crate) struct AccessRecord {
    /// When its head had arrived.
    pub(crate) started: Instant,
    /// The request id.
    pub(crate) request_id: RequestId,
    /// The client address.
    pub(crate) client: IpAddr,
    /// The user, if the request had a valid token.
    pub(crate) user: Option<Id<kinds::User>>,
    /// The method.
    pub(crate) method: Method,
    /// The target, of which only the path is written.
    pub(crate) uri: Uri,
    /// The label of the route.
    pub(crate) route: &'static str,
    /// The status of the response.
    pub(crate) status: StatusCode,
    /// The number of body bytes sent.
    pub(crate) bytes: u64,
}

impl Drop for AccessRecord {
    fn drop(&mut self) {
        let RequestId(request_id) = &self.request_id;
        let path = self.uri.path();
        let path = path.get(..PATH_BYTES_MAX).unwrap_or(path);
        let user_id = self.user.map(|id| id.to_string());
        tracing::info!(
            target: ACCESS,
            method = self.method.as_str(),
            path,
            route = self.route,
            status = self.status.as_u16(),
            bytes = self.bytes,
            duration_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            request_id,
            client = %self.client,
            user_id,
            "answered"
        );
    }
}

/// The guards that are released when a response has left.
#[derive(Default)]
pub(crate) struct Held {
    /// The slot of an open stream.
    pub(crate) place: Option<AddressPlace>,
    /// The line of the access log.
    pub(crate) line: Option<AccessRecord>,
}

/// A response's body with its guards.
pub(crate) struct Watched {
    body: Body,
    held: Option<Box<Held>>,
    /// Held by each of its frames, too.
    charge: Option<Arc<SendCharge>>,
    /// The HTTP/2 stream or the HTTP/1.1 connection that it is sent over.
    transfer: Option<Arc<Transfer>>,
    /// Whether its end waits until its frames were written.
    is_end_held_back: bool,
    /// Whether the last frame of `body` was sent.
    is_over: bool,
}

impl Watched {
    /// Holds the guards until `body` has left.
    pub(crate) fn new(body: Body, held: Held, charge: Option<Arc<SendCharge>>) -> Self {
        let is_needed = held.place.is_some() || held.line.is_some();
        Self {
            body,
            held: is_needed.then(|| Box::new(held)),
            charge,
            transfer: None,
            is_end_held_back: false,
            is_over: false,
        }
    }

    /// Sends the body over an HTTP/2 stream.
    #[must_use]
    pub(crate) fn over(mut self, transfer: Option<Arc<Transfer>>) -> Self {
        let is_small = |bytes| bytes <= SMALL_BYTES;
        let is_small = self.body.size_hint().exact().is_some_and(is_small);
        if let Some(transfer) = &transfer {
            self.is_end_held_back = !is_small || transfer.is_backed_up();
            if self.charge.is_some() {
                transfer.set_charged();
            }
        }
        self.transfer = transfer;
        self
    }

    /// Sends the body over an HTTP/1.1 connection.
    #[must_use]
    pub(crate) fn counted(mut self, connection: Arc<Transfer>) -> Self {
        self.transfer = Some(connection);
        self
    }

    /// The transfer whose bytes the end of this body waits for.
    fn end_waits_for(&self) -> Option<&Transfer> {
        self.transfer.as_deref().filter(|_| self.is_end_held_back)
    }
}

impl HttpBody for Watched {
    type Data = Outgoing;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Outgoing>, Self::Error>>> {
        let this = &mut *self;
        let frame = if this.is_over {
            None
        } else {
            ready!(Pin::new(&mut this.body).poll_frame(cx))
        };
        let Some(frame) = frame else {
            this.is_over = true;
            if let Some(transfer) = this.end_waits_for() {
                ready!(transfer.poll_written(cx));
            }
            return Poll::Ready(None);
        };
        if let Some(Held { line: Some(line), .. }) = this.held.as_deref_mut()
            && let Ok(frame) = &frame
        {
            line.bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
        }
        let outgoing = |bytes| Outgoing::new(bytes, this.transfer.clone(), this.charge.clone());
        Poll::Ready(Some(frame.map(|frame| frame.map_data(outgoing))))
    }

    fn is_end_stream(&self) -> bool {
        let is_written = |transfer: &Transfer| transfer.unwritten() == 0;
        self.body.is_end_stream() && self.end_waits_for().is_none_or(is_written)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(line)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_has_neither_token_nor_query() {
        let lines = Lines::default();
        let made = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(move || made.clone())
            .finish();
        let user = Id::new();
        tracing::subscriber::with_default(subscriber, || {
            drop(AccessRecord {
                started: Instant::now(),
                request_id: RequestId("abc".into()),
                client: [192, 0, 2, 1].into(),
                user: Some(user),
                method: Method::GET,
                uri: Uri::from_static("/v1/orders?email=secret"),
                route: "/v1/orders",
                status: StatusCode::OK,
                bytes: 11,
            });
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["target"], "access");
        assert_eq!(line["path"], "/v1/orders");
        assert_eq!(line["client"], "192.0.2.1");
        assert_eq!(line["user_id"], user.to_string());
        assert_eq!((&line["status"], &line["bytes"]), (&200.into(), &11.into()));
        assert!(!text.contains("secret"), "{text}");
    }
}
