//! The layers around every router: request ids, problems, time, metrics; and the
//! pages every service has.
//!
//! **Invariant:** no answer with an error status leaves without a problem
//! document, whoever refused, and every answer names its request.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use api::REQUEST_TIMEOUT;
use axum::Router;
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics::Histogram;
use serde_json::json;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;
use tracing::Instrument;

use crate::context::Health;
use crate::idempotency::InFlight;
use crate::limits::HEADER_ID_BYTES_MAX;
use crate::routes::FastPath;
use crate::{Endpoints, Json, Problem, Trust};

/// `X-Request-Id`.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of the request being handled.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// The client's own id for this request if it is sane, else that of its trace
/// ([`trace`](crate::trace)), else a new one.
pub fn request_id(headers: &HeaderMap) -> RequestId {
    let given = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    let sane = |text: &&str| {
        (1..=HEADER_ID_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let given = given.filter(sane).or_else(|| crate::trace::id(headers));
    RequestId(given.map_or_else(fresh_id, str::to_owned))
}

/// A name that no other request has: what this process drew when it began, and how
/// many there were since, spread over all digits. It names and proves nothing, so no
/// randomness is fetched for each.
pub(crate) fn fresh_id() -> String {
    static DRAWN: LazyLock<u64> = LazyLock::new(|| {
        let id = model::Id::<model::kinds::Session>::new();
        id.uuid().as_u64_pair().1
    });
    static COUNT: AtomicU64 = AtomicU64::new(1);
    // An odd factor makes different numbers of different ones.
    let spread = COUNT.fetch_add(1, Ordering::Relaxed);
    let spread = spread.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{:016x}{spread:016x}", *DRAWN)
}

/// The address a request comes from, as whoever accepted its connection saw it.
///
/// The gateway replaces what a client says in `X-Forwarded-For` with the address it
/// talks to. Services listen on loopback only, so a request without the header
/// comes from this host; where it is no address, nobody knows where from, and what
/// this host may do is not done for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let ip = match parts.headers.get("x-forwarded-for") {
            None => Ipv4Addr::LOCALHOST.into(),
            Some(told) => told
                .to_str()
                .ok()
                .and_then(|text| text.parse().ok())
                .unwrap_or(IpAddr::from(Ipv4Addr::UNSPECIFIED)),
        };
        Ok(Self(ip.to_canonical()))
    }
}

/// A service's endpoints with everything around them. Only those that are timed have a
/// timeout as a whole.
pub(crate) fn wrap(
    name: &'static str,
    endpoints: Endpoints,
    trust: Trust,
    health: Health,
) -> Router {
    let Endpoints { timed, bulk, fast_path, .. } = endpoints;
    let around = Arc::new(Around { service: name, fast_path, routes: RwLock::default() });
    let pages = Router::new()
        .route("/livez", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(|| async { metrics_page() }))
        .with_state(health);
    timed
        .merge(pages)
        .layer(TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            REQUEST_TIMEOUT,
        ))
        .merge(bulk)
        .layer(axum::Extension(trust))
        .layer(axum::Extension(InFlight::default()))
        .layer(CatchPanicLayer::new())
        .layer(middleware::from_fn_with_state(around, finish))
}

/// What is around the handlers of a service.
struct Around {
    service: &'static str,
    fast_path: Option<FastPath>,
    /// Route → status → its histogram: to look one up by its labels costs more
    /// than many an answer.
    routes: RwLock<HashMap<Arc<str>, HashMap<u16, Histogram>>>,
}

impl Around {
    fn record(&self, route: &str, status: u16, elapsed: Duration) {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
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
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let route = routes.entry(route.into()).or_default();
        route.insert(status, histogram);
    }
}

/// Names the request, then makes its answer whole.
async fn finish(State(around): State<Arc<Around>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let ready = around
        .fast_path
        .as_ref()
        .and_then(|answer| answer(&request));
    let response = if let Some(response) = ready {
        complete(response, &id)
    } else {
        let method = request.method().clone();
        let span = tracing::info_span!("request", service = around.service, request_id = %id.0);
        request.extensions_mut().insert(id.clone());
        let response = next.run(request).instrument(span.clone()).await;
        let response = complete(response, &id);
        span.in_scope(|| {
            let status = response.status().as_u16();
            let duration_ms = started.elapsed().as_millis();
            tracing::debug!(%method, route, status, duration_ms, "answered");
        });
        response
    };
    around.record(route, response.status().as_u16(), started.elapsed());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_who_is_not_told_about_comes_from_this_host() {
        for (told, seen) in [
            (None, "127.0.0.1"),
            (Some("203.0.113.7"), "203.0.113.7"),
            (Some("::ffff:203.0.113.7"), "203.0.113.7"),
            (Some("203.0.113.7, 127.0.0.1"), "0.0.0.0"),
            (Some(""), "0.0.0.0"),
        ] {
            let mut request = axum::http::Request::new(());
            if let Some(told) = told {
                let told = HeaderValue::from_static(told);
                request.headers_mut().insert("x-forwarded-for", told);
            }
            let (mut parts, ()) = request.into_parts();
            let Ok(address) = ClientAddress::from_request_parts(&mut parts, &()).await;
            assert_eq!(address.0.to_string(), seen, "{told:?}");
        }
    }
}
