//! Header fields that are forwarded, and those that end at the gateway.
//!
//! **Invariants:** a field about one connection never crosses to the other
//! (RFC 9110 §7.6.1); a client is identified by its token alone; a request whose end two
//! servers could disagree about is not forwarded.

use chassis::Problem;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE,
    EXPECT, FORWARDED, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, REFERRER_POLICY, SERVER, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE, VIA, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};

use crate::wire::Framing;
use crate::{methods, target};

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
/// naming such fields there, which is a way to bypass a check.
const END_TO_END: [HeaderName; 4] = [AUTHORIZATION, HOST, CONTENT_LENGTH, CONTENT_TYPE];

/// Names that only a proxy in front of services would send.
const IDENTITY_PREFIXES: [&str; 5] = [
    "x-forwarded-",
    "x-konbini-",
    chassis::cache_tags::PREFIX,
    "x-user-",
    "x-roles",
];
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The gateway as it calls itself to services (RFC 9110 §7.6.3).
const PSEUDONYM: HeaderValue = HeaderValue::from_static("1.1 konbini");

/// Refuses what servers have been made to disagree about, or what nothing here can
/// do, and leaves the target in its one form. hyper has refused most of it already.
///
/// # Errors
/// 400 naming the fault, 417 or 501.
pub(crate) fn check(parts: &mut Parts, framing: &Framing) -> Result<(), Problem> {
    check_framing(&parts.headers, parts.version, framing.is_ambiguous())?;
    if framing.has_fragment() {
        return Err(Problem::bad_request(
            "the request's target must not have a fragment (#)",
        ));
    }
    check_count(&parts.headers)?;
    methods::require_known(&parts.method)?;
    check_expectation(&parts.headers)?;
    check_coding(&parts.headers)?;
    target::normalise(parts)
}

/// Whether a refusal ends the client's connection: where the rest of it may be out of
/// step, and where an announced body was not requested (RFC 9110 §10.1.1).
/// HTTP/2 has frames for that and no such header (RFC 9113 §8.2.2).
pub(crate) fn may_be_out_of_step(parts: &Parts, is_unsound: bool) -> bool {
    parts.version <= Version::HTTP_11 && (is_unsound || parts.headers.contains_key(EXPECT))
}

/// The most header fields of a request, in either protocol. hyper has this bound for
/// HTTP/1.1 only.
const FIELDS_MAX: usize = 100;

fn check_count(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.len() <= FIELDS_MAX {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "head-too-large",
        "The request's head is too large",
        format!(
            "it has {} header fields; at most {FIELDS_MAX} are read",
            headers.len()
        ),
    ))
}

/// One length or one `chunked`, in one word each (RFC 9112 §6). `is_ambiguous`: a
/// head had both and hyper has dropped the length.
fn check_framing(headers: &HeaderMap, version: Version, is_ambiguous: bool) -> Result<(), Problem> {
    let refuse = |detail: &str| Err(Problem::bad_request(detail));
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next();
    if length.is_some_and(|length| !is_length(length)) || lengths.next().is_some() {
        return refuse("Content-Length must be one number of decimal digits");
    }
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(encoding) = encodings.next() else {
        return Ok(());
    };
    if !encoding.as_bytes().eq_ignore_ascii_case(b"chunked") || encodings.next().is_some() {
        return refuse("the one Transfer-Encoding understood here is a single `chunked`");
    }
    if version != Version::HTTP_11 {
        return refuse("only HTTP/1.1 has Transfer-Encoding");
    }
    if length.is_some() || is_ambiguous {
        return refuse("a request has Content-Length or Transfer-Encoding, not both");
    }
    Ok(())
}

fn is_length(value: &HeaderValue) -> bool {
    let digits = value.as_bytes();
    (1..=19).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
}

/// The one expectation there is (RFC 9110 §10.1.1). hyper meets it when the body is
/// first read, so only an admitted client receives it.
fn check_expectation(headers: &HeaderMap) -> Result<(), Problem> {
    let mut expectations = headers.get_all(EXPECT).iter();
    let is_met = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if expectations.next().is_none_or(is_met) && expectations.next().is_none() {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::EXPECTATION_FAILED,
        "expectation-failed",
        "Nothing here meets that expectation",
        "the one expectation met here is a single `100-continue`",
    ))
}

/// The body is read as it is sent (RFC 9110 §8.4, §15.5.16).
fn check_coding(headers: &HeaderMap) -> Result<(), Problem> {
    let codings = headers.get_all(CONTENT_ENCODING).iter();
    let is_identity = |value: &HeaderValue| {
        let coding = value.as_bytes().trim_ascii();
        coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")
    };
    if codings.into_iter().all(is_identity) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported-encoding",
        "The body is encoded",
        "send the body as it is, without Content-Encoding",
    )
    .header(ACCEPT_ENCODING, "identity"))
}

/// Removes hop-by-hop fields.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // Most requests say `keep-alive` or nothing, and then nothing is allocated.
    let named: Vec<HeaderValue> = headers
        .get_all(CONNECTION)
        .iter()
        .filter(|value| !["keep-alive", "close"].iter().any(|usual| value == usual))
        .cloned()
        .collect();
    // Any value is read by its bytes: one name that is no ASCII hides no other.
    for list in &named {
        for name in list.as_bytes().split(|byte| *byte == b',') {
            if let Ok(name) = HeaderName::from_bytes(name.trim_ascii())
                && !END_TO_END.contains(&name)
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
                .any(|prefix| is_below(name, prefix))
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

/// Whether a name starts so, `_` being as good as `-`: to a program that keeps
/// headers in environment variables (RFC 3875 §4.1.18) they are one name.
fn is_below(name: &HeaderName, prefix: &str) -> bool {
    let start = name.as_str().as_bytes().get(..prefix.len());
    let same = |(byte, wanted): (&u8, u8)| *byte == wanted || (*byte == b'_' && wanted == b'-');
    start.is_some_and(|start| start.iter().zip(prefix.bytes()).all(same))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use proptest::prelude::*;

    fn fault(request: http::request::Builder) -> Option<u16> {
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let checked = check(&mut parts, &Framing::default());
        checked.err().map(|problem| problem.status().as_u16())
    }

    #[test]
    fn ambiguous_requests_are_refused() {
        let to = |uri: &str| Request::get(uri).header(HOST, "shop.test");
        let chunked = to("/v1/users").header(TRANSFER_ENCODING, "Chunked");
        assert_eq!(fault(to("/v1/products?q=..")), None);
        assert_eq!(fault(chunked), None);
        let expecting = |what: &str| to("/").header(EXPECT, what);
        assert_eq!(fault(expecting("100-Continue")), None);
        assert_eq!(fault(expecting("200-ok")), Some(417));
        assert_eq!(fault(expecting("100-continue, x")), Some(417));
        let twice = expecting("100-continue").header(EXPECT, "100-continue");
        assert_eq!(fault(twice), Some(417));
        assert_eq!(fault(to("*")), Some(400));
        assert_eq!(fault(to("*").method("OPTIONS")), None);
        for (coding, status) in [
            ("gzip", Some(415)),
            ("br, gzip", Some(415)),
            ("Identity", None),
        ] {
            assert_eq!(fault(to("/").header(CONTENT_ENCODING, coding)), status);
        }
        for method in ["get", "PROPFIND"] {
            assert_eq!(fault(to("/").method(method)), Some(501), "{method}");
        }
    }

    /// Values that some server has accepted as a length or an encoding.
    fn values() -> impl Strategy<Value = String> {
        prop_oneof![
            "[0-9]{1,3}",
            "[0-9]{17,21}",
            "[-+]?[0-9]{0,2}[, x_a-f]{0,2}[0-9]{0,2}",
            "[cC]hunked",
            "(identity|gzip|x|chunked)?,? ?(chunked|identity)?",
        ]
    }

    proptest! {
        #[test]
        fn nothing_passes_that_two_servers_could_frame_differently(
            lengths in proptest::collection::vec(values(), 0..3),
            encodings in proptest::collection::vec(values(), 0..3),
            is_old in any::<bool>(),
            is_ambiguous in any::<bool>(),
        ) {
            let mut headers = HeaderMap::new();
            for (name, values) in [(CONTENT_LENGTH, &lengths), (TRANSFER_ENCODING, &encodings)] {
                for value in values {
                    headers.append(name.clone(), HeaderValue::from_str(value).unwrap());
                }
            }
            let version = if is_old { Version::HTTP_10 } else { Version::HTTP_11 };
            let passes = check_framing(&headers, version, is_ambiguous).is_ok();
            let plain = match (&lengths[..], &encodings[..]) {
                ([], []) => true,
                ([length], []) => {
                    // The digits and nothing but the digits.
                    length.parse::<u64>().is_ok_and(|number| {
                        length.trim_start_matches('0') == number.to_string().trim_start_matches('0')
                    }) && length.len() < 20
                }
                ([], [encoding]) => {
                    encoding.to_lowercase() == "chunked" && !is_old && !is_ambiguous
                }
                _ => false,
            };
            prop_assert_eq!(passes, plain);
        }
    }

    #[test]
    fn claims_go_in_any_spelling() {
        let mut headers = HeaderMap::new();
        for name in [
            "x-user-id",
            "x_user_id",
            "X-Roles",
            "x-forwarded-for",
            "x_forwarded-host",
            "x-konbini-role",
            "forwarded",
            "x-real-ip",
            "expect",
            "x-user",
            "x-request-id",
        ] {
            let name = HeaderName::try_from(name).unwrap();
            headers.insert(name, HeaderValue::from_static("1"));
        }
        strip_claims(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["x-request-id", "x-user"]);
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
