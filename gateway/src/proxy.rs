//! The proxy: forwards a request from a client's connection to a service, and the response
//! back.
//!
//! Framing is checked first, then the route, the token and the limits; only then is
//! anything forwarded. A response passes unchanged, except for hop-by-hop headers.

use crate::config::Config;
use std::sync::Arc;
use std::time::Instant;

use api::{Access, Timeout};
use chassis::caller::identify;
use chassis::context::Context;
use chassis::request_id::{REQUEST_ID, request_id};
use chassis::{Problem, Trust, trace};
use http::header::{AUTHORIZATION, CONNECTION, EXPECT, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use model::{Id, kinds};
use tokio_util::sync::CancellationToken;

use crate::access::{AccessRecord, Held, Watched};
use crate::api_keys::ApiKeys;
use crate::body::{Body, page};
use crate::cache::ResponseCache;
use crate::client::{Client, Peer};
use crate::compress::Compressor;
use crate::cors::CorsPolicy;
use crate::error::too_large;
use crate::limits::{ClientLimits, Rates, ResponseSize, SendCharge, SendShare};
use crate::metrics::Metrics;
use crate::pages::Pages;
use crate::request_body::{HeldBack, RequestBody, linger};
use crate::routing::{Destination, Target};
use crate::shed::{Flight, Shed};
use crate::upstream::{Instances, Upstreams, Wait};
use crate::wire::Framing;
use crate::{cors, headers, methods, query};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// The parts of the gateway that handle a request.
pub(crate) struct Proxy {
    trust: Trust,
    api_keys: ApiKeys,
    pages: Pages,
    upstreams: Upstreams,
    cache: ResponseCache,
    metrics: Metrics,
    limits: Arc<ClientLimits>,
    shed: Shed,
    compressor: Compressor,
    cors: CorsPolicy,
    is_logged: bool,
    draining: CancellationToken,
}

/// The state of one request.
struct Visit {
    client: Client,
    /// The request id, as it is forwarded.
    id: Option<HeaderValue>,
    user: Option<Id<kinds::User>>,
    rates: Rates,
    held: Held,
    /// The connection's share of the send budget.
    share: SendShare,
    /// What the response is charged before its size is known.
    reserved: Option<SendCharge>,
    /// Whether the client still holds its body back for a `100 Continue` that it will not get.
    is_body_unread: bool,
}

impl Proxy {
    /// Creates the proxy from the settings.
    pub(crate) fn new(
        ctx: &Context,
        config: &Config,
        upstreams: Upstreams,
        cache: ResponseCache,
    ) -> Self {
        Self {
            trust: ctx.trust.clone(),
            api_keys: ApiKeys::new(ctx),
            pages: Pages::new(ctx, upstreams.clone()),
            upstreams,
            cache,
            metrics: Metrics::new(Target::labels()),
            limits: Arc::new(ClientLimits::new(config, ctx.draining.clone())),
            shed: Shed::new(config.limits.in_flight),
            compressor: Compressor::new(config.compression),
            cors: CorsPolicy::new(&config.cors),
            is_logged: config.access_log,
            draining: ctx.draining.clone(),
        }
    }

    /// The policy of cross-origin requests.
    pub(crate) fn cors(&self) -> &CorsPolicy {
        &self.cors
    }

    /// The limits of clients.
    pub(crate) fn limits(&self) -> &Arc<ClientLimits> {
        &self.limits
    }

    /// Responds to one request; every failure is a problem document.
    pub(crate) async fn handle(
        self: Arc<Self>,
        (peer, share): (Peer, SendShare),
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
            share,
            reserved: None,
            is_body_unread: false,
        };
        let sound = headers::check(&mut parts, &framing);
        let may_be_out_of_step = headers::may_be_out_of_step(&parts, sound.is_err());
        let (target, sound) = target_of(&mut parts, sound);
        let origin = parts.headers.get(ORIGIN).cloned();
        let (method, uri) = (parts.method.clone(), parts.uri.clone());
        let wanted = self.compressor.wanted(&mut parts.headers);

        let counted = self.limits.request(&visit.client, &mut visit.rates);
        let result = match counted.and(sound) {
            Ok(()) => self.respond(target, &mut visit, parts, body).await,
            Err(problem) => {
                visit.drain(&parts, body);
                Err(problem)
            }
        };
        let result = result.and_then(|response| self.charge(&mut visit, &method, target, response));
        let (result, charge) = match result {
            Ok((response, charge)) => (Ok(response), charge),
            Err(problem) => (Err(problem), None),
        };
        let response = result.unwrap_or_else(|problem| page(problem.render(&id.0)));
        let mut response = self.compressor.encode(&wanted, response);

        let (route, status) = (target.label(), response.status());
        let headers = response.headers_mut();
        let is_error = status.is_client_error() || status.is_server_error();
        if may_be_out_of_step && (is_error || visit.is_body_unread) {
            headers.insert(CONNECTION, CLOSE);
        }
        self.write_headers(headers, &visit);
        // A web site must not read what a browser may because of the host it runs on.
        if target
            .route()
            .is_none_or(|route| route.access != Access::HostOrAdmin)
        {
            self.cors.allow(origin.as_ref(), headers);
        }
        self.metrics.record(route, status, started.elapsed());
        let Visit { client, user, mut held, .. } = visit;
        held.line = self.is_logged.then(|| AccessRecord {
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
        response.map(|body| Watched::new(body, held, charge))
    }

    /// Charges a response to the send budget until its client has it.
    fn charge(
        &self,
        visit: &mut Visit,
        method: &Method,
        target: Target,
        response: Response<Body>,
    ) -> Result<(Response<Body>, Option<Arc<SendCharge>>), Problem> {
        let size = ResponseSize {
            route: target.label(),
            // A body of an unknown size is a stream, of which only a piece is held.
            bytes: response.body().size_hint().exact().unwrap_or_default(),
            is_safe: method.is_safe(),
        };
        let (reserved, source) = (visit.reserved.take(), (&visit.client, &visit.share));
        let charge = self.limits.send_budget().settle(reserved, source, &size)?;
        Ok((response, charge))
    }

    /// Adds the headers that every response has.
    fn write_headers(&self, headers: &mut HeaderMap, visit: &Visit) {
        if let Some(id) = &visit.id {
            headers.insert(REQUEST_ID, id.clone());
        }
        headers::secure(headers);
        self.limits.write_headers(&visit.rates, headers);
    }

    async fn respond(
        &self,
        target: Target,
        visit: &mut Visit,
        mut parts: Parts,
        body: Incoming,
    ) -> Result<Response<Body>, Problem> {
        let admitted = self.admit(target, visit, &mut parts, &body).await;
        let result = match admitted {
            Ok(Admitted::To(destination)) => {
                let is_bodiless = body.is_end_stream();
                // Boxed, because a request that the cache answers needs no space for it.
                let forward = |parts| Box::pin(self.forward(destination, visit, parts, body));
                return self
                    .cache
                    .respond(destination, parts, is_bodiless, forward)
                    .await;
            }
            Ok(Admitted::Answered(response)) => Ok(response),
            Err(problem) => Err(problem),
        };
        visit.drain(&parts, body);
        result
    }

    /// Checks a request before any of it is forwarded, and puts an access token in the place of
    /// an API key.
    async fn admit(
        &self,
        target: Target,
        visit: &mut Visit,
        parts: &mut Parts,
        body: &Incoming,
    ) -> Result<Admitted, Problem> {
        if cors::is_preflight(parts) {
            return Ok(Admitted::Answered(self.cors.preflight()));
        }
        if parts.uri.path() == "*" {
            return Ok(Admitted::Answered(methods::of_the_shop()));
        }
        if let Some(route) = target.route() {
            let (client, headers) = (&visit.client, &mut parts.headers);
            self.api_keys.exchange(route, client, headers).await?;
        }
        let destination = match target {
            Target::Service(destination) => destination,
            Target::Page(route) => {
                if route.streaming {
                    visit.held.place = Some(self.limits.stream(&visit.client)?);
                }
                let is_local = visit.client.is_local;
                let response = self.pages.respond(route, is_local, parts).await?;
                return Ok(Admitted::Answered(response));
            }
            Target::OtherMethod(route) => {
                return methods::other(&parts.method, route).map(Admitted::Answered);
            }
            Target::Moved => return Ok(Admitted::Answered(methods::moved(&parts.uri))),
            Target::Nothing => return Err(Problem::no_route(&parts.method, parts.uri.path())),
        };
        if destination.reads_token() {
            let route = || Some(destination.route);
            let caller = identify(&self.trust, &parts.headers, route).await?;
            match caller {
                Some(caller) => {
                    visit.user = Some(caller.user_id);
                    let rates = &mut visit.rates;
                    self.limits.user(&visit.client, caller.user_id, rates)?;
                }
                None if destination.needs_token() => return Err(Problem::unauthenticated()),
                None => {}
            }
        }
        let bytes_max = destination.route.body_bytes_max;
        if body.size_hint().lower() > bytes_max {
            return Err(too_large(bytes_max));
        }
        if parts.method.is_safe() {
            let (budget, route) = (self.limits.send_budget(), destination.route.path);
            visit.reserved = budget.reserve(&visit.client, &visit.share, route).await?;
        }
        Ok(Admitted::To(destination))
    }

    /// Counts a request as in flight at its service, and among open streams.
    fn enter(
        &self,
        destination: Destination,
        visit: &mut Visit,
        parts: &Parts,
    ) -> Result<Flight, Problem> {
        let flight = self.shed.enter(destination, parts)?;
        if destination.route.streaming {
            visit.held.place = Some(self.limits.stream(&visit.client)?);
        }
        Ok(flight)
    }

    async fn forward(
        &self,
        destination: Destination,
        visit: &mut Visit,
        mut parts: Parts,
        body: Incoming,
    ) -> Result<Response<Body>, Problem> {
        let is_held_back = parts.headers.contains_key(EXPECT) && !body.is_end_stream();
        let held_back = is_held_back.then(HeldBack::default);
        let flight = match self.enter(destination, visit, &parts) {
            Ok(flight) => flight,
            Err(problem) => {
                visit.drain(&parts, body);
                return Err(problem);
            }
        };
        headers::strip_hop_by_hop(&mut parts.headers);
        headers::strip_claims(&mut parts.headers);
        if !destination.reads_token() {
            parts.headers.remove(AUTHORIZATION);
        }
        headers::pass_via(&mut parts.headers, visit.client.is_proxied);
        let forwarded_for = visit.client.forwarded_for.clone();
        parts.headers.insert(FORWARDED_FOR, forwarded_for);
        if let Some(id) = &visit.id {
            trace::continue_or_begin(&mut parts.headers, id.to_str().unwrap_or_default());
            parts.headers.insert(REQUEST_ID, id.clone());
        }
        // hyper's extensions belong to the client's connection.
        parts.extensions.clear();
        let Destination { route, service } = destination;
        let timeout = destination.timeout();
        let wait = Wait::begin(timeout);
        let body = RequestBody::new(body, route.body_bytes_max, wait.progress())
            .held_back(held_back.clone())
            .with_arrival(flight.arrival());
        let body = match timeout {
            Timeout::Total(_) => body.with_progress_timeout(self.limits.body_progress_timeout()),
            Timeout::Idle(_) => body,
        };
        let request = Request::from_parts(parts, body);
        let sent = self
            .upstreams
            .send(service, Instances::Newest, &wait, request);
        let response = sent.await?;

        visit.is_body_unread = held_back.is_some_and(|body| body.is_unread());
        drop(flight);
        let until = route.streaming.then_some(&self.draining);
        let (mut parts, body) = response.into_parts();
        headers::strip_hop_by_hop(&mut parts.headers);
        parts.extensions.clear();
        let body = Body::streamed(service, body, until);
        Ok(Response::from_parts(parts, body))
    }
}

impl Visit {
    /// Drains the body that a response did not need. A client that waits for `100 Continue`
    /// will not send it now, and must not be asked to.
    fn drain(&mut self, parts: &Parts, body: Incoming) {
        if parts.headers.contains_key(EXPECT) {
            self.is_body_unread = !body.is_end_stream();
        } else {
            linger(body);
        }
    }
}

/// The target of a request, and its query in its one form, if its head is `sound`.
fn target_of(parts: &mut Parts, sound: Result<(), Problem>) -> (Target, Result<(), Problem>) {
    if let Err(problem) = sound {
        return (Target::Nothing, Err(problem));
    }
    let target = Target::of(&parts.method, &parts.uri);
    let route = target.route();
    (
        target,
        route.map_or(Ok(()), |route| query::normalise(parts, route)),
    )
}

enum Admitted {
    Answered(Response<Body>),
    To(Destination),
}
