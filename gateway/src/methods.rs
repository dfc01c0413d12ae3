//! Which methods there are, and what `OPTIONS` says of them.
//!
//! Which of them a path takes, its service knows: asked with a method it does not
//! have, it answers 405 with `Allow` (RFC 9110 §15.5.6), and that is the answer to
//! `OPTIONS` (§9.3.7). So there is no second table to keep true.

use chassis::Problem;
use http::header::ALLOW;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use crate::body::Body;

/// Those that anything here takes. `TRACE` would echo a token (RFC 9110 §9.3.8) and
/// `CONNECT` make a tunnel.
const KNOWN: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];
const ALL: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
const READS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// Refuses a method that nothing here takes.
///
/// # Errors
/// 501 (RFC 9110 §9.1). Methods are case-sensitive: `get` is none.
pub(crate) fn require_known(method: &Method) -> Result<(), Problem> {
    if KNOWN.contains(method) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::NOT_IMPLEMENTED,
        "not-implemented",
        "Nothing here takes this method",
        "the methods are GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS, in capitals",
    ))
}

/// Answers `OPTIONS` itself; 405 for what neither asks nor reads.
///
/// # Errors
/// 405.
pub(crate) fn of_a_page(method: &Method) -> Result<Option<Response<Body>>, Problem> {
    match *method {
        Method::GET | Method::HEAD => Ok(None),
        Method::OPTIONS => Ok(Some(options(READS))),
        _ => {
            let headers = HeaderMap::from_iter([(ALLOW, READS)]);
            Err(Problem::of_status(StatusCode::METHOD_NOT_ALLOWED, &headers))
        }
    }
}

/// `OPTIONS *`: what the shop as a whole takes.
pub(crate) fn of_the_shop() -> Response<Body> {
    options(ALL)
}

/// Makes a service's answer to `OPTIONS` out of its 405, and has every 405 name
/// `OPTIONS`, which works wherever anything does.
pub(crate) fn complete(method: &Method, response: &mut Response<Body>) {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return;
    }
    let allow = response
        .headers()
        .get(ALLOW)
        .and_then(|allow| allow.to_str().ok());
    let Some(Ok(allow)) = allow.map(|allow| {
        let listed = allow
            .split(',')
            .map(str::trim)
            .filter(|method| *method != "OPTIONS");
        HeaderValue::try_from(listed.chain(["OPTIONS"]).collect::<Vec<_>>().join(", "))
    }) else {
        return;
    };
    if method == Method::OPTIONS {
        *response = options(allow);
    } else {
        response.headers_mut().insert(ALLOW, allow);
    }
}

fn options(allow: HeaderValue) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, allow);
    response
}
