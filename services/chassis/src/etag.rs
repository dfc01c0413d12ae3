//! Entity tags (RFC 9110 §8.8.3) and conditional requests: `If-None-Match`, `If-Match`.
//!
//! A tag is strong and a hash of the representation's bytes, so no handler maintains it.
//!
//! ```
//! use axum::http::{HeaderMap, StatusCode, header};
//!
//! let first = chassis::etag::respond(&HeaderMap::new(), &"a resource");
//! let mut request = HeaderMap::new();
//! request.insert(header::IF_NONE_MATCH, first.headers()["etag"].clone());
//! let second = chassis::etag::respond(&request, &"a resource");
//! assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
//! ```

use std::sync::{Arc, OnceLock};

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use blake2::digest::consts::U12;
use blake2::{Blake2b, Digest};
use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;

use crate::Problem;

/// The strong tag of these bytes, quotes included.
pub fn of(body: &[u8]) -> String {
    format!(
        "\"{}\"",
        BASE64URL_NOPAD.encode(&Blake2b::<U12>::digest(body))
    )
}

/// The response to a read: the resource with its tag, or 304 when the client has it.
pub fn respond<T: Serialize>(request: &HeaderMap, resource: &T) -> Response {
    match Tagged::new(resource) {
        Ok(tagged) => tagged.respond(request),
        Err(problem) => problem.into_response(),
    }
}

/// A representation with its tag, ready to be sent any number of times. Cheap to
/// clone. The tag is made when it is first asked for.
#[derive(Debug, Clone)]
pub struct Tagged {
    body: Bytes,
    tag: Arc<OnceLock<HeaderValue>>,
}

impl Tagged {
    /// The JSON of a resource.
    ///
    /// # Errors
    /// 500 when it has none.
    pub fn new<T: Serialize>(resource: &T) -> Result<Self, Problem> {
        let body = serde_json::to_vec(resource).map_err(Problem::internal)?;
        Ok(Self::of_json(body))
    }

    /// The resource that this JSON represents.
    pub fn of_json(json: Vec<u8>) -> Self {
        // A vector that grew is up to half empty, and a cache would hold all of it.
        Self { body: json.into_boxed_slice().into(), tag: Arc::default() }
    }

    /// The strong tag, quotes included.
    fn tag(&self) -> &HeaderValue {
        let tag = || HeaderValue::try_from(of(&self.body)).expect("base 64 is visible ASCII");
        self.tag.get_or_init(tag)
    }

    /// The representation: JSON.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The size of the representation, in bytes.
    pub fn len(&self) -> usize {
        self.body.len()
    }

    /// Whether the representation has no bytes.
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// The response: the representation, or 304 when the client has it.
    pub fn respond(self, request: &HeaderMap) -> Response {
        let tag = self.tag().clone();
        let known = tag.to_str().is_ok_and(|tag| is_known(request, tag));
        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let mut response = Response::new(Body::from(self.body));
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
            response
        };
        response.headers_mut().insert(ETAG, tag);
        response
    }
}

/// The response to a write: the resource with its new tag, never 304.
pub fn written<T: Serialize>(status: StatusCode, resource: &T) -> Response {
    let body = match serde_json::to_vec(resource) {
        Ok(body) => body,
        Err(error) => return Problem::internal(error).into_response(),
    };
    let tag = of(&body);
    (
        status,
        [(ETAG, tag), (CONTENT_TYPE, "application/json".into())],
        body,
    )
        .into_response()
}

/// Whether the client has the version of this tag already (RFC 9110 §13.1.2).
pub fn is_known(request: &HeaderMap, tag: &str) -> bool {
    names(request, IF_NONE_MATCH, tag)
}

/// Refuses a change to a version the client has not seen. Without `If-Match`
/// every version will do.
///
/// # Errors
/// 412 when the header names other versions only.
pub fn require_match<T: Serialize>(request: &HeaderMap, current: &T) -> Result<(), Problem> {
    if !request.contains_key(IF_MATCH) {
        return Ok(());
    }
    let body = serde_json::to_vec(current).map_err(Problem::internal)?;
    if names(request, IF_MATCH, &of(&body)) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::PRECONDITION_FAILED,
        "precondition-failed",
        "The resource has changed",
        "If-Match names another version; read the resource again and repeat the change",
    ))
}

/// Whether a list of tags names this one, or any (`*`). A weak prefix is ignored:
/// If-None-Match compares weakly, and no response has a weak tag.
fn names(request: &HeaderMap, header: axum::http::HeaderName, tag: &str) -> bool {
    request
        .get_all(header)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}
