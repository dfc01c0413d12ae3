//! The pages that the gateway answers itself.

use std::time::Duration;

use bytes::Bytes;
use chassis::caller::{Caller, identify};
use chassis::context::Health;
use chassis::http::metrics_page;
use chassis::{Problem, Trust};
use futures::future::join_all;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use serde_json::{Map, Value, json};

use crate::body::{Body, RequestBody, page};
use crate::routes::{Patience, SERVICES};
use crate::upstream::{Instances, Upstreams, Wait};

/// How long a service may take to say whether it is ready.
const READY_PATIENCE: Duration = Duration::from_secs(1);

/// A service's reason for not being ready, in bytes.
const REASON_BYTES_MAX: usize = 64 * 1024;

/// One of the gateway's own pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    /// It serves.
    Livez,
    /// The shop is open.
    Readyz,
    /// Prometheus text.
    Metrics,
    /// The contract, for programs.
    OpenApi,
    /// The contract, for people.
    Docs,
}

/// `openapi.yaml` as JSON.
const OPENAPI: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/openapi.json"));
const DOCS: &[u8] = include_bytes!("../pages/docs.html");

/// The page has its style and script inside and needs nothing but the document.
const DOCS_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

impl Page {
    /// Every page.
    pub(crate) const ALL: [Self; 5] = [
        Self::Livez,
        Self::Readyz,
        Self::Metrics,
        Self::OpenApi,
        Self::Docs,
    ];

    /// The page at a path.
    pub(crate) fn find(path: &str) -> Option<Self> {
        match path {
            "/livez" => Some(Self::Livez),
            "/readyz" => Some(Self::Readyz),
            "/metrics" => Some(Self::Metrics),
            "/openapi.json" => Some(Self::OpenApi),
            "/docs" => Some(Self::Docs),
            _ => None,
        }
    }

    /// Its path.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Livez => "/livez",
            Self::Readyz => "/readyz",
            Self::Metrics => "/metrics",
            Self::OpenApi => "/openapi.json",
            Self::Docs => "/docs",
        }
    }
}

/// 200 as long as anything is answered at all.
pub(crate) fn livez() -> Response<Body> {
    json_page(&json!({ "status": "ok" }))
}

/// 200 when every service is there and ready, else 503 saying which is not and why.
pub(crate) async fn readyz(
    health: &Health,
    upstreams: &Upstreams,
) -> Result<Response<Body>, Problem> {
    let asked = SERVICES.map(|service| async move {
        let said = tokio::time::timeout(READY_PATIENCE, ask(upstreams, service)).await;
        let late = || Err(format!("no answer within {} s", READY_PATIENCE.as_secs()));
        (service, said.unwrap_or_else(|_| late()))
    });
    let mut all = join_all(asked).await;
    let own = health.missing();
    all.push((
        "gateway",
        if own.is_empty() { Ok(()) } else { Err(own.join("; ")) },
    ));
    let services: Map<String, Value> = all
        .iter()
        .map(|(name, said)| {
            let said = said.as_ref().map_or_else(String::as_str, |()| "ok");
            ((*name).to_owned(), said.into())
        })
        .collect();
    let missing: Vec<String> = all
        .iter()
        .filter_map(|(name, said)| said.as_ref().err().map(|why| format!("{name}: {why}")))
        .collect();
    if missing.is_empty() {
        return Ok(json_page(&json!({ "status": "ok", "services": services })));
    }
    let (status, detail) = (StatusCode::SERVICE_UNAVAILABLE, missing.join("; "));
    Err(Problem::new(status, "not-ready", "Not ready yet", detail).member("services", services))
}

/// What a service says of itself, else why it cannot.
async fn ask(upstreams: &Upstreams, service: &'static str) -> Result<(), String> {
    let mut request = Request::new(RequestBody::empty());
    *request.uri_mut() = http::Uri::from_static("/readyz");
    request
        .headers_mut()
        .insert(HOST, HeaderValue::from_static("konbini"));
    let wait = Wait::begin(Patience::Total(READY_PATIENCE));
    let response = upstreams
        .send(service, Instances::Newest, &wait, request)
        .await
        .map_err(|error| error.to_string())?;
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(());
    }
    let body = Limited::new(response.into_body(), REASON_BYTES_MAX);
    let body = body.collect().await.map_err(|error| error.to_string())?;
    let said: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or(Value::Null);
    let detail = said["detail"].as_str().map(str::to_owned);
    Err(detail.unwrap_or_else(|| format!("answered {status}")))
}

/// The process's metrics, for this host and for admins.
pub(crate) async fn metrics(
    trust: &Trust,
    is_local: bool,
    parts: &Parts,
) -> Result<Response<Body>, Problem> {
    let caller = identify(trust, &parts.headers).await?;
    may_read_metrics(is_local, caller.as_ref())?;
    Ok(page(metrics_page()))
}

fn may_read_metrics(is_local: bool, caller: Option<&Caller>) -> Result<(), Problem> {
    match caller {
        _ if is_local => Ok(()),
        Some(caller) if caller.is_admin() => Ok(()),
        Some(_) => Err(Problem::forbidden("admin")),
        None => Err(Problem::unauthenticated()),
    }
}

/// The contract as an OpenAPI 3.1 document.
pub(crate) fn openapi() -> Response<Body> {
    of_type("application/json", Bytes::from_static(OPENAPI))
}

/// The same as a page.
pub(crate) fn docs() -> Response<Body> {
    let mut response = of_type("text/html; charset=utf-8", Bytes::from_static(DOCS));
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, DOCS_POLICY);
    response
}

fn json_page(value: &Value) -> Response<Body> {
    of_type("application/json", Bytes::from(value.to_string()))
}

fn of_type(kind: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::page(Full::new(body)));
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use chassis::Role;
    use mesh::Id;

    #[test]
    fn metrics_are_for_this_host_and_admins() {
        let caller = |role| Caller { user_id: Id::new(), session_id: Id::new(), roles: vec![role] };
        let status = |is_local, caller: Option<&Caller>| {
            may_read_metrics(is_local, caller)
                .err()
                .map(|problem| problem.status().as_u16())
        };
        assert_eq!(status(true, None), None);
        assert_eq!(status(false, None), Some(401));
        assert_eq!(status(false, Some(&caller(Role::Staff))), Some(403));
        assert_eq!(status(false, Some(&caller(Role::Admin))), None);
    }
}
