//! Entity tags (RFC 9110 §8.8.3) and conditional requests: `If-None-Match`, `If-Match`.
//!
//! A tag is strong and a hash of the representation's bytes, so no handler maintains it. Where a
//! representation has data of another service beside the resource, its tag is the resource's and,
//! after a dot, its own: `If-None-Match` compares the whole tag, and `If-Match` the resource's
//! part, because only the resource can be changed.
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

/// As [`respond`], for a representation that has data beside the resource.
pub fn respond_with<T: Serialize, U: Serialize>(
    request: &HeaderMap,
    resource: &T,
    representation: &U,
) -> Response {
    let tagged = Tagged::new(representation).and_then(|tagged| {
        let resource = serde_json::to_vec(resource).map_err(Problem::internal)?;
        Ok((tagged, resource))
    });
    match tagged {
        Ok((tagged, resource)) => {
            let (resource, whole) = (of(&resource), of(&tagged.body));
            let tag = format!("{}.{}", &resource[..resource.len() - 1], &whole[1..]);
            let tag = HeaderValue::try_from(tag).expect("base 64 and a dot are visible ASCII");
            let tagged = Tagged { tag: Arc::new(tag.into()), ..tagged };
            tagged.respond(request)
        }
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
    names(request, IF_NONE_MATCH, |one| one == tag)
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
    let tag = of(&body);
    let of_resource = |one: &str| match one.split_once('.') {
        Some((resource, _)) => tag.strip_suffix('"') == Some(resource),
        None => one == tag,
    };
    if names(request, IF_MATCH, of_resource) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::PRECONDITION_FAILED,
        "precondition-failed",
        "The resource has changed",
        "If-Match names another version; read the resource again and repeat the change",
    ))
}

/// Whether a list of tags has one that `is_meant`, or is any (`*`). A weak prefix is ignored:
/// If-None-Match compares weakly, and no response has a weak tag.
fn names(
    request: &HeaderMap,
    header: axum::http::HeaderName,
    is_meant: impl Fn(&str) -> bool,
) -> bool {
    request
        .get_all(header)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|one| one == "*" || is_meant(one.strip_prefix("W/").unwrap_or(one)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_beside_a_resource_changes_its_tag_and_not_its_version() {
        let tag = |response: &Response| response.headers()[ETAG].clone();
        let headers = |name, tag: &HeaderValue| HeaderMap::from_iter([(name, tag.clone())]);
        let plain = tag(&respond(&HeaderMap::new(), &1));
        let ana = tag(&respond_with(&HeaderMap::new(), &1, &"1 of Ana"));
        let mori = tag(&respond_with(&HeaderMap::new(), &1, &"1 of Mori"));
        assert!(plain != ana && ana != mori);
        for seen in [&plain, &ana, &mori] {
            assert!(require_match(&headers(IF_MATCH, seen), &1).is_ok());
            assert!(require_match(&headers(IF_MATCH, seen), &2).is_err());
            let again = respond_with(&headers(IF_NONE_MATCH, seen), &1, &"1 of Ana");
            assert_eq!(again.status() == StatusCode::NOT_MODIFIED, *seen == ana);
        }
        let parts = ana.to_str().unwrap().split_once('.').unwrap();
        let bare = HeaderValue::try_from(parts.0).unwrap();
        assert!(require_match(&headers(IF_MATCH, &bare), &1).is_err());
    }
}
