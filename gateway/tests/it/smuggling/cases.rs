//! The built-in cases: requests that two parsers could read differently, by class.
//!
//! A case that could hide a second request hides [`SECOND`], which the gateway would route,
//! so that a service records it if it gets through.

use super::Expect::{One, Reject};
use super::{Case, Expect};

/// The hidden request, which must never be forwarded on its own.
const SECOND: &str = "GET /v1/products/smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n";

/// Fields of a request with five bytes of body, and the expected outcome.
const LENGTHS: &[(Expect, &str)] = &[
    (Reject, "Content-Length: 5\r\nContent-Length: 6"),
    (Reject, "Content-Length: 0\r\nContent-Length: 5"),
    (One, "Content-Length: 5\r\nContent-Length: 5"),
    (One, "content-LENGTH:5"),
    (Reject, "Content-Length: 5, 5"),
    (Reject, "Content-Length: 5,"),
    (Reject, "Content-Length: 5;5"),
    (Reject, "Content-Length: 5 5"),
    (Reject, "Content-Length: +5"),
    (Reject, "Content-Length: -5"),
    (Reject, "Content-Length: 0x5"),
    (Reject, "Content-Length: 5.0"),
    (Reject, "Content-Length: 5e0"),
    (Reject, "Content-Length: 0_5"),
    (Reject, "Content-Length: \"5\""),
    (Reject, "Content-Length: \u{d9}\u{a5}"),
    (Reject, "Content-Length: \u{b}5"),
    (Reject, "Content-Length: 5\u{c}"),
    (Reject, "Content-Length: 5\0"),
    (Reject, "Content-Length:"),
    (Reject, "Content-Length: five"),
    (Reject, "Content-Length: 18446744073709551621"),
    (Reject, "Content-Length: 36893488147419103237"),
    (Reject, "Content-Length : 5"),
    (Reject, "Content-Length\t: 5"),
    (Reject, "Content-Length\u{b}: 5"),
    (Reject, "Content-Length\0: 5"),
    (Reject, " Content-Length: 5"),
    (Reject, "Content-Length:\r\n 5"),
    (Reject, "X: y\r\n\tz\r\nContent-Length: 5"),
    (Reject, "X: y\rContent-Length: 5"),
    (Reject, "X: y\0\r\nContent-Length: 5"),
    (Reject, "\u{e9}: y\r\nContent-Length: 5"),
    (Reject, ": y\r\nContent-Length: 5"),
    (Reject, "no colon\r\nContent-Length: 5"),
    (Reject, "X: y\r\r\nContent-Length: 5"),
    (One, "Content_Length: 50\r\nContent-Length: 5"),
];

/// Fields of a request with one chunk of five bytes.
const ENCODINGS: &[(Expect, &str)] = &[
    (One, "Transfer-Encoding: chunked"),
    (One, "transfer-encoding:\tCHUNKED \t"),
    (
        Reject,
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ),
    (
        Reject,
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
    ),
    (
        Reject,
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    ),
    (Reject, "Transfer-Encoding: chunked, chunked"),
    (Reject, "Transfer-Encoding: deflate, chunked"),
    (Reject, "Transfer-Encoding: chunked, gzip"),
    (Reject, "Transfer-Encoding: , chunked"),
    (Reject, "Transfer-Encoding: chunked,"),
    (Reject, "Transfer-Encoding: chunked;q=1"),
    (Reject, "Transfer-Encoding: chunked chunked"),
    (Reject, "Transfer-Encoding: x-chunked"),
    (Reject, "Transfer-Encoding: chunke"),
    (Reject, "Transfer-Encoding: 'chunked'"),
    (Reject, "Transfer-Encoding: \"chunked\""),
    (Reject, "Transfer-Encoding: \u{b}chunked"),
    (Reject, "Transfer-Encoding: chunked\u{c}"),
    (Reject, "Transfer-Encoding: chunked\0"),
    (Reject, "Transfer-Encoding: chun\u{e2}\u{84}\u{aa}ed"),
    (Reject, "Transfer-Encoding:"),
    (Reject, "Transfer-Encoding : chunked"),
    (Reject, "Transfer-Encoding:\r\n chunked"),
    (Reject, " Transfer-Encoding: chunked"),
    (Reject, "X: y\rTransfer-Encoding: chunked"),
    (Reject, "Transfer-Encoding: chunked\r\nContent-Length: 5"),
    (Reject, "Content-Length: 5\r\nTransfer-Encoding: chunked"),
    (
        Reject,
        "Content-Length: 0\r\nX: y\r\ntransfer-Encoding: chunked\r\nConnection: keep-alive",
    ),
    (Reject, "Transfer-Encoding: chunked\r\nContent-Length: x"),
    (Reject, "Transfer-Encoding: chunked\nContent-Length: 5"),
];

/// Bodies declared as chunked. The part before a fault may have been forwarded: the service
/// then receives an incomplete request, which is none.
const CHUNKS: &[(Expect, &str)] = &[
    (One, "005\r\nhello\r\n000\r\n\r\n"),
    (One, "5;name=\"a;b\"\r\nhello\r\n0\r\n\r\n"),
    (One, "A\r\n{        }\r\n0\r\n\r\n"),
    (One, "5\r\nhello\r\n0\r\nContent-Length: 500\r\n\r\n"),
    (
        One,
        "5\r\nhello\r\n0\r\nTransfer-Encoding: identity\r\nHost: other.test\r\n\r\n",
    ),
    (One, "5\r\nhello\r\n0\r\nX-User-Id: user_admin\r\n\r\n"),
    (Reject, "-5\r\nhello\r\n0\r\n\r\n"),
    (Reject, "+5\r\nhello\r\n0\r\n\r\n"),
    (Reject, "0x5\r\nhello\r\n0\r\n\r\n"),
    (Reject, "5h\r\nhello\r\n0\r\n\r\n"),
    (Reject, " 5\r\nhello\r\n0\r\n\r\n"),
    (Reject, "5 5\r\nhello\r\n0\r\n\r\n"),
    (Reject, "5,5\r\nhello\r\n0\r\n\r\n"),
    (Reject, "\r\nhello\r\n0\r\n\r\n"),
    (Reject, "10000000000000005\r\nhello\r\n0\r\n\r\n"),
    (Reject, "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n"),
    (Reject, "5\nhello\n0\n\n"),
    (Reject, "5\rhello\r0\r\r"),
    (Reject, "5;a\nb\r\nhello\r\n0\r\n\r\n"),
    (Reject, "5;a\rb\r\nhello\r\n0\r\n\r\n"),
    (Reject, "5\r\nhello0\r\n\r\n"),
    (Reject, "5\r\nhello\n0\r\n\r\n"),
    (Reject, "5\r\nhello, world\r\n0\r\n\r\n"),
    (Reject, "5\r\nhello\r\n0\r\nX : y\r\n\r\n"),
    (Reject, "5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n"),
];

/// Request lines of requests without a body.
const LINES: &[(Expect, &str)] = &[
    (Reject, "GET /v1/products"),
    (Reject, "GET"),
    (Reject, "GET /v1/products http/1.1"),
    (Reject, "GET /v1/products HTTP/1.10"),
    (Reject, "GET /v1/products HTTP/01.1"),
    (Reject, "GET /v1/products HTTP/2.0"),
    (Reject, "GET /v1/products HTTP/3"),
    (Reject, "GET /v1/products HTTP/1.1 HTTP/1.1"),
    (Reject, "GET /v1/products HTTP/1.1\r"),
    (Reject, "GET  /v1/products HTTP/1.1"),
    (Reject, "GET /v1/products  HTTP/1.1"),
    (Reject, "GET\t/v1/products\tHTTP/1.1"),
    (Reject, "GET /v1/pro ducts HTTP/1.1"),
    (Reject, "GET /v1/products\0 HTTP/1.1"),
    (Reject, " GET /v1/products HTTP/1.1"),
    (Reject, "G(T /v1/products HTTP/1.1"),
    (Reject, "get /v1/products HTTP/1.1"),
    (Reject, "TRACE /v1/products HTTP/1.1"),
    (Reject, "PROPFIND /v1/products HTTP/1.1"),
    (Reject, "CONNECT 127.0.0.1:22 HTTP/1.1"),
    (Reject, "CONNECT /v1/products HTTP/1.1"),
    (One, "\r\nGET /v1/products HTTP/1.1"),
    (Reject, "GET * HTTP/1.1"),
    (One, "OPTIONS * HTTP/1.1"),
    (Reject, "GET v1/products HTTP/1.1"),
    (Reject, "GET shop.test:80 HTTP/1.1"),
    (One, "GET http://other.test/v1/products HTTP/1.1"),
    (
        Reject,
        "GET http://user:pass@other.test/v1/products HTTP/1.1",
    ),
    (Reject, "GET ftp://other.test/v1/products HTTP/1.1"),
    (Reject, "GET http:///v1/products HTTP/1.1"),
    (One, "GET //v1/products HTTP/1.1"),
    (One, "GET /v1%2Fproducts HTTP/1.1"),
    (One, "GET /v1/%70roducts HTTP/1.1"),
    (One, "GET /v1/products/%252e%252e/users HTTP/1.1"),
    (One, "GET /v1/products/..;/users HTTP/1.1"),
    (Reject, "GET /v1/products/../users HTTP/1.1"),
    (Reject, "GET /v1/products/%2e%2E/users HTTP/1.1"),
    (Reject, "GET /v1/products/. HTTP/1.1"),
    (Reject, "GET /v1/products/..\\users HTTP/1.1"),
    (Reject, "GET /v1/products/%00 HTTP/1.1"),
    (Reject, "GET /v1/products/%0d%0aX:%20y HTTP/1.1"),
    (Reject, "GET /v1/products/%zz HTTP/1.1"),
    (Reject, "GET /v1/products/% HTTP/1.1"),
    (Reject, "GET /v1/products/%c0%ae%c0%ae/users HTTP/1.1"),
    (Reject, "GET /v1/products/\u{c3}\u{a9} HTTP/1.1"),
    (Reject, "GET /v1/products/\u{ff} HTTP/1.1"),
];

/// All the fields of a request without a body.
const HOSTS: &[(Expect, &str)] = &[
    (Reject, "X: y"),
    (Reject, "Host:"),
    (Reject, "Host: shop.test\r\nHost: other.test"),
    (Reject, "Host: shop.test\r\nhost: shop.test"),
    (Reject, "Host: shop.test, other.test"),
    (Reject, "Host: shop.test other.test"),
    (Reject, "Host: user@shop.test"),
    (Reject, "Host: shop.test/v1"),
    (Reject, "Host: shop.test:eighty"),
    (Reject, "Host : shop.test"),
    (
        One,
        "Host: shop.test\r\nConnection: host, content-length, close",
    ),
    (
        One,
        "Host: shop.test\r\nX-User-Id: user_admin\r\nX_Roles: admin",
    ),
    (
        One,
        "Host: shop.test\r\nConnection: upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
    ),
    (Reject, "Host: shop.test\r\nExpect: 200-ok"),
];

/// Request lines and fields of requests whose body is [`SECOND`], most of them
/// refused before it is read.
const BODIES: &[(Expect, &str)] = &[
    (One, "GET /v1/products HTTP/1.1"),
    (One, "HEAD /v1/products HTTP/1.1"),
    (One, "POST /v1/users HTTP/1.1"),
    (One, "OPTIONS /v1/users HTTP/1.1"),
    (Reject, "POST /v1/nothing HTTP/1.1"),
    (Reject, "POST /livez HTTP/1.1"),
    (Reject, "POST /v1/orders HTTP/1.1"),
    (
        Reject,
        "POST /v1/orders HTTP/1.1\r\nAuthorization: Bearer x",
    ),
    (Reject, "POST /v1/nothing HTTP/1.1\r\nExpect: 100-continue"),
    (Reject, "POST /v1/users HTTP/1.1\r\nExpect: 100-continue, x"),
    (Reject, "TRACE /v1/users HTTP/1.1"),
    (Reject, "POST /v1/users/../users HTTP/1.1"),
];

/// The head of a request with a body, and a body in one chunk.
const POST: &str = "POST /v1/users HTTP/1.1\r\nHost: shop.test\r\n";
const CHUNK: &str = "5\r\nhello\r\n0\r\n\r\n";

/// Every case.
pub(super) fn own() -> Vec<Case> {
    let bytes = SECOND.len();
    [
        class("length", LENGTHS, &|fields| {
            format!("{POST}{fields}\r\n\r\nhello")
        }),
        class("encoding", ENCODINGS, &|fields| {
            format!("{POST}{fields}\r\n\r\n{CHUNK}")
        }),
        class("chunks", CHUNKS, &|body| {
            format!("{POST}Transfer-Encoding: chunked\r\n\r\n{body}")
        }),
        class("line", LINES, &|line| {
            format!("{line}\r\nHost: shop.test\r\n\r\n")
        }),
        class("host", HOSTS, &|fields| {
            format!("GET /v1/products HTTP/1.1\r\n{fields}\r\n\r\n")
        }),
        class("body", BODIES, &|head| {
            format!("{head}\r\nHost: shop.test\r\nContent-Length: {bytes}\r\n\r\n{SECOND}")
        }),
        hidden(),
        large(),
    ]
    .concat()
}

fn class(
    name: &str,
    table: &'static [(Expect, &'static str)],
    raw: &dyn Fn(&str) -> String,
) -> Vec<Case> {
    let case = |(expect, text): &(Expect, &'static str)| {
        let name = format!("{name}: {}", text.escape_default());
        Case::new(name, latin1(&raw(text)), *expect)
    };
    table.iter().map(case).collect()
}

/// A second request behind one with two possible ends.
fn hidden() -> Vec<Case> {
    let (size, both) = (
        SECOND.len(),
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
    );
    let good = "GET /v1/products HTTP/1.1\r\nHost: shop.test\r\n\r\n";
    let old = "POST /v1/users HTTP/1.0\r\nHost: shop.test\r\nConnection: keep-alive";
    let cases = [
        (
            "length before chunks",
            format!("{POST}{both}\r\n\r\n0\r\n\r\n{SECOND}"),
            Reject,
        ),
        (
            "chunks before length",
            format!(
                "{POST}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{size:x}\r\n{SECOND}\r\n0\r\n\r\n"
            ),
            Reject,
        ),
        (
            "both framings behind a good request",
            format!("{good}{POST}{both}\r\n\r\n0\r\n\r\n{SECOND}"),
            One,
        ),
        (
            "HTTP/1.0 and chunks",
            format!("{old}\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNK}{SECOND}"),
            Reject,
        ),
        (
            "a body over its bound",
            format!("{POST}Content-Length: 9999999\r\n\r\n{SECOND}"),
            Reject,
        ),
    ];
    let case = |(name, raw, expect): (&str, String, Expect)| {
        Case::new(name.to_owned(), latin1(&raw), expect)
    };
    cases.map(case).into()
}

/// Heads over the limits.
fn large() -> Vec<Case> {
    let many: String = (0..200)
        .map(|number| format!("X-{number}: y\r\n"))
        .collect();
    let long = "y".repeat(40 * 1024);
    let cases = [
        ("many fields", format!("/v1/products HTTP/1.1\r\n{many}")),
        (
            "a long field",
            format!("/v1/products HTTP/1.1\r\nX: {long}\r\n"),
        ),
        ("a long target", format!("/v1/products?{long} HTTP/1.1\r\n")),
    ];
    let case = |(name, head): (&str, String)| {
        let raw = format!("GET {head}Host: shop.test\r\n\r\n");
        Case::new(name.to_owned(), latin1(&raw), Reject)
    };
    cases.map(case).into()
}

/// The bytes of a latin-1 text.
pub(super) fn latin1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|one| u8::try_from(one).expect("a character of one byte"))
        .collect()
}
