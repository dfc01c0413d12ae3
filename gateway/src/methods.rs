//! Methods: which exist, and the responses to `OPTIONS`, to a method that a path does not take,
//! and to a path that has moved.

use api::Route;
use chassis::Problem;
use http::header::{ALLOW, LOCATION};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};

use crate::body::Body;
use crate::routing;

/// The methods that are recognized. No path takes `TRACE`, which would echo a token (RFC 9110
/// §9.3.8), nor `QUERY` (draft-ietf-httpbis-safe-method-w-body).
const KNOWN: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY",
];
const ALL: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// Refuses a method that is not recognized.
///
/// # Errors
/// 501 (RFC 9110 §9.1). Methods are case-sensitive: `get` is none.
pub(crate) fn require_known(method: &Method) -> Result<(), Problem> {
    if KNOWN.contains(&method.as_str()) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::NOT_IMPLEMENTED,
        "not-implemented",
        "This method is not implemented",
        "use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS; methods are case-sensitive",
    ))
}

/// The response to a method other than those of a path's rows: to `OPTIONS` 204 with
/// `Allow` (RFC 9110 §9.3.7), to every other 405 (§15.5.6).
///
/// # Errors
/// 405.
pub(crate) fn other(method: &Method, route: &Route) -> Result<Response<Body>, Problem> {
    let allow = route.methods().collect::<Vec<_>>().join(", ");
    let allow = HeaderValue::try_from(allow).expect("methods are visible ASCII");
    if method == Method::OPTIONS {
        return Ok(options(allow));
    }
    let headers = HeaderMap::from_iter([(ALLOW, allow)]);
    Err(Problem::of_status(StatusCode::METHOD_NOT_ALLOWED, &headers))
}

/// The response to `OPTIONS *`.
pub(crate) fn of_the_shop() -> Response<Body> {
    options(ALL)
}

fn options(allow: HeaderValue) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, allow);
    response
}

/// The response to a path that is at another.
pub(crate) fn moved(uri: &Uri) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    let to = routing::moved(uri).and_then(|to| HeaderValue::try_from(to).ok());
    response.headers_mut().extend(to.map(|to| (LOCATION, to)));
    response
}
