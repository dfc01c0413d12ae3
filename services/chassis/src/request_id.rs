//! Request ids: the `X-Request-Id` under which a request is logged and traced.
//!
//! A client may choose the id, so that its logs and the shop's have one id for a request;
//! the value is bounded in length and characters, since it is written to logs and headers.
//!
//! ```
//! use axum::http::HeaderMap;
//! use chassis::request_id::{REQUEST_ID, request_id};
//!
//! let mut headers = HeaderMap::new();
//! headers.insert(REQUEST_ID, "checkout-7".parse().unwrap());
//! assert_eq!(request_id(&headers).0, "checkout-7");
//! ```

use axum::http::{HeaderMap, HeaderName};

use crate::limits::HEADER_ID_BYTES_MAX;
use crate::trace;

/// `X-Request-Id`.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of the request being handled. [`http`](crate::http) inserts it into each request's
/// extensions.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// The client's `X-Request-Id` if it is valid, else the id of its trace
/// ([`trace`](crate::trace)), else a new one.
pub fn request_id(headers: &HeaderMap) -> RequestId {
    let given = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    let is_valid = |text: &&str| {
        (1..=HEADER_ID_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let given = given.filter(is_valid).or_else(|| trace::id(headers));
    RequestId(given.map_or_else(trace::fresh_id, str::to_owned))
}
