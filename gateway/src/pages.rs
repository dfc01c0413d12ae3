//! The pages that the gateway answers itself.

use std::time::Duration;

use bytes::Bytes;
use chassis::Health;
use chassis::caller::{Caller, admin, identify};
use chassis::http::metrics_page;
use chassis::{Problem, Trust};
use futures::future::join_all;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Map, Value, json};

use crate::body::{Body, page};
use crate::operating::ask;
use crate::routes::SERVICES;
use crate::upstream::Upstreams;

/// How long a service may take to say whether it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(1);

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
    /// How every service stands.
    Status,
    /// What happened in all of them.
    Events,
    /// What they could not handle.
    DeadLetters,
    /// The console, and what it is made of.
    Console,
    ConsoleScript,
    ConsoleStyle,
}

/// `openapi.yaml` as JSON.
const OPENAPI: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/openapi.json"));
const DOCS: &[u8] = include_bytes!("../pages/docs.html");
const CONSOLE: &[u8] = include_bytes!("../pages/console.html");
const CONSOLE_SCRIPT: &[u8] = include_bytes!("../pages/console.js");
const CONSOLE_STYLE: &[u8] = include_bytes!("../pages/console.css");

/// The page has its style and script inside and needs nothing but the document.
const DOCS_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The console runs its own script and speaks to this shop, and nothing else.
const CONSOLE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

impl Page {
    /// Every page.
    pub(crate) const ALL: [Self; 11] = [
        Self::Livez,
        Self::Readyz,
        Self::Metrics,
        Self::OpenApi,
        Self::Docs,
        Self::Status,
        Self::Events,
        Self::DeadLetters,
        Self::Console,
        Self::ConsoleScript,
        Self::ConsoleStyle,
    ];

    /// The page at a path.
    pub(crate) fn find(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|page| page.path() == path)
    }

    /// Its path.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Livez => "/livez",
            Self::Readyz => "/readyz",
            Self::Metrics => "/metrics",
            Self::OpenApi => "/openapi.json",
            Self::Docs => "/docs",
            Self::Status => "/v1/status",
            Self::Events => "/v1/events",
            Self::DeadLetters => "/v1/events/dead-letters",
            Self::Console => "/_/",
            Self::ConsoleScript => "/_/console.js",
            Self::ConsoleStyle => "/_/console.css",
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
        let said = ask(upstreams, service, "/readyz", None, READY_TIMEOUT).await;
        (service, said.map(|_| ()))
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

/// The process's metrics, for this host and for admins.
pub(crate) async fn metrics(
    trust: &Trust,
    is_local: bool,
    parts: &Parts,
) -> Result<Response<Body>, Problem> {
    let caller = identify(trust, &parts.headers).await?;
    may_read_metrics(is_local, caller)?;
    Ok(page(metrics_page()))
}

fn may_read_metrics(is_local: bool, caller: Option<Caller>) -> Result<(), Problem> {
    if is_local { Ok(()) } else { admin(caller).map(|_| ()) }
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

/// The console.
pub(crate) fn console() -> Response<Body> {
    let mut response = of_type("text/html; charset=utf-8", Bytes::from_static(CONSOLE));
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, CONSOLE_POLICY);
    response
}

/// What the console does.
pub(crate) fn console_script() -> Response<Body> {
    of_type(
        "text/javascript; charset=utf-8",
        Bytes::from_static(CONSOLE_SCRIPT),
    )
}

/// What it looks like.
pub(crate) fn console_style() -> Response<Body> {
    of_type("text/css; charset=utf-8", Bytes::from_static(CONSOLE_STYLE))
}

pub(crate) fn json_page(value: &Value) -> Response<Body> {
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
    use model::Id;

    #[test]
    fn metrics_are_for_this_host_and_admins() {
        let caller = |role| Caller { user_id: Id::new(), session_id: Id::new(), roles: vec![role] };
        let status = |is_local, caller: Option<Caller>| {
            may_read_metrics(is_local, caller)
                .err()
                .map(|problem| problem.status().as_u16())
        };
        assert_eq!(status(true, None), None);
        assert_eq!(status(false, None), Some(401));
        assert_eq!(status(false, Some(caller(Role::Staff))), Some(403));
        assert_eq!(status(false, Some(caller(Role::Admin))), None);
    }
}
