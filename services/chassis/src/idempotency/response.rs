//! Stored responses: encoded once, so that a replay has the same bytes.

use axum::http::header::{CONTENT_TYPE, ETAG, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Problem, etag};

/// A response without the headers that differ between requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredResponse {
    /// From 400 on the body is a problem document.
    pub(super) status: u16,
    pub(super) location: Option<String>,
    #[serde(with = "serde_bytes")]
    pub(super) body: Vec<u8>,
}

impl StoredResponse {
    /// The response with a resource.
    pub fn new(status: StatusCode, resource: &impl Serialize) -> Self {
        let body = serde_json::to_vec(resource)
            .expect("resources are plain structs of strings and numbers, which encode");
        Self { status: status.as_u16(), location: None, body }
    }

    /// Adds the `Location` of a created resource.
    #[must_use]
    pub fn at(self, location: String) -> Self {
        Self { location: Some(location), ..self }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Whether its status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The text of a member of its resource.
    pub fn member(&self, name: &str) -> Option<String> {
        let resource: Value = serde_json::from_slice(&self.body).ok()?;
        resource.get(name)?.as_str().map(str::to_owned)
    }

    /// The response with a decided problem.
    pub fn refusal(problem: &Problem, request_id: &str) -> Self {
        Self {
            status: problem.status().as_u16(),
            location: None,
            body: problem.document(request_id).to_string().into_bytes(),
        }
    }
}

impl IntoResponse for StoredResponse {
    fn into_response(self) -> Response {
        let status = self.status();
        if status.is_client_error() {
            let kind = [(CONTENT_TYPE, "application/problem+json")];
            return (status, kind, self.body).into_response();
        }
        let headers = [
            (CONTENT_TYPE, "application/json".to_owned()),
            (ETAG, etag::of(&self.body)),
        ];
        let location = self.location.map(|location| [(LOCATION, location)]);
        (status, headers, location, self.body).into_response()
    }
}

/// A response, and whether it is a replay.
#[derive(Debug)]
pub struct Reply {
    /// The response.
    pub answer: StoredResponse,
    /// Whether an earlier request under the same key decided it.
    pub replayed: bool,
}

impl From<Reply> for Response {
    fn from(reply: Reply) -> Self {
        let mut response = reply.answer.into_response();
        if reply.replayed {
            let value = HeaderValue::from_static("true");
            response.headers_mut().insert("idempotency-replayed", value);
        }
        response
    }
}
