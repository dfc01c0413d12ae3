//! A request's way from the door to a service and back.
//!
//! The order matters: framing first, then where to, then who asks, then how much;
//! only then does anything leave. Whatever comes back passes, except what is about
//! the connection it came over.

use std::sync::Arc;
use std::time::Instant;

use chassis::caller::{admin, identify};
use chassis::request_id::{REQUEST_ID, request_id};
use chassis::status::ServiceStatus;
use chassis::{Context, Health};
use chassis::{Problem, Trust, trace};
use http::header::{AUTHORIZATION, CONNECTION, EXPECT, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body::Body as _;
use hyper::body::Incoming;
use model::{Id, kinds};
use tokio_util::sync::CancellationToken;

use crate::access::{Held, Line, Watched};
use crate::body::{Body, RequestBody, linger, page};
use crate::cache::Cache;
use crate::client::Client;
use crate::compress::Compressor;
use crate::cors::Cors;
use crate::error::too_large;
use crate::limits::{Limits, Rates};
use crate::metrics::Metrics;
use crate::pages::{self, Page};
use crate::routes::{self, Route, Timeout, Token};
use crate::server::Peer;
use crate::shed::{Flight, Shed};
use crate::upstream::{Upstreams, Wait};
use crate::wire::Framing;
use crate::{cors, headers, methods, operating};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Everything that a request needs on its way.
pub(crate) struct Gateway {
    trust: Trust,
    health: Health,
    status: ServiceStatus,
    upstreams: Upstreams,
    cache: Cache,
    metrics: Metrics,
    limits: Arc<Limits>,
    shed: Shed,
    compressor: Compressor,
    cors: Cors,
    is_logged: bool,
    draining: CancellationToken,
}

/// What becomes known of a request on its way.
struct Visit {
    client: Client,
    /// Its name, as it is passed on.
    id: Option<HeaderValue>,
    user: Option<Id<kinds::User>>,
    rates: Rates,
    held: Held,
}

/// Whose a path is.
#[derive(Clone, Copy)]
enum Target {
    Own(Page),
    Service(&'static Route),
    Nobody,
}

impl Target {
    fn of(method: &Method, uri: &Uri) -> Self {
        let path = uri.path();
        routes::find(method, path)
            .or_else(|| routes::find_events(path, uri.query()))
            .map(Self::Service)
            .or_else(|| Page::find(path).map(Self::Own))
            .unwrap_or(Self::Nobody)
    }

    /// Every name that [`label`](Self::label) gives.
    fn labels() -> impl Iterator<Item = &'static str> {
        let pages = Page::ALL.map(Page::path);
        let prefixes = routes::prefixes();
        pages.into_iter().chain(prefixes).chain(["none"])
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
    /// The gateway of a shop, as it is configured.
    pub(crate) fn new(ctx: &Context, upstreams: Upstreams, cache: Cache) -> Self {
        let config = &ctx.config.gateway;
        Self {
            trust: ctx.trust.clone(),
            health: ctx.health.clone(),
            status: ctx.status.clone(),
            upstreams,
            cache,
            metrics: Metrics::new(Target::labels()),
            limits: Arc::new(Limits::new(config)),
            shed: Shed::new(config.limits.in_flight),
            compressor: Compressor::new(config.compression),
            cors: Cors::new(&config.cors),
            is_logged: config.access_log,
            draining: ctx.draining.clone(),
        }
    }

    /// How much clients may have.
    pub(crate) fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// Answers one request, whatever happens.
    pub(crate) async fn handle(
        self: Arc<Self>,
        peer: Peer,
        framing: Framing,
        request: Request<Incoming>,
    ) -> Response<Watched> {
        let started = Instant::now();
        let id = request_id(request.headers());
        let (mut parts, body) = request.into_parts();
        let mut visit = Visit {
            client: self.limits.proxies().client(&peer, &parts.headers),
            id: HeaderValue::from_str(&id.0).ok(),
            user: None,
            rates: Rates::default(),
            held: Held::default(),
        };
        let sound = headers::check(&mut parts, &framing);
        let may_be_out_of_step = headers::may_be_out_of_step(&parts, sound.is_err());
        let target = match sound {
            Ok(()) => Target::of(&parts.method, &parts.uri),
            Err(_) => Target::Nobody,
        };
        let origin = parts.headers.get(ORIGIN).cloned();
        let (method, uri) = (parts.method.clone(), parts.uri.clone());
        trace::continue_or_begin(&mut parts.headers, &id.0);
        let wanted = self.compressor.wanted(&mut parts.headers);

        let counted = self.limits.request(&visit.client, &mut visit.rates);
        let answered = match counted.and(sound) {
            Ok(()) => self.answer(target, &mut visit, parts, body).await,
            Err(problem) => {
                let_go(&parts, body);
                Err(problem)
            }
        };
        let mut response = answered.unwrap_or_else(|problem| page(problem.render(&id.0)));
        methods::complete(&method, &mut response);
        let mut response = self.compressor.encode(&wanted, response);

        let (route, status) = (target.label(), response.status());
        let headers = response.headers_mut();
        if may_be_out_of_step && (status.is_client_error() || status.is_server_error()) {
            headers.insert(CONNECTION, CLOSE);
        }
        self.adorn(headers, &visit, origin.as_ref());
        self.metrics.record(route, status, started.elapsed());
        let Visit { client, user, mut held, .. } = visit;
        held.line = self.is_logged.then(|| Line {
            started,
            request_id: id,
            client: client.ip,
            user,
            method,
            uri,
            route,
            status,
            bytes: 0,
        });
        response.map(|body| Watched::new(body, held))
    }

    /// Adds the headers that every answer has, whoever gave it.
    fn adorn(&self, headers: &mut HeaderMap, visit: &Visit, origin: Option<&HeaderValue>) {
        if let Some(id) = &visit.id {
            headers.insert(REQUEST_ID, id.clone());
        }
        headers::secure(headers);
        self.cors.allow(origin, headers);
        self.limits.tell(&visit.rates, headers);
    }

    async fn answer(
        &self,
        target: Target,
        visit: &mut Visit,
        parts: Parts,
        body: Incoming,
    ) -> Result<Response<Body>, Problem> {
        let admitted = self.admit(target, visit, &parts, &body).await;
        let answered = match admitted {
            Ok(Admitted::To(route)) => {
                let is_bodiless = body.is_end_stream();
                let forward = |parts| self.forward(route, visit, parts, body);
                return self.cache.answer(route, parts, is_bodiless, forward).await;
            }
            Ok(Admitted::Answered(response)) => Ok(response),
            Err(problem) => Err(problem),
        };
        let_go(&parts, body);
        answered
    }

    /// Decides about a request before any of it goes on.
    async fn admit(
        &self,
        target: Target,
        visit: &mut Visit,
        parts: &Parts,
        body: &Incoming,
    ) -> Result<Admitted, Problem> {
        if cors::is_preflight(parts) {
            return Ok(Admitted::Answered(self.cors.preflight()));
        }
        if parts.uri.path() == "*" {
            return Ok(Admitted::Answered(methods::of_the_shop()));
        }
        let route = match target {
            Target::Service(route) => route,
            Target::Own(page) => {
                let is_local = visit.client.is_local;
                return self
                    .own(page, is_local, parts)
                    .await
                    .map(Admitted::Answered);
            }
            Target::Nobody => return Err(Problem::no_route(&parts.method, parts.uri.path())),
        };
        if route.token != Token::Ignored {
            let caller = identify(&self.trust, &parts.headers).await?;
            match caller {
                Some(caller) => {
                    visit.user = Some(caller.user_id);
                    let rates = &mut visit.rates;
                    self.limits.user(&visit.client, caller.user_id, rates)?;
                }
                None if route.token == Token::Required && parts.method != Method::OPTIONS => {
                    return Err(Problem::unauthenticated());
                }
                None => {}
            }
        }
        if body.size_hint().lower() > route.body_bytes_max {
            return Err(too_large(route.body_bytes_max));
        }
        Ok(Admitted::To(route))
    }

    async fn own(
        &self,
        page: Page,
        is_local: bool,
        parts: &Parts,
    ) -> Result<Response<Body>, Problem> {
        if let Some(response) = methods::of_a_page(&parts.method)? {
            return Ok(response);
        }
        match page {
            Page::Livez => Ok(pages::livez()),
            Page::Readyz => pages::readyz(&self.health, &self.upstreams).await,
            Page::OpenApi => Ok(pages::openapi()),
            Page::Docs => Ok(pages::docs()),
            Page::Metrics => pages::metrics(&self.trust, is_local, parts).await,
            Page::Console => Ok(pages::console()),
            Page::ConsoleScript => Ok(pages::console_script()),
            Page::ConsoleStyle => Ok(pages::console_style()),
            Page::Status => {
                self.require_admin(parts).await?;
                operating::status(&self.status, &self.upstreams, parts).await
            }
            Page::Events => {
                self.require_admin(parts).await?;
                operating::events(&self.upstreams, parts).await
            }
            Page::DeadLetters => {
                self.require_admin(parts).await?;
                operating::dead_letters(&self.upstreams, parts).await
            }
        }
    }

    async fn require_admin(&self, parts: &Parts) -> Result<(), Problem> {
        let caller = identify(&self.trust, &parts.headers).await?;
        admin(caller).map(|_| ())
    }

    /// Takes a request's place in its service, and among open streams.
    fn enter(&self, route: &Route, visit: &mut Visit, parts: &Parts) -> Result<Flight, Problem> {
        let flight = self.shed.enter(route, parts)?;
        if route.endless {
            visit.held.place = Some(self.limits.stream(&visit.client)?);
        }
        Ok(flight)
    }

    async fn forward(
        &self,
        route: &'static Route,
        visit: &mut Visit,
        mut parts: Parts,
        body: Incoming,
    ) -> Result<Response<Body>, Problem> {
        let is_held_back = parts.headers.contains_key(EXPECT);
        let flight = match self.enter(route, visit, &parts) {
            Ok(flight) => flight,
            Err(problem) => {
                let_go(&parts, body);
                return Err(problem);
            }
        };
        headers::strip_hop_by_hop(&mut parts.headers);
        headers::strip_claims(&mut parts.headers);
        if route.token == Token::Ignored {
            parts.headers.remove(AUTHORIZATION);
        }
        headers::pass_via(&mut parts.headers, visit.client.is_proxied);
        let forwarded_for = visit.client.forwarded_for.clone();
        parts.headers.insert(FORWARDED_FOR, forwarded_for);
        if let Some(id) = &visit.id {
            parts.headers.insert(REQUEST_ID, id.clone());
        }
        // What hyper keeps there is about the client's connection.
        parts.extensions.clear();
        let wait = Wait::begin(route.timeout);
        let body = RequestBody::new(body, route.body_bytes_max, wait.progress())
            .held_back(is_held_back)
            .announced(flight.arrival());
        let body = match route.timeout {
            Timeout::Total(_) => body.paced(self.limits.body_pace()),
            Timeout::Idle(_) => body,
        };
        let request = Request::from_parts(parts, body);
        let sent = self
            .upstreams
            .send(route.service, route.instances, &wait, request);
        let answer = sent.await?;

        drop(flight);
        let until = route.endless.then_some(&self.draining);
        let (mut parts, body) = answer.into_parts();
        headers::strip_hop_by_hop(&mut parts.headers);
        parts.extensions.clear();
        let body = Body::streamed(route.service, body, until);
        Ok(Response::from_parts(parts, body))
    }
}

/// Reads on after an answer that did not need the body. Whoever expects a word before
/// it will not send it now, and must not be told to.
fn let_go(parts: &Parts, body: Incoming) {
    if !parts.headers.contains_key(EXPECT) {
        linger(body);
    }
}

enum Admitted {
    Answered(Response<Body>),
    To(&'static Route),
}
