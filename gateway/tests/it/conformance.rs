//! HTTP/2 conformance on the wire (RFC 9113): each case sends frames that a client must not
//! send, or may, and the gateway ends the stream or the connection as the section says.
//!
//! The cases are those of h2spec that hyper's users depend on; the test needs no other
//! program.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const TIMEOUT: Duration = Duration::from_secs(30);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Types of frames (§6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

// Flags (§6).
const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;

/// What the gateway does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It responds with a status.
    Status(u16),
    /// It acknowledges a ping.
    Pong,
    /// It resets the stream.
    Reset,
    /// It ends the connection, with `GOAWAY` or without (§5.4.1).
    Ended,
}

use Outcome::{Ended, Pong, Reset, Status};

/// A stream error may be treated as one of the connection (§5.4.1).
const STREAM_ERROR: &[Outcome] = &[Reset, Ended];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A literal field that is not indexed (RFC 7541 §6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

/// A sound request's fields.
fn request(method: &str, path: &str) -> Vec<u8> {
    [
        field(":method", method),
        field(":scheme", "http"),
        field(":authority", "shop.test"),
        field(":path", path),
    ]
    .concat()
}

fn headers(stream: u32, fields: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, fields)
}

fn setting(id: u16, value: u32) -> Vec<u8> {
    let payload = [id.to_be_bytes().as_slice(), &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &payload)
}

/// The section, the frames after the client's settings, and what is allowed for them.
struct Case(&'static str, Vec<u8>, &'static [Outcome]);

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    let get = || request("GET", "/livez");
    let with = |added: Vec<u8>| headers(1, &[get(), added].concat());
    let mut cases = connection_cases();
    cases.extend([
        Case("8.1 a request", headers(1, &get()), &[Status(200)]),
        Case("4.1 an unknown frame", [frame(0xf0, 0xff, 0, b"x"), headers(1, &get())].concat(), &[Status(200)]),
        Case("5.1 data on an idle stream", frame(DATA, END_STREAM, 1, b"x"), &[Ended]),
        Case("5.1 a reset of an idle stream", frame(RST_STREAM, 0, 1, &[0; 4]), &[Ended]),
        Case("5.1 a window of an idle stream", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), &[Ended]),
        Case("5.1.1 an even stream", headers(2, &get()), &[Ended]),
        Case("5.1.1 stream 0", headers(0, &get()), &[Ended]),
        Case("6.1 padding longer than the frame", frame(DATA, PADDED, 1, &[9, 0]), &[Ended]),
        Case("6.2 an open head", [frame(HEADERS, END_STREAM, 1, &get()), frame(PING, 0, 0, &[0; 8])].concat(), &[Ended]),
        Case("6.10 a head in pieces", {
            let (fields, at) = (get(), 9);
            [frame(HEADERS, END_STREAM, 1, &fields[..at]), frame(CONTINUATION, END_HEADERS, 1, &fields[at..])].concat()
        }, &[Status(200)]),
        Case("6.10 a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, &get()), &[Ended]),
        Case("4.3 an index that does not exist", headers(1, &[0xff, 0xff, 0x03]), &[Ended]),
        Case("8.2.1 an upper-case name", with(field("X-A", "b")), STREAM_ERROR),
        Case("8.2.2 a field of a connection", with(field("connection", "keep-alive")), STREAM_ERROR),
        Case("8.2.2 a coding other than trailers", with(field("te", "gzip")), STREAM_ERROR),
        Case("8.3 an unknown pseudo-field", with(field(":test", "x")), STREAM_ERROR),
        Case("8.3 a pseudo-field at the end", headers(1, &[field("a", "b"), get()].concat()), STREAM_ERROR),
        Case("8.3 a pseudo-field twice", with(field(":path", "/")), STREAM_ERROR),
        Case("8.3.1 no path", headers(1, &[field(":method", "GET"), field(":scheme", "http"), field(":authority", "shop.test")].concat()), STREAM_ERROR),
        Case("8.1.1 less than the length", [
            frame(HEADERS, END_HEADERS, 1, &[request("POST", "/v1/users"), field("content-length", "2")].concat()),
            frame(DATA, END_STREAM, 1, b"x"),
        ].concat(), STREAM_ERROR),
    ]);
    cases
}

/// Frames about the connection.
#[rustfmt::skip]
fn connection_cases() -> Vec<Case> {
    vec![
        Case("6.7 a ping", frame(PING, 0, 0, b"konbini!"), &[Pong]),
        Case("4.2 a frame above the size", frame(PING, 0, 0, &[0; 16_385]), &[Ended]),
        Case("6.1 data on stream 0", frame(DATA, END_STREAM, 0, b"x"), &[Ended]),
        Case("6.4 a reset of stream 0", frame(RST_STREAM, 0, 0, &[0; 4]), &[Ended]),
        Case("6.4 a reset of three bytes", [headers(1, &request("GET", "/livez")), frame(RST_STREAM, 0, 1, &[0; 3])].concat(), &[Ended]),
        Case("6.5 settings of a stream", frame(SETTINGS, 0, 1, &[]), &[Ended]),
        Case("6.5 an acknowledgement with settings", frame(SETTINGS, ACK, 0, &[0; 6]), &[Ended]),
        Case("6.5 settings of seven bytes", frame(SETTINGS, 0, 0, &[0; 7]), &[Ended]),
        Case("6.5.2 push of 2", setting(2, 2), &[Ended]),
        Case("6.5.2 a window above 2^31-1", setting(4, 1 << 31), &[Ended]),
        Case("6.5.2 a frame size below 2^14", setting(5, 16_383), &[Ended]),
        Case("6.5.2 an unknown setting", [setting(0xff, 1), frame(PING, 0, 0, &[0; 8])].concat(), &[Pong]),
        Case("6.6 a push by a client", frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]), &[Ended]),
        Case("6.7 a ping of seven bytes", frame(PING, 0, 0, &[0; 7]), &[Ended]),
        Case("6.7 a ping of a stream", frame(PING, 0, 1, &[0; 8]), &[Ended]),
        Case("6.8 an end of a stream", frame(GOAWAY, 0, 1, &[0; 8]), &[Ended]),
        Case("6.9 a window of nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4]), &[Ended]),
        Case("6.9.1 a window above 2^31-1", frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]), &[Ended]),
    ]
}

/// Sends frames after the preface and returns the first outcome.
async fn outcome(to: SocketAddr, frames: &[u8]) -> Outcome {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let said = [PREFACE, &frame(SETTINGS, 0, 0, &[]), frames].concat();
    stream.write_all(&said).await.unwrap();
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return Ended;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        if stream.read_exact(&mut payload).await.is_err() {
            return Ended;
        }
        match head[3] {
            GOAWAY if payload[4..8] != [0; 4] => return Ended,
            RST_STREAM => return Reset,
            PING if head[4] & ACK != 0 => return Pong,
            HEADERS => return Status(status(&payload)),
            _ => {}
        }
    }
}

/// The status of a response that begins with it: indexed, or a literal with an indexed name
/// (RFC 7541 §6.1, §6.2, Appendix A).
fn status(fields: &[u8]) -> u16 {
    match fields {
        // A change of the table's size may come first.
        [size, rest @ ..] if size & 0xe0 == 0x20 => status(rest),
        [0x88, ..] => 200,
        [0x8c, ..] => 400,
        [0x8d, ..] => 404,
        _ => 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_are_handled_as_the_rfc_says() {
    let test = crate::start(gateway::Config::default()).await;
    let mut differing = Vec::new();
    for Case(name, frames, allowed) in cases() {
        let seen = outcome(test.address, &frames);
        let seen = tokio::time::timeout(TIMEOUT, seen).await;
        let seen = seen.unwrap_or_else(|_| panic!("{name}: nothing happens"));
        if !allowed.contains(&seen) {
            differing.push(format!("{name}: {seen:?} instead of {allowed:?}"));
        }
    }
    assert!(differing.is_empty(), "{differing:#?}");
    test.finish().await;
}
