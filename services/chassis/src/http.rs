//! The layers around every router: request ids, problems, time, metrics; and the
//! pages every service has.
//!
//! **Invariant:** no answer with an error status leaves without a problem
//! document, whoever refused, and every answer names its request.

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;
use tracing::Instrument;

use crate::context::Health;
use crate::limits::{HEADER_ID_BYTES_MAX, REQUEST_PATIENCE};
use crate::{Json, Problem, Trust};

/// `X-Request-Id`.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of the request being handled.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// The client's own id for this request if it is sane, else a new one.
pub fn request_id(headers: &HeaderMap) -> RequestId {
    let given = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    let sane = |text: &&str| {
        (1..=HEADER_ID_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    RequestId(given.filter(sane).map_or_else(
        || {
            mesh::Id::<mesh::kinds::Session>::new()
                .uuid()
                .simple()
                .to_string()
        },
        str::to_owned,
    ))
}

/// A service's routers with everything around them. What `streams` answers may
/// take as long as its body keeps moving, so only `router` is timed as a whole.
pub(crate) fn wrap(
    name: &'static str,
    router: Router,
    streams: Router,
    trust: Trust,
    health: Health,
) -> Router {
    let pages = Router::new()
        .route("/livez", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(|| async { metrics_page() }))
        .with_state(health);
    router
        .merge(pages)
        .layer(TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            REQUEST_PATIENCE,
        ))
        .merge(streams)
        .layer(axum::Extension(trust))
        .layer(CatchPanicLayer::new())
        .layer(middleware::from_fn_with_state(name, finish))
}

/// Names the request, then makes its answer whole.
async fn finish(State(service): State<&'static str>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none".into(), |path| path.as_str().to_owned());
    let span = tracing::info_span!("request", service, request_id = %id.0);
    request.extensions_mut().insert(id.clone());
    let response = next.run(request).instrument(span.clone()).await;
    let response = complete(response, &id);
    let status = response.status().as_u16();
    let elapsed = started.elapsed();
    span.in_scope(
        || tracing::debug!(%method, route, status, duration_ms = elapsed.as_millis(), "answered"),
    );
    let labels = [
        ("service", service.to_owned()),
        ("route", route),
        ("status", status.to_string()),
    ];
    metrics::histogram!("konbini_http_request_seconds", &labels).record(elapsed);
    response
}

/// Writes out a problem, makes one of a bare error status, and adds the headers
/// that every answer has.
pub fn complete(mut response: Response, id: &RequestId) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = problem.render(&id.0);
    } else if response.status().is_client_error() || response.status().is_server_error() {
        let told = response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind == "application/problem+json");
        if !told {
            response = Problem::of_status(response.status(), response.headers()).render(&id.0);
        }
    }
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn readyz(State(health): State<Health>) -> Response {
    let missing = health.missing();
    if missing.is_empty() {
        return Json(json!({ "status": "ok" })).into_response();
    }
    let (status, detail) = (StatusCode::SERVICE_UNAVAILABLE, missing.join("; "));
    Problem::new(status, "not-ready", "Not ready yet", detail)
        .member("missing", missing)
        .into_response()
}

/// Prometheus text of this process.
pub fn metrics_page() -> Response {
    let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, crate::telemetry::render()).into_response()
}
