//! Scanner of a client's connection for three cases that hyper does not report.
//!
//! - A request with both `Transfer-Encoding` and `Content-Length`: hyper drops the length
//!   and reads chunks, which is allowed; but only request smuggling sends both, and RFC
//!   9112 §6.3 allows a refusal. The scanner therefore reads the lines that arrive.
//! - A request whose target has a fragment: hyper drops it, and RFC 9112 §3.2 has none.
//! - A request that hyper cannot parse: hyper responds with a bare status. The scanner
//!   recognizes such a response by its bytes and sends a problem document instead.
//!
//! Incoming bytes are never delayed or changed. The scanner does not know where bodies
//! begin, so a body whose lines look like a head with both framings may lose its connection
//! the use of chunks, and one with a line that looks like a request with a fragment all
//! further requests. No JSON text has such lines.
//!
//! **Invariant:** the scanner has read every head in whole before hyper reads it.

use std::io::{ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use chassis::Problem;
use chassis::request_id::request_id;
use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Lingering close: how long a refused client may go on writing before its connection is
/// closed, because a close with unread bytes is a reset, and the client would lose the
/// refusal (RFC 9112 §9.6).
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// The scanner's findings, shared with the requests of its connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Framing(Arc<Findings>);

#[derive(Debug, Default)]
struct Findings {
    both_framings: AtomicBool,
    fragment: AtomicBool,
}

impl Framing {
    /// Whether a head on this connection had both framings.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.0.both_framings.load(Ordering::Relaxed)
    }

    /// Whether a target on this connection had a fragment.
    pub(crate) fn has_fragment(&self) -> bool {
        self.0.fragment.load(Ordering::Relaxed)
    }

    fn note(&self, lines: &Lines) {
        if lines.have_both_framings {
            self.0.both_framings.store(true, Ordering::Relaxed);
        }
        if lines.have_fragment {
            self.0.fragment.store(true, Ordering::Relaxed);
        }
    }

    /// The framing of a connection that these pieces came over.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn of<'b>(pieces: impl Iterator<Item = &'b [u8]>) -> Self {
        let mut lines = Lines::default();
        pieces.for_each(|piece| lines.read(piece));
        let framing = Self::default();
        framing.note(&lines);
        framing
    }
}

/// A client's connection whose heads are scanned.
pub(crate) struct HeadScanner<IO> {
    io: IO,
    lines: Lines,
    framing: Framing,
    /// The header lines of a refusal beside its own.
    refusal_lines: &'static str,
    /// The unsent rest of a problem document that replaces a bare refusal.
    refusal: Option<Bytes>,
    /// Runs from a sent refusal until the connection is closed.
    lingering: Option<Pin<Box<Sleep>>>,
}

impl<IO> HeadScanner<IO> {
    /// Wraps a new connection.
    pub(crate) fn new(io: IO, refusal_lines: &'static str) -> (Self, Framing) {
        let framing = Framing::default();
        let wire = Self {
            io,
            lines: Lines::default(),
            framing: framing.clone(),
            refusal_lines,
            refusal: None,
            lingering: None,
        };
        (wire, framing)
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for HeadScanner<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        this.lines.read(&buf.filled()[before..]);
        this.framing.note(&this.lines);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> HeadScanner<IO> {
    /// Writes the whole refusal.
    fn refuse(&mut self, cx: &mut Context<'_>, status: StatusCode) -> Poll<Result<()>> {
        let said = self
            .refusal
            .get_or_insert_with(|| refusal(status, self.refusal_lines));
        while said.has_remaining() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, said))? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                written => said.advance(written),
            }
        }
        self.refusal = None;
        self.lingering = Some(Box::pin(tokio::time::sleep(LINGER_TIMEOUT)));
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for HeadScanner<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        let this = self.get_mut();
        match bare_refusal(buf) {
            None => Pin::new(&mut this.io).poll_write(cx, buf),
            Some((0, status)) => this.refuse(cx, status).map_ok(|()| buf.len()),
            Some((before, _)) => Pin::new(&mut this.io).poll_write(cx, &buf[..before]),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let last = bufs.iter().rposition(|buf| !buf.is_empty());
        match last.filter(|last| bare_refusal(&bufs[*last]).is_some()) {
            None => Pin::new(&mut this.io).poll_write_vectored(cx, bufs),
            Some(last) if bufs[..last].iter().all(|buf| buf.is_empty()) => {
                Pin::new(this).poll_write(cx, &bufs[last])
            }
            Some(last) => Pin::new(&mut this.io).poll_write_vectored(cx, &bufs[..last]),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
        let Some(lingering) = &mut this.lingering else {
            return Poll::Ready(Ok(()));
        };
        let mut unread = [0; 4096];
        while lingering.as_mut().poll(cx).is_pending() {
            let mut unread = ReadBuf::new(&mut unread);
            match ready!(Pin::new(&mut this.io).poll_read(cx, &mut unread)) {
                Ok(()) if !unread.filled().is_empty() => {}
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The size of a bare refusal is below this, in bytes.
const BARE_BYTES_MAX: usize = 160;

/// Where hyper's own refusal begins in `written`, and its status. It is the last response
/// of a connection; a response of the gateway has other headers and a body.
fn bare_refusal(written: &[u8]) -> Option<(usize, StatusCode)> {
    if !written.ends_with(b"\r\n\r\n") {
        return None;
    }
    let tail = written.len().saturating_sub(BARE_BYTES_MAX);
    let at = tail
        + written[tail..]
            .windows(9)
            .rposition(|nine| nine == b"HTTP/1.1 ")?;
    let head = std::str::from_utf8(&written[at..]).ok()?;
    let status = match head.get(9..12)? {
        "400" => StatusCode::BAD_REQUEST,
        "414" => StatusCode::URI_TOO_LONG,
        "431" => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        _ => return None,
    };
    let is_bare = head.contains("\r\ncontent-length: 0\r\n") && !head.contains("\r\nx-");
    is_bare.then_some((at, status))
}

/// The same refusal with a problem document. The connection closes after it.
fn refusal(status: StatusCode, lines: &str) -> Bytes {
    let problem = match status {
        StatusCode::URI_TOO_LONG => Problem::new(
            status,
            "target-too-long",
            "The request's target is too long",
            "no path and query of this shop has that many characters",
        ),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Problem::new(
            status,
            "head-too-large",
            "The request's head is too large",
            "send fewer or shorter headers",
        ),
        _ => Problem::bad_request(
            "this is not an HTTP/1.1 request that can be read in only one way (RFC 9112)",
        ),
    };
    let id = request_id(&HeaderMap::new()).0;
    let body = problem.document(&id).to_string();
    tracing::debug!(request_id = id, status = status.as_u16(), "refused unread");
    crate::metrics::refused_unread(status);
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\n\
         content-length: {}\r\nconnection: close\r\nx-request-id: {id}\r\n\
         x-content-type-options: nosniff\r\ncache-control: private, no-store\r\n{lines}\r\n",
        body.len()
    );
    Bytes::from(head + &body)
}

/// The number of bytes at a line's start that the scanner compares.
const START_BYTES_MAX: usize = "transfer-encoding:".len();

/// What a request line ends with, but for the digit of the version.
const REQUEST_LINE_END: &[u8] = b" HTTP/1.";

/// Incremental line scanner for input in pieces of any size; an empty line ends a head.
#[derive(Debug, Default)]
struct Lines {
    /// Whether a head had both framings.
    have_both_framings: bool,
    /// Whether the target of a request had a fragment.
    have_fragment: bool,
    /// The start of the present line, in lower case.
    start: [u8; START_BYTES_MAX],
    start_bytes: usize,
    has_length: bool,
    has_encoding: bool,
    has_hash: bool,
    /// The last bytes of the present line.
    end: [u8; LINE_END_BYTES],
}

/// The number of bytes at a line's end that the scanner compares: the version's digit and a
/// carriage return included.
const LINE_END_BYTES: usize = REQUEST_LINE_END.len() + 2;

impl Lines {
    /// Reads the next bytes.
    fn read(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            self.append(&rest[..end]);
            self.end_line();
            rest = &rest[end + 1..];
        }
        self.append(rest);
    }

    fn append(&mut self, piece: &[u8]) {
        self.has_hash |= memchr::memchr(b'#', piece).is_some();
        let kept = piece.len().min(LINE_END_BYTES);
        self.end.rotate_left(kept);
        self.end[LINE_END_BYTES - kept..].copy_from_slice(&piece[piece.len() - kept..]);
        let room = self.start[self.start_bytes..].iter_mut();
        for (slot, byte) in room.zip(piece) {
            *slot = byte.to_ascii_lowercase();
            self.start_bytes += 1;
        }
    }

    fn end_line(&mut self) {
        let line = &self.start[..self.start_bytes];
        if line.is_empty() || line == b"\r" {
            (self.has_length, self.has_encoding) = (false, false);
        }
        self.has_length |= line.starts_with(b"content-length:");
        self.has_encoding |= line.starts_with(b"transfer-encoding:");
        self.have_both_framings |= self.has_length && self.has_encoding;
        self.have_fragment |= self.has_hash && self.is_request_line();
        (self.start_bytes, self.has_hash, self.end) = (0, false, <[u8; LINE_END_BYTES]>::default());
    }

    /// Whether the line that ends is a request's first (RFC 9112 §3).
    fn is_request_line(&self) -> bool {
        let end = self.end.strip_suffix(b"\r").unwrap_or(&self.end);
        let (version, digit) = end.split_at(end.len() - 1);
        version.ends_with(REQUEST_LINE_END) && digit[0].is_ascii_digit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &str = "POST / HTTP/1.1\r\nhost: a\r\nContent-Length: 3\r\nX: y\r\ntransfer-encodinG: chunked\r\n\r\n";

    #[test]
    fn both_framings_of_one_head_are_seen() {
        let seen = |text: &str| {
            let mut lines = Lines::default();
            text.as_bytes()
                .chunks(7)
                .for_each(|piece| lines.read(piece));
            lines.have_both_framings
        };
        assert!(seen(BOTH));
        assert!(seen(&BOTH.replace('\r', "")));
        assert!(!seen("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"));
        assert!(!seen(&BOTH.replace("Content-Length", "X-Content-Length")));
        let one_after_another = "A: b\r\nContent-Length: 0\r\n\r\nA: b\nTransfer-Encoding: x\n\n";
        assert!(!seen(one_after_another));
    }

    #[test]
    fn a_fragment_is_seen_in_a_request_line_only() {
        for (text, has_fragment) in [
            ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", true),
            ("GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /# HTTP/1.0\n", true),
            ("GET /a HTTP/1.1\r\nReferer: /a#b\r\n\r\n", false),
            ("POST /a HTTP/1.1\r\n\r\n{\"colour\": \"#fff\"}\r\n", false),
            ("POST /a HTTP/1.1\r\n\r\n#\r\nPOST /a HTTP/1.1\r\n", false),
        ] {
            for size in [1, 5, 1000] {
                let framing = Framing::of(text.as_bytes().chunks(size));
                assert_eq!(framing.has_fragment(), has_fragment, "{text}");
            }
        }
    }

    #[test]
    fn a_bare_refusal_is_told_from_an_answer() {
        let bare = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n";
        let of =
            |text: &str| bare_refusal(text.as_bytes()).map(|(at, status)| (at, status.as_u16()));
        assert_eq!(of(bare), Some((0, 400)));
        assert_eq!(of(&format!("{{}}{bare}")), Some((2, 400)));
        assert_eq!(of(&bare.replace("400 Bad Request", "200 OK")), None);
        assert_eq!(of(&bare.replace("date:", "x-request-id:")), None);
        assert_eq!(of(&bare.replace("length: 0", "length: 7")), None);
        assert_eq!(of("0\r\n\r\n"), None);
        let said = refusal(
            StatusCode::URI_TOO_LONG,
            "access-control-allow-origin: *\r\n",
        );
        let said = std::str::from_utf8(&said).unwrap();
        assert!(said.starts_with("HTTP/1.1 414 URI Too Long\r\n"), "{said}");
        assert!(
            said.contains("\r\naccess-control-allow-origin: *\r\n\r\n{"),
            "{said}"
        );
        assert!(
            said.contains("\"type\":\"/problems/target-too-long\""),
            "{said}"
        );
    }
}
