//! One HTTP/1.1 connection to an instance.
//!
//! A connection has no task of its own: the future that waits for a response or reads its
//! body drives it, so a request costs no switch between tasks, and an unread body applies
//! backpressure to the socket.
//!
//! **Invariants:** a request is given back only when not a byte of it was written; a
//! connection returns to the pool only after a clean end in both directions
//! ([`Link::can_serve`]), and is closed when dropped before that.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::request_body::RequestBody;

/// How long a connection to a service may take: it is on this host or the next.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The read buffer for a response, in bytes: a head, or a piece of a body.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// An open connection.
pub(super) struct Link(Box<Ends>);

struct Ends {
    sender: SendRequest<RequestBody>,
    /// `None` once it has ended.
    connection: Option<Connection<TokioIo<TcpStream>, RequestBody>>,
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// The reason, for the log.
    pub(super) async fn open(address: SocketAddr) -> Result<Self, String> {
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address));
        let stream = connecting
            .await
            .map_err(|_| format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()))?
            .map_err(|error| error.to_string())?;
        stream
            .set_nodelay(true)
            .map_err(|error| error.to_string())?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| crate::error::chain(&error))?;
        Ok(Self(Box::new(Ends {
            sender,
            connection: Some(connection),
        })))
    }

    /// Sends a request and waits for the response's head.
    ///
    /// # Errors
    /// The cause, with the request if nothing of it was written.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        let mut response = pin!(self.0.sender.try_send_request(request));
        poll_fn(|cx| {
            drive(&mut self.0.connection, cx);
            response.as_mut().poll(cx)
        })
        .await
    }

    /// Reads and writes as much as the socket allows.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        drive(&mut self.0.connection, cx);
    }

    /// Whether both sides are done with the last request and neither has closed.
    pub(super) fn can_serve(&self) -> bool {
        self.0.connection.is_some() && self.0.sender.is_ready()
    }
}

/// Polls a connection, and drops it once it has ended: a request that it has not begun then
/// returns to its sender.
fn drive(
    connection: &mut Option<Connection<TokioIo<TcpStream>, RequestBody>>,
    cx: &mut Context<'_>,
) {
    let Some(open) = connection else { return };
    if let Poll::Ready(ended) = Pin::new(open).poll(cx) {
        if let Err(error) = ended {
            tracing::trace!(%error, "a connection to a service ended");
        }
        *connection = None;
    }
}
