//! Problem documents (RFC 9457): the body of every response with an error status.
//!
//! A problem has a public text for the client and a private cause that is logged once and
//! never sent. It travels as a response extension to the outermost layer, which knows the
//! request's id and renders it there (`http::finish`).
//!
//! ```
//! use chassis::Problem;
//!
//! let problem = Problem::conflict("out-of-stock", "3 units are left").because("a race");
//! assert_eq!(problem.status(), 409);
//! let document = problem.document("the request's id");
//! assert_eq!(document["type"], "/problems/out-of-stock");
//! assert!(document.get("cause").is_none());
//! ```

mod credentials;

use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

/// The `Cache-Control` of what no cache may store, shared or private (RFC 9111 §5.2.2.5).
/// Such a response is not compressed either: the length of an encoded text tells something
/// about its content.
pub const NO_STORE: HeaderValue = HeaderValue::from_static("private, no-store");

/// The longest text of a document, and the longest pointer and detail of one field, in
/// characters. They repeat what the client sent, which may be as large as a body.
const DETAIL_CHARS_MAX: usize = 4_000;
const FIELD_CHARS_MAX: usize = 500;

/// One invalid field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the request's body.
    pub pointer: String,
    /// The fault and the allowed values.
    pub detail: String,
}

impl FieldError {
    /// A fault of the field at `pointer`.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: shortened(pointer.into(), FIELD_CHARS_MAX),
            detail: shortened(detail.into(), FIELD_CHARS_MAX),
        }
    }
}

/// A problem document and its headers. Boxed, so that a `Result` with it stays small.
#[derive(Debug, Clone)]
pub struct Problem(Box<Content>);

#[derive(Debug, Clone)]
struct Content {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    members: Map<String, Value>,
    headers: HeaderMap,
    cause: Option<String>,
}

impl Problem {
    /// A problem with a stable `code` (its `type` is `/problems/<code>`), a title
    /// that is the same for every such problem, and a detail about this one.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self(Box::new(Content {
            status,
            code,
            title,
            detail: shortened(detail.into(), DETAIL_CHARS_MAX),
            errors: Vec::new(),
            members: Map::new(),
            headers: HeaderMap::new(),
            cause: None,
        }))
    }

    /// Adds a header to the response.
    #[must_use]
    pub fn header(mut self, name: axum::http::HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers.insert(name, value);
        }
        self
    }

    /// Adds a member to the document (RFC 9457 §3.2).
    #[must_use]
    pub fn member(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or(Value::Null);
        self.0.members.insert(name.to_owned(), value);
        self
    }

    /// Adds a cause for the log, never shown to the client.
    #[must_use]
    pub fn because(mut self, cause: impl ToString) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// 400: the request cannot be read.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-request",
            "The request cannot be read",
            detail,
        )
    }

    /// 404: the resource is absent, or belongs to another account.
    pub fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "Not found",
            "the resource does not exist, or belongs to another account",
        )
    }

    /// 404: no route has this path.
    pub fn no_route(method: &Method, path: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "Not found",
            format!("No route matches {method} {path}; the API is described at /docs"),
        )
    }

    /// 409: the request conflicts with the current state.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            code,
            "Conflict with the current state",
            detail,
        )
    }

    /// 422: all invalid fields; `errors` is not empty.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = errors
            .iter()
            .map(|error| format!("{}: {}", error.pointer, error.detail))
            .collect::<Vec<_>>()
            .join("; ");
        let mut problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid",
            "The request is not valid",
            detail,
        );
        problem.0.errors = errors;
        problem
    }

    /// 503: the write queue is full; nothing was written.
    pub fn busy() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "Overloaded",
            "too many requests are in progress; nothing was written, try again",
        )
        .header(RETRY_AFTER, "1")
    }

    /// 507: the disk is full; reads are served.
    pub fn storage_full() -> Self {
        Self::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "storage-full",
            "The disk is full",
            "nothing was written; reads are served. Repeat the request once there is disk space again, with the same Idempotency-Key if it had one",
        )
    }

    /// 500: an internal error, whose cause is only logged.
    pub fn internal(cause: impl ToString) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Internal error",
            "the cause is logged under this request's id; whether anything was written is unknown",
        )
        .because(cause)
    }

    /// The problem of a bare error status, as the framework responds with.
    pub fn of_status(status: StatusCode, headers: &HeaderMap) -> Self {
        let problem = match status {
            StatusCode::NOT_FOUND => Self::not_found(),
            StatusCode::METHOD_NOT_ALLOWED => Self::new(
                status,
                "method-not-allowed",
                "Method not allowed",
                "the header Allow lists the methods of this path",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => Self::too_large(api::JSON_BODY_BYTES_MAX),
            StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                "timeout",
                "Timeout",
                "the request took too long; whether anything was written is unknown",
            ),
            StatusCode::INTERNAL_SERVER_ERROR => Self::internal("a handler panicked"),
            _ => Self::new(
                status,
                "refused",
                "The request was refused",
                status.canonical_reason().unwrap_or("refused"),
            ),
        };
        match headers.get(ALLOW) {
            Some(allow) => problem.header(ALLOW, allow.to_str().unwrap_or_default()),
            None => problem,
        }
    }

    /// 413: the body is larger than the route's limit.
    pub fn too_large(bytes_max: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "The body is too large",
            format!("the limit of this route is {bytes_max} bytes"),
        )
    }

    /// The response's status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The document, `instance` being the request's id.
    pub fn document(&self, instance: &str) -> Value {
        let mut document = Map::new();
        document.insert("type".into(), format!("/problems/{}", self.0.code).into());
        document.insert("title".into(), self.0.title.into());
        document.insert("status".into(), self.0.status.as_u16().into());
        document.insert("detail".into(), self.0.detail.clone().into());
        document.insert("instance".into(), instance.into());
        if !self.0.errors.is_empty() {
            let errors = serde_json::to_value(&self.0.errors).unwrap_or(Value::Null);
            document.insert("errors".into(), errors);
        }
        document.extend(self.0.members.clone());
        Value::Object(document)
    }

    /// The complete response, for the outermost layer.
    pub fn render(self, instance: &str) -> Response {
        if let Some(cause) = &self.0.cause {
            tracing::error!(code = self.0.code, request_id = instance, "{cause}");
        }
        let body = self.document(instance).to_string();
        let headers = [
            (
                CONTENT_TYPE,
                HeaderValue::from_static("application/problem+json"),
            ),
            (CACHE_CONTROL, NO_STORE),
        ];
        let mut response = (self.0.status, headers, body).into_response();
        response.headers_mut().extend(self.0.headers);
        response
    }
}

/// A text of at most `chars_max` characters; an ellipsis stands for the rest.
fn shortened(mut text: String, chars_max: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(chars_max) {
        text.truncate(end);
        text.push('…');
    }
    text
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The problem that a failed write means to a client.
impl From<mesh::LogError> for Problem {
    fn from(error: mesh::LogError) -> Self {
        match error {
            mesh::LogError::Trimmed { first } => Self::new(
                StatusCode::GONE,
                "events-trimmed",
                "These events were trimmed",
                format!(
                    "the log begins at event {first}; the events before it were older than `[store] events_days`, and every service had applied them. Ask without `after`, or with `after={}`",
                    first - 1
                ),
            )
            .member("first", first),
            mesh::LogError::Store(error) => error.into(),
        }
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Busy => Self::busy(),
            store::Error::Full(_) => Self::storage_full(),
            store::Error::TooLarge { table, what, bytes, bytes_max } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid",
                "The request is not valid",
                format!(
                    "too large: a {what} of {table} would have {bytes} bytes, and the limit is {bytes_max}"
                ),
            ),
            error => Self::internal(error),
        }
    }
}
