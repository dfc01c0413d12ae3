//! The layers around every router: request ids, problem documents, timeouts, metrics, and
//! the health pages.
//!
//! **Invariant:** every response with an error status carries a problem document,
//! whichever layer refused, every response names its request, and no cache stores one whose
//! handler did not declare it public.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::REQUEST_TIMEOUT;
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::FutureExt;
use metrics::Histogram;
use parking_lot::RwLock;
use serde_json::json;
use tower_http::timeout::TimeoutLayer;
use tracing::Instrument;

use crate::health::Health;
use crate::idempotency::InFlight;
use crate::problem::NO_STORE;
use crate::request_id::{REQUEST_ID, RequestId, request_id};
use crate::routes::FastPath;
use crate::{Collectors, Json, Problem, ServiceRoutes, Trust, telemetry};

/// The state of the pages for monitoring. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Probes {
    pub(crate) health: Health,
    pub(crate) collectors: Collectors,
}

/// A service's routes within the layers of every service.
pub(crate) fn wrap(
    name: &'static str,
    routes: ServiceRoutes,
    trust: Trust,
    probes: Probes,
) -> Router {
    let ServiceRoutes { timed, bulk, fast_path, .. } = routes;
    // One layer for all of it: axum copies every layer around a route with each request.
    let layer = Arc::new(Finish {
        service: name,
        fast_path,
        trust,
        in_flight: InFlight::default(),
        routes: RwLock::default(),
    });
    let pages = Router::new()
        .route("/livez", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(probes);
    timed
        .merge(pages)
        .layer(TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            REQUEST_TIMEOUT,
        ))
        .merge(bulk)
        .fallback(|method: Method, uri: Uri| async move { Problem::no_route(&method, uri.path()) })
        .layer(middleware::from_fn_with_state(layer, finish))
}

/// The state of the outermost layer.
struct Finish {
    service: &'static str,
    fast_path: Option<FastPath>,
    trust: Trust,
    in_flight: InFlight,
    /// Route → status → its histogram: a look-up by labels costs more than many a
    /// response.
    routes: RwLock<HashMap<Arc<str>, HashMap<u16, Histogram>>>,
}

impl Finish {
    fn record(&self, route: &str, status: u16, elapsed: Duration) {
        let routes = self.routes.read();
        let known = routes.get(route).and_then(|route| route.get(&status));
        if let Some(histogram) = known {
            return histogram.record(elapsed);
        }
        drop(routes);
        let labels = [
            ("service", self.service.to_owned()),
            ("route", route.to_owned()),
            ("status", status.to_string()),
        ];
        let histogram = metrics::histogram!("konbini_http_request_seconds", &labels);
        histogram.record(elapsed);
        let mut routes = self.routes.write();
        let route = routes.entry(route.into()).or_default();
        route.insert(status, histogram);
    }
}

/// Names the request, logs and measures it, and completes its response.
async fn finish(State(layer): State<Arc<Finish>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let ready = layer.fast_path.as_ref().and_then(|answer| answer(&request));
    let response = if let Some(response) = ready {
        complete(response, &id)
    } else {
        let method = request.method().clone();
        let span = tracing::info_span!("request", service = layer.service, request_id = %id.0);
        let extensions = request.extensions_mut();
        extensions.insert(id.clone());
        extensions.insert(layer.trust.clone());
        extensions.insert(layer.in_flight.clone());
        let handled = AssertUnwindSafe(next.run(request).instrument(span.clone()));
        let response = handled.catch_unwind().await.unwrap_or_else(|_| {
            span.in_scope(|| tracing::error!("the handler panicked"));
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        });
        let response = complete(response, &id);
        span.in_scope(|| {
            let status = response.status().as_u16();
            let duration_ms = started.elapsed().as_millis();
            tracing::debug!(%method, route, status, duration_ms, "answered");
        });
        response
    };
    layer.record(route, response.status().as_u16(), started.elapsed());
    response
}

/// Renders a problem document, also for a bare error status, and adds the headers that
/// every response has.
pub fn complete(mut response: Response, id: &RequestId) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = problem.render(&id.0);
    } else if response.status().is_client_error() || response.status().is_server_error() {
        let is_rendered = response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind == "application/problem+json");
        if !is_rendered {
            response = Problem::of_status(response.status(), response.headers()).render(&id.0);
        }
    }
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(NO_STORE);
    response
}

async fn readyz(State(Probes { health, .. }): State<Probes>) -> Response {
    let missing = health.missing();
    if missing.is_empty() {
        let warnings = health.warnings();
        return Json(json!({ "status": "ok", "warnings": warnings })).into_response();
    }
    let (status, detail) = (StatusCode::SERVICE_UNAVAILABLE, missing.join("; "));
    Problem::new(status, "not-ready", "Not ready yet", detail)
        .member("missing", missing)
        .into_response()
}

async fn metrics(State(Probes { collectors, .. }): State<Probes>) -> Response {
    let scraped = tokio::task::spawn_blocking(move || telemetry::scrape(&collectors)).await;
    match scraped {
        Ok(text) => metrics_page(text),
        Err(panic) => Problem::internal(panic).into_response(),
    }
}

/// A response with metrics as Prometheus text.
pub fn metrics_page(text: String) -> Response {
    let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, text).into_response()
}
