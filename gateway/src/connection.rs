//! One connection: HTTP/1.1 or HTTP/2, in the clear or over TLS, and its end.
//!
//! HTTP/2 is negotiated by ALPN (RFC 7301); in the clear its preface (RFC 9113 §3.3) is
//! peeked at without being read, so that HTTP/1.1 loses nothing by it.
//!
//! **Invariants:** a client that does not finish its handshake within the timeout is cut;
//! open, pending and half-sent requests are bounded in both protocols; a client that does
//! not read is disconnected, or its HTTP/2 streams are reset (`transfer`); once a stop is
//! requested, a connection completes its requests, announces its end (`Connection: close`,
//! `GOAWAY`) and closes.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::{CONNECTION, COOKIE, STRICT_TRANSPORT_SECURITY};
use http::{HeaderMap, HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::BoxError;
use crate::access::Watched;
use crate::limits::ClientLimits;
use crate::progress_timeout::WithProgressTimeout;
use crate::tls::{Protocol, Tls};
use crate::transfer::{ClientTimeout, StreamExecutor, Transfer};
use crate::wire::{Framing, HeadScanner};

/// Timeout of the TLS handshake, and of recognizing the protocol.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Grace period after a stop was requested, in which an HTTP/1.1 connection serves one more
/// request, and an HTTP/2 client without streams closes its connection. Closing an idle
/// connection at once would lose a request in flight.
const LAST_REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// The first and the longest pause (backoff) before a preface that came in part is peeked
/// at again.
const PEEK_BACKOFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Concurrent streams of one HTTP/2 connection: as many as a page needs.
const STREAMS_MAX: u32 = 100;

/// Limits of rapid reset (CVE-2023-44487, CVE-2025-8671): streams that the client reset
/// before they were accepted, and streams reset for the client's errors, before its
/// connection is closed.
const PENDING_RESETS_MAX: usize = 20;
const ERROR_RESETS_MAX: usize = 100;

/// Flow control windows of a stream and of a connection, in bytes.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 512 * 1024;

/// Send buffer of a stream, in bytes.
const SEND_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Interval of HTTP/2 keep-alive pings, and the timeout of their acknowledgement.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Idle timeout: how long an HTTP/2 connection may stay without a new request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Serves connections in either protocol.
pub(crate) struct ConnectionServer {
    http1: http1::Builder,
    head_bytes_max: u32,
    tls: Option<Tls>,
    /// The header lines of refusals that hyper makes.
    refusal_lines: &'static str,
    limits: Arc<ClientLimits>,
}

impl ConnectionServer {
    /// Serves HTTP/1.1 as `http1` is configured; the bound of a head holds for HTTP/2, too.
    pub(crate) fn new(
        http1: http1::Builder,
        head_bytes_max: u32,
        tls: Option<Tls>,
        limits: Arc<ClientLimits>,
        refusal_lines: &'static str,
    ) -> Self {
        Self { http1, head_bytes_max, tls, refusal_lines, limits }
    }

    /// HTTP/2 whose streams run on `executor`.
    fn http2(&self, executor: StreamExecutor) -> http2::Builder<StreamExecutor> {
        let mut http2 = http2::Builder::new(executor);
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
            .max_local_error_reset_streams(ERROR_RESETS_MAX)
            .max_header_list_size(self.head_bytes_max)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT);
        http2
    }

    /// Serves a connection's requests by `handler` until the client closes it or, a grace
    /// period after `stop`, the gateway does; closes it at once when the client reads more
    /// slowly than the limits allow.
    ///
    /// # Errors
    /// The reason why it ended early.
    pub(crate) async fn serve<A, F>(
        &self,
        stream: TcpStream,
        stop: CancellationToken,
        handler: A,
    ) -> Result<(), BoxError>
    where
        A: Fn(Framing, Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<Watched>> + Send + 'static,
    {
        let writing = self.limits.write_progress_timeout();
        let Some(tls) = &self.tls else {
            let protocol = handshaken(&stop, sniff(&stream)).await?;
            let stream = WithProgressTimeout::new(stream, writing);
            return match protocol {
                Protocol::Http1 => self.serve_http1(stream, stop, handler).await,
                // Boxed, because it is rarer and larger: HTTP/1.1 does not reserve its size.
                Protocol::Http2 => Box::pin(self.serve_http2(stream, stop, handler)).await,
            };
        };
        let stream = handshaken(&stop, tls.accept(stream)).await?;
        let Some(stream) = stream else { return Ok(()) };
        let hsts = tls.hsts.clone();
        let handler = move |framing, request| {
            let (response, hsts) = (handler(framing, request), hsts.clone());
            async move {
                let mut response = response.await;
                if let Some(hsts) = hsts {
                    let headers = response.headers_mut();
                    headers.insert(STRICT_TRANSPORT_SECURITY, hsts);
                }
                response
            }
        };
        let protocol = crate::tls::protocol(&stream);
        let stream = WithProgressTimeout::new(stream, writing);
        match protocol {
            Protocol::Http1 => Box::pin(self.serve_http1(stream, stop, handler)).await,
            Protocol::Http2 => Box::pin(self.serve_http2(stream, stop, handler)).await,
        }
    }

    async fn serve_http1<I, A, F>(
        &self,
        stream: I,
        stop: CancellationToken,
        handler: A,
    ) -> Result<(), BoxError>
    where
        I: AsyncRead + AsyncWrite + Unpin + 'static,
        A: Fn(Framing, Request<Incoming>) -> F,
        F: Future<Output = Response<Watched>>,
    {
        let (stream, framing) = HeadScanner::new(stream, self.refusal_lines);
        let (ending, transfer) = (stop.clone(), Arc::<Transfer>::default());
        let sending = transfer.clone();
        let service = service_fn(move |request| {
            let (response, ending) = (handler(framing.clone(), request), ending.clone());
            let sending = sending.clone();
            async move {
                let mut response = response.await;
                if ending.is_cancelled() {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(CONNECTION, close);
                }
                Ok::<_, Infallible>(response.map(|body| body.counted(sending)))
            }
        });
        let connection = self.http1.serve_connection(TokioIo::new(stream), service);
        let end = http1::Connection::graceful_shutdown;
        // A request in flight, its response and each unwritten frame of it have a share.
        let is_used = || Arc::strong_count(&transfer) > 2;
        tokio::select! {
            biased;
            ended = drive(connection, stop_requested(&stop), end) => ended,
            () = unused(&stop, is_used) => Ok(()),
        }
    }

    async fn serve_http2<I, A, F>(
        &self,
        stream: I,
        stop: CancellationToken,
        handler: A,
    ) -> Result<(), BoxError>
    where
        I: AsyncRead + AsyncWrite + Unpin + 'static,
        A: Fn(Framing, Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<Watched>> + Send + 'static,
    {
        let begun = Arc::new(AtomicU64::new(0));
        let count = begun.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            count.fetch_add(1, Ordering::Relaxed);
            join_cookies(request.headers_mut());
            // Called in the stream's task, so that streams which wait for their turn are small.
            let handler = handler.clone();
            async move {
                let response = handler(Framing::default(), request).await;
                let response = response.map(|body| body.over(Transfer::current()));
                Ok::<_, Infallible>(response)
            }
        });
        let transfer = Arc::<Transfer>::default();
        let executor = StreamExecutor::new(transfer.clone(), self.limits.clone());
        let http2 = self.http2(executor);
        let connection = http2.serve_connection(TokioIo::new(stream), service);
        // `GOAWAY` is sent twice with a ping between (RFC 9113 §6.8), so that requests in
        // flight are still served; a grace period is not needed.
        let hint = async {
            tokio::select! { () = stop.cancelled() => {}, () = idle(&begun) => {} }
        };
        let ended = drive(connection, hint, http2::Connection::graceful_shutdown);
        let ended = ClientTimeout::of_connection(&transfer, &self.limits).run(ended);
        tokio::select! {
            biased;
            ended = ended => ended.unwrap_or_else(|| {
                self.limits.send_budget().stalled();
                Err("the client reads too slowly".into())
            }),
            () = unused(&stop, || transfer.streams() > 0) => Ok(()),
        }
    }
}

/// Runs a connection to its end; `hint` asks it to end gracefully by `end`.
async fn drive<C>(
    connection: C,
    hint: impl Future<Output = ()>,
    end: fn(Pin<&mut C>),
) -> Result<(), BoxError>
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        ended = connection.as_mut() => return Ok(ended?),
        () = hint => {}
    }
    end(connection.as_mut());
    Ok(connection.await?)
}

/// Waits until an HTTP/1.1 connection should end, a grace period after `stop`.
async fn stop_requested(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(LAST_REQUEST_TIMEOUT).await;
}

/// Waits until a connection has no request, a grace period after `stop`: its client sends
/// half a head, or does not confirm the end.
async fn unused(stop: &CancellationToken, is_used: impl Fn() -> bool) {
    stop.cancelled().await;
    loop {
        tokio::time::sleep(LAST_REQUEST_TIMEOUT).await;
        if !is_used() {
            return;
        }
    }
}

/// Waits until no request has begun for [`IDLE_TIMEOUT`].
async fn idle(begun: &AtomicU64) {
    let mut before = begun.load(Ordering::Relaxed);
    loop {
        tokio::time::sleep(IDLE_TIMEOUT).await;
        let now = begun.load(Ordering::Relaxed);
        if now == before {
            return;
        }
        before = now;
    }
}

/// The result of a handshake, if it ends within the timeout.
async fn handshaken<T>(
    stop: &CancellationToken,
    first: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let late = |why: &str| Err(io::Error::new(io::ErrorKind::TimedOut, why));
    tokio::select! {
        biased;
        first = first => first,
        () = tokio::time::sleep(HANDSHAKE_TIMEOUT) => late("the client did not finish its handshake"),
        () = stop_requested(stop) => late("the gateway stopped before the client finished its handshake"),
    }
}

/// The protocol of a client without TLS, by its first bytes, which are peeked at and not
/// read.
async fn sniff(stream: &TcpStream) -> io::Result<Protocol> {
    let mut first = [0; PREFACE.len()];
    let (mut pause, pause_max) = PEEK_BACKOFF;
    loop {
        let seen = stream.peek(&mut first).await?;
        if seen == 0 || !PREFACE.starts_with(&first[..seen]) {
            return Ok(Protocol::Http1);
        }
        if seen == PREFACE.len() {
            return Ok(Protocol::Http2);
        }
        // Peeked bytes keep the socket readable, so waiting for readability does not help.
        tokio::time::sleep(pause).await;
        pause = pause_max.min(pause * 2);
    }
}

/// Joins the `Cookie` fields of HTTP/2 into one (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut pieces = headers.get_all(COOKIE).iter();
    if let (Some(_), Some(_)) = (pieces.next(), pieces.next()) {
        let pieces: Vec<&[u8]> = headers
            .get_all(COOKIE)
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        if let Ok(cookies) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
            headers.insert(COOKIE, cookies);
        }
    }
}
