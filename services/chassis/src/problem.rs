//! Refusals as RFC 9457 problem documents: the only way a service says no.
//!
//! A problem carries a public text for the client and, apart from it, a private
//! cause that is logged once and never sent. It travels to the outermost layer
//! as a response extension, where the request's id is known, and is written there
//! (`http::finish`).

use axum::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

/// One field at fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the request's body.
    pub pointer: String,
    /// What is wrong with it and what is allowed.
    pub detail: String,
}

impl FieldError {
    /// A fault of the field at `pointer`.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

/// A refusal. Boxed, so that a `Result` with it stays small.
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
            detail: detail.into(),
            errors: Vec::new(),
            members: Map::new(),
            headers: HeaderMap::new(),
            cause: None,
        }))
    }

    /// Adds a header to the answer.
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

    /// 401, the same for every reason.
    pub fn unauthenticated() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "A valid token is needed",
            "send `Authorization: Bearer` with an access token from POST /v1/sessions",
        )
        .header(WWW_AUTHENTICATE, "Bearer")
    }

    /// 403: known, but not allowed.
    pub fn forbidden(role: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "This account may not do that",
            format!("the role `{role}` is needed"),
        )
    }

    /// 404: absent, or not yours.
    pub fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "There is nothing here",
            "no such thing, or it is not yours",
        )
    }

    /// 409: conflicts with how things are.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            code,
            "It conflicts with how things are now",
            detail,
        )
    }

    /// 422: every field at fault. `errors` should not be empty.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = errors
            .iter()
            .map(|error| format!("{}: {}", error.pointer, error.detail))
            .collect::<Vec<_>>()
            .join("; ");
        let mut problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid",
            "Understood, but not valid",
            detail,
        );
        problem.0.errors = errors;
        problem
    }

    /// 503: nothing was written, try again.
    pub fn busy() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "Too much to do at the moment",
            "nothing was written; try again",
        )
        .header(RETRY_AFTER, "1")
    }

    /// 507: the disk is full; reads go on.
    pub fn storage_full() -> Self {
        Self::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "storage-full",
            "The shop's disk is full",
            "nothing more is written until there is room; reading goes on. Try again then, with the same Idempotency-Key if there was one",
        )
    }

    /// 500: our fault; the cause goes to the log only.
    pub fn internal(cause: impl ToString) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong on our side",
            "it was logged under this request's id; whether anything was written is unknown",
        )
        .because(cause)
    }

    /// A plain error status as a problem, for what the framework refused itself.
    pub fn of_status(status: StatusCode, headers: &HeaderMap) -> Self {
        let problem = match status {
            StatusCode::NOT_FOUND => Self::not_found(),
            StatusCode::METHOD_NOT_ALLOWED => Self::new(
                status,
                "method-not-allowed",
                "Not with this method",
                "the header Allow names the methods that work here",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => Self::too_large(api::JSON_BODY_BYTES_MAX),
            StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                "timeout",
                "It took too long",
                "whether anything was written is unknown",
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

    /// 413.
    pub fn too_large(bytes_max: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "The body is too large",
            format!("at most {bytes_max} bytes are read here"),
        )
    }

    /// The answer's status.
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

    /// The answer with everything in it, for the outermost layer.
    pub fn render(self, instance: &str) -> Response {
        if let Some(cause) = &self.0.cause {
            tracing::error!(code = self.0.code, request_id = instance, "{cause}");
        }
        let body = self.document(instance).to_string();
        let content_type = [("content-type", "application/problem+json")];
        let mut response = (self.0.status, content_type, body).into_response();
        response.headers_mut().extend(self.0.headers);
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// What a failed store means to a client.
impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Busy => Self::busy(),
            store::Error::Full(_) => Self::storage_full(),
            store::Error::TooLarge { table, what, bytes, bytes_max } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid",
                "Understood, but not valid",
                format!(
                    "this is too large to keep: a {what} of {table} would have {bytes} bytes, at most {bytes_max} are kept"
                ),
            ),
            error => Self::internal(error),
        }
    }
}
