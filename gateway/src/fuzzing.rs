//! Fuzz targets of the gateway's parsers: the request target and the head's framing.
//!
//! Each function takes arbitrary bytes and asserts an invariant. The fuzzer in `fuzz/` and
//! the property tests below call the same functions, so a crash that the fuzzer finds is
//! reproduced by a plain test.

use std::borrow::Cow;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

use crate::headers::{check, strip_claims, strip_hop_by_hop};
use crate::routing::Target;
use crate::target::{clean, normalise};
use crate::wire::Framing;

/// Normalising is idempotent, keeps every decoded segment, leaves no dot segment, and the
/// forwarded text has the route of the normalised target.
///
/// # Panics
/// When the invariant does not hold.
pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let path = text.split_once('?').map_or(text, |(path, _)| path);
    if let Ok(once) = clean(path) {
        assert_eq!(clean(&once), Ok(Cow::Borrowed(&*once)));
        assert_eq!(decoded(&once), decoded(path));
        let climbs = |segment: &Vec<u8>| matches!(&segment[..], b"." | b"..");
        assert!(!decoded(&once).iter().any(climbs), "{once}");
        assert!(once.bytes().all(|byte| byte.is_ascii_graphic()), "{once}");
    }
    let Ok(request) = Request::get(text).header(HOST, "shop.test").body(()) else {
        return;
    };
    let (mut parts, ()) = request.into_parts();
    let query = parts.uri.query().map(str::to_owned);
    if normalise(&mut parts).is_err() {
        return;
    }
    assert_eq!(parts.uri.query(), query.as_deref());
    let forwarded: Uri = parts.uri.to_string().parse().expect("a URI can be read");
    let label = |uri: &Uri| Target::of(&Method::GET, uri).label();
    assert_eq!(label(&forwarded), label(&parts.uri), "{forwarded}");
}

/// The segments as a service decodes them.
fn decoded(path: &str) -> Vec<Vec<u8>> {
    let segment = |segment: &str| {
        let mut bytes = segment.bytes();
        std::iter::from_fn(|| {
            let byte = bytes.next()?;
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            if byte == b'%' {
                u8::try_from(digit()? * 16 + digit()?).ok()
            } else {
                Some(byte)
            }
        })
        .collect()
    };
    path.split('/').map(segment).collect()
}

/// The framing scanner finds the same in pieces as in the whole, a request passes only with
/// one framing, and neither hop-by-hop nor identity headers survive.
///
/// The first byte chooses the length of the pieces and the version.
///
/// # Panics
/// When the invariant does not hold.
pub fn head(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let framing = Framing::of(bytes.chunks(usize::from(choice >> 1) + 1));
    assert_eq!(framing.is_ambiguous(), has_both_framings(bytes));
    let Some(sent) = parsed(bytes) else {
        return;
    };
    let (mut parts, ()) = Request::post("/").body(()).expect("a request").into_parts();
    parts.version = if choice & 1 == 0 {
        Version::HTTP_11
    } else {
        Version::HTTP_10
    };
    parts.headers = sent.clone();
    parts.headers.insert(HOST, HeaderValue::from_static("a"));
    // hyper drops the length of a request that has both.
    if sent.contains_key(TRANSFER_ENCODING) {
        parts.headers.remove(CONTENT_LENGTH);
    }
    if check(&mut parts, &framing).is_ok() {
        let lengths: Vec<_> = sent.get_all(CONTENT_LENGTH).iter().collect();
        let encodings: Vec<_> = sent.get_all(TRANSFER_ENCODING).iter().collect();
        match (&lengths[..], &encodings[..]) {
            ([], []) => {}
            ([length], []) => assert!(length.to_str().is_ok_and(|it| it.parse::<u64>().is_ok())),
            ([], [encoding]) => {
                assert!(encoding.as_bytes().eq_ignore_ascii_case(b"chunked"));
                assert_eq!(parts.version, Version::HTTP_11);
            }
            _ => panic!("two framings: {sent:?}"),
        }
    }
    assert_stripped(sent);
}

/// The headers of the first head, where every line that has ended is one.
fn parsed(bytes: &[u8]) -> Option<HeaderMap> {
    let end = bytes.iter().rposition(|byte| *byte == b'\n')?;
    let lines = bytes[..end].split(|byte| *byte == b'\n');
    let mut headers = HeaderMap::new();
    for line in lines
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .skip(1)
    {
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        headers.try_append(name, value).ok()?;
    }
    Some(headers)
}

/// The scanner's rule over whole lines.
fn has_both_framings(bytes: &[u8]) -> bool {
    let mut lines: Vec<_> = bytes.split(|byte| *byte == b'\n').collect();
    lines.pop();
    let heads = lines.split(|line| matches!(*line, b"" | b"\r"));
    let mut heads = heads.map(|head| {
        let has = |name: &[u8]| {
            head.iter().any(|line| {
                let start = line.get(..name.len());
                start.is_some_and(|start| start.eq_ignore_ascii_case(name))
            })
        };
        has(b"content-length:") && has(b"transfer-encoding:")
    });
    heads.any(|has_both| has_both)
}

fn assert_stripped(sent: HeaderMap) {
    let mut left = sent.clone();
    strip_hop_by_hop(&mut left);
    strip_claims(&mut left);
    for name in left.keys().map(HeaderName::as_str) {
        let spelt = name.replace('_', "-");
        let identity = ["x-forwarded-", "x-konbini-", "x-user-", "x-roles"];
        assert!(
            !identity.iter().any(|prefix| spelt.starts_with(prefix)),
            "{name}"
        );
        let hop = [
            "connection",
            "keep-alive",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
        ];
        assert!(!hop.contains(&name), "{name}");
        let is_end_to_end = [
            "authorization",
            "host",
            "content-length",
            "content-type",
            "close",
        ]
        .contains(&name);
        let values = sent.get_all(CONNECTION).iter().map(HeaderValue::as_bytes);
        let is_named = values
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|named| named.trim_ascii().eq_ignore_ascii_case(name.as_bytes()));
        assert!(is_end_to_end || !is_named, "{name}");
    }
    for kept in ["authorization", "content-length", "content-type"] {
        assert_eq!(left.get(kept), sent.get(kept), "{kept}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    const TARGETS: &[&str] = &[
        "/v1/%70roducts/by-sku/A%2fB..?q=%zz",
        "/v1/users/me",
        "/v1//orders/%252e%252E/x",
        "/caf%c3%a9/.%2E/users",
        "http://shop.test/%61?b",
    ];
    const HEADS: &[&str] = &[
        "\u{0}POST / HTTP/1.1\r\nhost: a\r\nContent-Length: 3\r\nX: y\r\ntransfer-encodinG: chunked\r\n\r\n",
        "\u{2}POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\nX_User-Id: 1\r\nte: trailers\r\n\r\n",
        "\u{8}GET / HTTP/1.1\nconnection: \u{e9}, x-hop, Authorization\nx-hop: 1\nauthorization: Bearer x\n\nA: b\ncontent-length: 1\n\n",
        "\u{1}POST / HTTP/1.0\r\ncontent-length: 18446744073709551615\r\nx-forwarded-for: b\r\n\r\n",
    ];

    /// Paths near the ones that matter, rather than any text.
    fn paths() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("/v1".to_owned()),
            Just("/orders".to_owned()),
            Just("/users/me".to_owned()),
            Just("/..".to_owned()),
            "[/.%2eEfF5cC]{1,6}",
            "(%[0-9a-fA-F]{2}){1,3}",
            "[ -~]{0,4}",
        ];
        let pieces = proptest::collection::vec(piece, 0..6);
        let query = "(\\?[ab=&%]{0,5})?";
        (pieces, query).prop_map(|(pieces, query)| format!("/{}{query}", pieces.concat()))
    }

    proptest! {
        #[test]
        fn targets(data in prop_oneof![
            paths().prop_map(String::into_bytes),
            testkit::mutated(TARGETS),
            any::<Vec<u8>>(),
        ]) {
            super::target(&data);
        }

        #[test]
        fn heads(data in prop_oneof![testkit::mutated(HEADS), any::<Vec<u8>>()]) {
            super::head(&data);
        }
    }
}
