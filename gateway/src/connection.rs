//! One connection: HTTP/1.1 or HTTP/2, in the clear or over TLS, and its end.
//!
//! HTTP/2 is negotiated by ALPN (RFC 7301); in the clear its preface (RFC 9113 §3.3) is
//! peeked at without being read, so that HTTP/1.1 loses nothing by it.
//!
//! **Invariants:** a client that does not finish its handshake within the timeout is cut;
//! open, pending and half-sent requests are bounded in both protocols; once a stop is
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
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::BoxError;
use crate::access::Watched;
use crate::progress_timeout::{ProgressTimeout, WithProgressTimeout};
use crate::timer::ConnectionTimer;
use crate::tls::{Protocol, Tls};
use crate::wire::{Framing, HeadScanner};

/// How long a client may take until it is known what it speaks.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an HTTP/1.1 connection may be used once more when all are to end.
/// Closing an idle one at once would lose the request that is on its way.
const LAST_REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// The first and the longest pause before a preface that came in part is looked at
/// again.
const LOOK_PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Requests at once in one HTTP/2 connection: as many as a page needs, and no more
/// than some tens of connections would have in HTTP/1.1.
const STREAMS_MAX: u32 = 100;

/// Streams that a client gave up before they were looked at, and those reset for
/// its faults, until its connection is cut (CVE-2023-44487, CVE-2025-8671).
const GIVEN_UP_MAX: usize = 20;
const FAULTS_MAX: usize = 100;

/// What a client may send before it is read, in bytes: a stream's and all of them.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 512 * 1024;

/// What is buffered of an answer, in bytes a stream.
const SEND_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// How often a silent HTTP/2 client is asked whether it is there, and how long it
/// may take to say so.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an HTTP/2 connection may go on without a new request.
const LULL_TIMEOUT: Duration = Duration::from_secs(60);

/// How connections are spoken with.
pub(crate) struct ConnectionServer {
    one: http1::Builder,
    two: http2::Builder<TokioExecutor>,
    tls: Option<Tls>,
}

impl ConnectionServer {
    /// A door with these bounds for HTTP/1.1; a head's are HTTP/2's, too.
    pub(crate) fn new(one: http1::Builder, head_bytes_max: usize, tls: Option<Tls>) -> Self {
        let mut two = http2::Builder::new(TokioExecutor::new());
        two.timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_pending_accept_reset_streams(GIVEN_UP_MAX)
            .max_local_error_reset_streams(FAULTS_MAX)
            .max_header_list_size(u32::try_from(head_bytes_max).unwrap_or(u32::MAX))
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT);
        Self { one, two, tls }
    }

    /// Answers a connection's requests by `answer` until it ends or, some time
    /// after `stop`, is ended; cuts a client that reads more slowly than `writing`.
    ///
    /// # Errors
    /// Why it ended early.
    pub(crate) async fn serve<A, F>(
        &self,
        stream: TcpStream,
        writing: ProgressTimeout,
        stop: CancellationToken,
        answer: A,
    ) -> Result<(), BoxError>
    where
        A: Fn(Framing, Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<Watched>> + Send + 'static,
    {
        let Some(tls) = &self.tls else {
            let protocol = handshaken(&stop, sniff(&stream)).await?;
            let stream = WithProgressTimeout::new(stream, writing);
            return match protocol {
                Protocol::Http1 => self.serve_http1(stream, stop, answer).await,
                // Rarer and larger: HTTP/1.1 does not pay for its room.
                Protocol::Http2 => Box::pin(self.serve_http2(stream, stop, answer)).await,
            };
        };
        let stream = handshaken(&stop, tls.accept(stream)).await?;
        let Some(stream) = stream else { return Ok(()) };
        let hsts = tls.hsts.clone();
        let answer = move |framing, request| {
            let (answered, hsts) = (answer(framing, request), hsts.clone());
            async move {
                let mut response = answered.await;
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
            Protocol::Http1 => Box::pin(self.serve_http1(stream, stop, answer)).await,
            Protocol::Http2 => Box::pin(self.serve_http2(stream, stop, answer)).await,
        }
    }

    async fn serve_http1<I, A, F>(
        &self,
        stream: I,
        stop: CancellationToken,
        answer: A,
    ) -> Result<(), BoxError>
    where
        I: AsyncRead + AsyncWrite + Unpin + 'static,
        A: Fn(Framing, Request<Incoming>) -> F,
        F: Future<Output = Response<Watched>>,
    {
        let (stream, framing) = HeadScanner::new(stream);
        let ending = stop.clone();
        let service = service_fn(move |request| {
            let (answered, ending) = (answer(framing.clone(), request), ending.clone());
            async move {
                let mut response = answered.await;
                if ending.is_cancelled() {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(CONNECTION, close);
                }
                Ok::<_, Infallible>(response)
            }
        });
        let connection = self
            .one
            .clone()
            .timer(ConnectionTimer::default())
            .serve_connection(TokioIo::new(stream), service);
        let end = http1::Connection::graceful_shutdown;
        drive(connection, stop_requested(&stop), end).await
    }

    async fn serve_http2<I, A, F>(
        &self,
        stream: I,
        stop: CancellationToken,
        answer: A,
    ) -> Result<(), BoxError>
    where
        I: AsyncRead + AsyncWrite + Unpin + 'static,
        A: Fn(Framing, Request<Incoming>) -> F,
        F: Future<Output = Response<Watched>> + Send + 'static,
    {
        let begun = Arc::new(AtomicU64::new(0));
        let count = begun.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            count.fetch_add(1, Ordering::Relaxed);
            join_cookies(request.headers_mut());
            let answered = answer(Framing::default(), request);
            async move { Ok::<_, Infallible>(answered.await) }
        });
        let connection = self.two.serve_connection(TokioIo::new(stream), service);
        // `GOAWAY` is said twice with a ping between (RFC 9113 §6.8), so that what
        // is on its way is still answered; there is nothing to wait for.
        let hint = async {
            tokio::select! { () = stop.cancelled() => {}, () = lull(&begun) => {} }
        };
        drive(connection, hint, http2::Connection::graceful_shutdown).await
    }
}

/// Runs a connection to its end, which `hint` asks it for.
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

/// Returns when an HTTP/1.1 connection should end, a moment after `stop`.
async fn stop_requested(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(LAST_REQUEST_TIMEOUT).await;
}

/// Returns when no request has begun for a while.
async fn lull(begun: &AtomicU64) {
    let mut before = begun.load(Ordering::Relaxed);
    loop {
        tokio::time::sleep(LULL_TIMEOUT).await;
        let now = begun.load(Ordering::Relaxed);
        if now == before {
            return;
        }
        before = now;
    }
}

/// What comes of a connection's first bytes, if they come in time.
async fn handshaken<T>(
    stop: &CancellationToken,
    first: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let late = |why: &str| Err(io::Error::new(io::ErrorKind::TimedOut, why));
    tokio::select! {
        biased;
        first = first => first,
        () = tokio::time::sleep(GREETING_TIMEOUT) => late("the client did not say what it speaks"),
        () = stop_requested(stop) => late("the client had said nothing when all was ended"),
    }
}

/// What a client in the clear speaks, by its first bytes, which stay where they are.
async fn sniff(stream: &TcpStream) -> io::Result<Protocol> {
    let mut first = [0; PREFACE.len()];
    let (mut pause, pause_max) = LOOK_PAUSE;
    loop {
        let seen = stream.peek(&mut first).await?;
        if seen == 0 || !PREFACE.starts_with(&first[..seen]) {
            return Ok(Protocol::Http1);
        }
        if seen == PREFACE.len() {
            return Ok(Protocol::Http2);
        }
        // What was looked at stays readable: there is no waiting for more of it.
        tokio::time::sleep(pause).await;
        pause = pause_max.min(pause * 2);
    }
}

/// Makes one line of cookies that came in pieces (RFC 9113 §8.2.3).
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
