//! A request's way from the door to a service and back.
//!
//! The order matters: framing first, then where to, then who asks, then how much;
//! only then does anything leave. Whatever comes back passes, except what is about
//! the connection it came over.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chassis::caller::identify;
use chassis::context::Health;
use chassis::http::{REQUEST_ID, RequestId, request_id};
use chassis::{Problem, Trust};
use http::header::{AUTHORIZATION, EXPECT, ORIGIN, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use crate::body::{Body, Progress, RequestBody, linger, page};
use crate::error::too_large;
use crate::metrics::Metrics;
use crate::pages::{self, Page};
use crate::routes::{self, Patience, Route, Token};
use crate::server::Peer;
use crate::upstream::Upstreams;
use crate::{Error, cors, headers};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// Everything that a request needs on its way.
pub(crate) struct Gateway {
    trust: Trust,
    health: Health,
    upstreams: Upstreams,
    metrics: Metrics,
    draining: CancellationToken,
}

/// Whose a path is.
#[derive(Clone, Copy)]
enum Target {
    Own(Page),
    Service(&'static Route),
    Nobody,
}

impl Target {
    fn of(method: &Method, path: &str) -> Self {
        Page::find(path)
            .map(Self::Own)
            .or_else(|| routes::find(method, path).map(Self::Service))
            .unwrap_or(Self::Nobody)
    }

    /// Its name in metrics and logs: few, whatever clients ask for.
    fn label(self) -> &'static str {
        match self {
            Self::Own(page) => page.path(),
            Self::Service(route) => route.prefix,
            Self::Nobody => "none",
        }
    }
}

impl Gateway {
    /// A gateway whose endless answers end when `draining` is.
    pub(crate) fn new(
        trust: Trust,
        health: Health,
        upstreams: Upstreams,
        draining: CancellationToken,
    ) -> Self {
        let metrics = Metrics::default();
        Self { trust, health, upstreams, metrics, draining }
    }

    /// Answers one request, whatever happens.
    pub(crate) async fn handle(
        self: Arc<Self>,
        peer: Peer,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let started = Instant::now();
        let id = request_id(request.headers());
        let is_cross_origin = request.headers().contains_key(ORIGIN);
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let target = Target::of(&method, uri.path());
        let id_value = HeaderValue::from_str(&id.0).ok();

        let answered = self.answer(target, &peer, id_value.as_ref(), request).await;
        let mut response = answered.unwrap_or_else(|problem| page(problem.render(&id.0)));

        let headers = response.headers_mut();
        if let Some(id) = id_value {
            headers.insert(REQUEST_ID, id);
        }
        headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        if is_cross_origin {
            cors::allow(headers);
        }
        let (route, status, elapsed) = (target.label(), response.status(), started.elapsed());
        self.metrics.record(route, status, elapsed);
        let RequestId(request_id) = &id;
        tracing::debug!(
            request_id,
            peer = %peer.address,
            %method,
            path = uri.path(),
            route,
            status = status.as_u16(),
            duration_us = elapsed.as_micros(),
            "answered"
        );
        response
    }

    async fn answer(
        &self,
        target: Target,
        peer: &Peer,
        id: Option<&HeaderValue>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Problem> {
        let (parts, body) = request.into_parts();
        let admitted = self.admit(target, peer, &parts, &body).await;
        let answered = match admitted {
            Ok(Admitted::To(route)) => return self.forward(route, peer, id, parts, body).await,
            Ok(Admitted::Answered(response)) => Ok(response),
            Err(problem) => Err(problem),
        };
        // Whoever expects a word before the body will not send it now.
        if !parts.headers.contains_key(EXPECT) {
            linger(body);
        }
        answered
    }

    /// Decides about a request before any of it goes on.
    async fn admit(
        &self,
        target: Target,
        peer: &Peer,
        parts: &Parts,
        body: &Incoming,
    ) -> Result<Admitted, Problem> {
        headers::check(parts)?;
        if cors::is_preflight(parts) {
            return Ok(Admitted::Answered(cors::preflight()));
        }
        let route = match target {
            Target::Service(route) => route,
            Target::Own(page) => return self.own(page, peer, parts).await.map(Admitted::Answered),
            Target::Nobody => return Err(Problem::not_found()),
        };
        if route.token != Token::Ignored {
            let caller = identify(&self.trust, &parts.headers).await?;
            if caller.is_none() && route.token == Token::Required {
                return Err(Problem::unauthenticated());
            }
        }
        if body.size_hint().lower() > route.body_bytes_max {
            return Err(too_large(route.body_bytes_max));
        }
        Ok(Admitted::To(route))
    }

    async fn own(&self, page: Page, peer: &Peer, parts: &Parts) -> Result<Response<Body>, Problem> {
        pages::require_read(&parts.method)?;
        match page {
            Page::Livez => Ok(pages::livez()),
            Page::Readyz => pages::readyz(&self.health, &self.upstreams).await,
            Page::OpenApi => Ok(pages::openapi()),
            Page::Docs => Ok(pages::docs()),
            Page::Metrics => pages::metrics(&self.trust, peer.address.ip(), parts).await,
        }
    }

    async fn forward(
        &self,
        route: &'static Route,
        peer: &Peer,
        id: Option<&HeaderValue>,
        mut parts: Parts,
        body: Incoming,
    ) -> Result<Response<Body>, Problem> {
        headers::strip_hop_by_hop(&mut parts.headers);
        headers::strip_claims(&mut parts.headers);
        if route.token == Token::Ignored {
            parts.headers.remove(AUTHORIZATION);
        }
        parts
            .headers
            .insert(FORWARDED_FOR, peer.forwarded_for.clone());
        if let Some(id) = id {
            parts.headers.insert(REQUEST_ID, id.clone());
        }
        // What hyper keeps there is about the client's connection.
        parts.extensions.clear();
        let progress = match route.patience {
            Patience::Total(_) => None,
            Patience::Idle(_) => Some(Progress::new()),
        };
        let body = RequestBody::new(body, route.body_bytes_max, progress.clone());
        let sent = self
            .upstreams
            .send(route.service, Request::from_parts(parts, body));
        let answer = within(route.patience, progress.as_deref(), sent).await;
        let answer = answer
            .unwrap_or_else(|patience| Err(Error::Late { service: route.service, patience }))?;

        let until = route.endless.then_some(&self.draining);
        let (mut parts, body) = answer.into_parts();
        headers::strip_hop_by_hop(&mut parts.headers);
        parts.extensions.clear();
        let body = Body::streamed(route.service, body, until);
        Ok(Response::from_parts(parts, body))
    }
}

enum Admitted {
    Answered(Response<Body>),
    To(&'static Route),
}

/// Waits for `answer` with patience; the error is how long that was.
async fn within<T>(
    patience: Patience,
    progress: Option<&Progress>,
    answer: impl Future<Output = T>,
) -> Result<T, Duration> {
    let mut answer = pin!(answer);
    let (Patience::Total(patience) | Patience::Idle(patience)) = patience;
    let started = tokio::time::Instant::now();
    let deadline = || progress.map_or(started, Progress::last) + patience;
    loop {
        let until = deadline();
        match tokio::time::timeout_at(until, answer.as_mut()).await {
            Ok(answer) => return Ok(answer),
            Err(_) if deadline() > until => {}
            Err(_) => return Err(patience),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn silence_is_a_504() {
        let short = Duration::from_millis(5);
        let forever = std::future::pending::<()>();
        let waited = within(Patience::Total(short), None, forever).await;
        let error = Error::Late { service: "orders", patience: waited.unwrap_err() };
        assert_eq!(Problem::from(error).status(), 504);

        let progress = Progress::new();
        let forever = std::future::pending::<()>();
        let waited = within(Patience::Idle(short), Some(&progress), forever).await;
        assert_eq!(waited, Err(short));
    }
}
