//! What passes from one connection to another, and what does not.
//!
//! **Invariants:** a header about one connection never crosses to the other
//! (RFC 9110 §7.6.1); a client cannot say who it is except by its token; a request
//! whose end two servers could disagree about goes no further.

use chassis::Problem;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, FORWARDED, HOST,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, REFERRER_POLICY, SERVER, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, VIA, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Version};

/// About one connection whether `Connection` names them or not. Without
/// `Trailer` no trailer field is written either.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// For the last recipient, whatever `Connection` says: RFC 9110 §7.6.1 forbids
/// naming such fields there, and whoever does wants a check to miss them.
const END_TO_END: [HeaderName; 4] = [AUTHORIZATION, HOST, CONTENT_LENGTH, CONTENT_TYPE];

/// Names that only a proxy in front of services would send.
const IDENTITY_PREFIXES: [&str; 4] = ["x-forwarded-", "x-konbini-", "x-user-", "x-roles"];
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The gateway as it calls itself to services (RFC 9110 §7.6.3).
const PSEUDONYM: HeaderValue = HeaderValue::from_static("1.1 konbini");

/// Refuses what servers have been made to disagree about. hyper has refused most
/// of it already; where both framings are given it has dropped `Content-Length`
/// and closes the connection afterwards (RFC 9112 §6.3).
///
/// # Errors
/// 400 naming the fault.
pub(crate) fn check(parts: &Parts) -> Result<(), Problem> {
    let refuse = |detail: &str| Err(Problem::bad_request(detail));
    let uri = &parts.uri;
    if uri.scheme().is_some() || uri.authority().is_some() || !uri.path().starts_with('/') {
        return refuse("the request's target must be a path that starts with `/`");
    }
    if uri.path().split('/').any(is_dot_segment) {
        return refuse("the path must not contain the segments `.` or `..`");
    }
    let mut encodings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(encoding) = encodings.next()
        && !(encoding.as_bytes().eq_ignore_ascii_case(b"chunked") && encodings.next().is_none())
    {
        return refuse("the one Transfer-Encoding understood here is a single `chunked`");
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host) => Ok(()),
        (None, None) if parts.version < Version::HTTP_11 => Ok(()),
        _ => refuse("exactly one Host header with a host name is needed"),
    }
}

fn is_dot_segment(segment: &str) -> bool {
    const DOTS: [&str; 6] = [".", "..", "%2e", ".%2e", "%2e.", "%2e%2e"];
    DOTS.iter().any(|dots| segment.eq_ignore_ascii_case(dots))
}

/// Whether a `Host` is a name or an address, and a port or not.
pub(crate) fn is_host(host: &HeaderValue) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%:[]".contains(byte);
    !host.is_empty() && host.as_bytes().iter().all(allowed)
}

/// Removes what is about the connection these headers came over.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // Most requests say `keep-alive` or nothing, and then nothing is allocated.
    let named: Vec<HeaderValue> = headers
        .get_all(CONNECTION)
        .iter()
        .filter(|value| !["keep-alive", "close"].iter().any(|usual| value == usual))
        .cloned()
        .collect();
    for name in named.iter().filter_map(|value| value.to_str().ok()) {
        for name in name.split(',').map(str::trim) {
            if !END_TO_END
                .iter()
                .any(|kept| name.eq_ignore_ascii_case(kept.as_str()))
            {
                headers.remove(name);
            }
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Removes what a client says about itself, and `Expect`, which the gateway has
/// answered by reading the body.
pub(crate) fn strip_claims(headers: &mut HeaderMap) {
    let claims: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            IDENTITY_PREFIXES
                .iter()
                .any(|prefix| name.as_str().starts_with(prefix))
        })
        .cloned()
        .collect();
    for name in claims.iter().chain(&[FORWARDED, REAL_IP, EXPECT]) {
        headers.remove(name);
    }
}

/// Adds the gateway to the proxies a request came by. Those that it is said to
/// have come by before count only if the last of them is trusted.
pub(crate) fn pass_via(headers: &mut HeaderMap, is_proxied: bool) {
    if is_proxied {
        headers.append(VIA, PSEUDONYM);
    } else {
        headers.insert(VIA, PSEUDONYM);
    }
}

/// Says what browsers must not do with an answer, whatever it is (OWASP REST
/// Security Cheat Sheet, "Security Headers"), and not who made it.
pub(crate) fn secure(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.remove(SERVER);
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn fault(request: http::request::Builder) -> Option<u16> {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        check(&parts).err().map(|problem| problem.status().as_u16())
    }

    #[test]
    fn ambiguous_requests_are_refused() {
        let to = |uri: &str| Request::get(uri).header(HOST, "shop.test");
        assert_eq!(fault(to("/v1/products?q=..")), None);
        assert_eq!(fault(to("/v1/products/by-sku/A%2FB..")), None);
        assert_eq!(
            fault(to("/v1/users").header(TRANSFER_ENCODING, "Chunked")),
            None
        );
        for uri in [
            "http://other.test/v1/users",
            "*",
            "/v1/products/../users",
            "/v1/products/.%2E/users",
        ] {
            assert_eq!(fault(to(uri)), Some(400), "{uri}");
        }
        let twice = to("/").header(TRANSFER_ENCODING, "chunked");
        assert_eq!(fault(twice.header(TRANSFER_ENCODING, "chunked")), Some(400));
        assert_eq!(
            fault(to("/").header(TRANSFER_ENCODING, "gzip, chunked")),
            Some(400)
        );
        assert_eq!(fault(to("/").header(HOST, "other.test")), Some(400));
        assert_eq!(fault(Request::get("/")), Some(400));
        assert_eq!(fault(Request::get("/").header(HOST, "a b")), Some(400));
        assert_eq!(fault(Request::get("/").version(Version::HTTP_10)), None);
    }

    #[test]
    fn connection_names_what_goes_but_not_the_token() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close"),
            ("connection", "X-Hop, Authorization"),
            ("x-hop", "1"),
            ("authorization", "Bearer x"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("etag", "\"1\""),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        strip_hop_by_hop(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["authorization", "etag"]);
    }
}
