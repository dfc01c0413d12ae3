//! One instance of a service: its connection pool, its health, and sending to it.
//!
//! **Invariants:** a request uses a pooled connection if there is one; a stale one that
//! closed before a byte was written is replaced without an error. A failure says whether the
//! request may be repeated: nothing of it was written, or it is safe (RFC 9110 §9.2.1), has
//! no body, and used a pooled connection that the service may have closed at the same moment
//! (RFC 9112 §9.3.1). A request that breaks a new connection is not repeated.

use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::Arc;

use chassis::in_process::LocalService;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;
use tokio::time::Instant;

use super::body::{RemoteBody, ServiceBody};
use super::health::InstanceHealth;
use super::link::Link;
use super::pool::{Lease, Pool};
use super::wait::Wait;
use crate::Error;
use crate::metrics::Upstream as Meter;
use crate::request_body::RequestBody;

/// The connection a request goes over.
#[derive(Debug, Clone, Copy)]
pub(super) enum Connect {
    /// One from the pool, or a new one if the pool is empty.
    Pooled,
    /// A new one: a repetition must not meet another stale connection.
    New,
}

/// Requests in flight at one instance, each with a connection of its own.
const IN_FLIGHT_MAX: usize = 8192;

/// An instance that is alive.
pub(super) struct UpstreamInstance {
    service: &'static str,
    id: String,
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// Its name for requests that have none (HTTP/1.0).
    host: HeaderValue,
    /// Itself, if it is in this process.
    near: Option<LocalService>,
    /// Its warm connections.
    pub(super) pool: Arc<Pool>,
    /// Its health, by the outcomes of requests.
    pub(super) health: InstanceHealth,
    meter: Arc<Meter>,
}

/// What went wrong, and the request if it may be sent again.
pub(super) struct SendFailure {
    pub(super) error: Error,
    pub(super) again: Option<Box<Request<RequestBody>>>,
}

impl SendFailure {
    fn last(error: Error) -> Self {
        Self { error, again: None }
    }

    fn unsent(error: Error, request: Request<RequestBody>) -> Self {
        Self { error, again: Some(Box::new(request)) }
    }
}

impl UpstreamInstance {
    /// An instance as the mesh shows it.
    pub(super) fn new(
        service: &'static str,
        seen: &mesh::Instance,
        near: Option<LocalService>,
        meter: Arc<Meter>,
    ) -> Self {
        let host = HeaderValue::try_from(seen.address.to_string());
        Self {
            service,
            id: seen.id.clone(),
            address: seen.address,
            host: host.expect("a socket address is visible ASCII"),
            near,
            pool: Arc::new(Pool::new()),
            health: InstanceHealth::new(Instant::now()),
            meter,
        }
    }

    /// Whether it is the one that the mesh shows.
    pub(super) fn is(&self, seen: &mesh::Instance) -> bool {
        self.id == seen.id && self.address == seen.address
    }

    /// How many requests it has not answered to the end.
    pub(super) fn in_flight(&self) -> usize {
        self.pool.in_flight()
    }

    /// Counts one more.
    pub(super) fn begin(&self) -> Lease {
        Lease::new(&self.pool)
    }

    /// Sends a request and waits for the response's head.
    pub(super) async fn ask(
        self: &Arc<Self>,
        request: Request<RequestBody>,
        wait: &Wait,
        connect: Connect,
    ) -> Result<Response<ServiceBody>, SendFailure> {
        let (service, in_flight) = (self.service, self.begin());
        if self.in_flight() > IN_FLIGHT_MAX {
            let why = format!("{IN_FLIGHT_MAX} requests are in flight there");
            return Err(SendFailure::last(Error::Unreachable { service, why }));
        }
        let response = match &self.near {
            Some(near) => call(service, near, request, wait).await,
            None => self.send(request, wait, connect, in_flight).await,
        }?;
        // Nothing that asks for another protocol is ever passed on.
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let why = "it switched protocols unasked".into();
            return Err(SendFailure::last(Error::Broken { service, why }));
        }
        Ok(response)
    }

    async fn send(
        self: &Arc<Self>,
        mut request: Request<RequestBody>,
        wait: &Wait,
        connect: Connect,
        in_flight: Lease,
    ) -> Result<Response<ServiceBody>, SendFailure> {
        let service = self.service;
        self.address_to(&mut request);
        loop {
            let warm = match connect {
                Connect::Pooled => self.pool.take(),
                Connect::New => None,
            };
            let is_warm = warm.is_some();
            let mut link = match warm {
                Some(link) => link,
                None => match Link::open(self.address).await {
                    Ok(link) => {
                        self.meter.connected();
                        link
                    }
                    Err(why) => {
                        self.health.failed(Instant::now());
                        return Err(SendFailure::unsent(
                            Error::Unreachable { service, why },
                            request,
                        ));
                    }
                },
            };
            let again = (is_warm && is_repeatable(&request)).then(|| copy(&request));
            let mut error = match wait.on(link.send(request)).await {
                Ok(Ok(response)) => {
                    self.health.answered();
                    return Ok(response.map(|incoming| {
                        ServiceBody::Remote(RemoteBody::new(incoming, link, in_flight))
                    }));
                }
                Ok(Err(error)) => error,
                Err(timeout) => {
                    self.health.failed(Instant::now());
                    return Err(SendFailure::last(Error::Late { service, timeout }));
                }
            };
            match error.take_message() {
                // Closed while it lay in the pool: there may be others.
                Some(unsent) if is_warm => request = unsent,
                Some(unsent) => {
                    self.health.failed(Instant::now());
                    let why = crate::error::chain(error.error());
                    return Err(SendFailure::unsent(
                        Error::Unreachable { service, why },
                        unsent,
                    ));
                }
                None => {
                    let error = failure(service, error.error());
                    if !is_warm && matches!(error, Error::Broken { .. }) {
                        self.health.failed(Instant::now());
                    }
                    return Err(SendFailure { error, again });
                }
            }
        }
    }

    /// Makes it an HTTP/1.1 request in origin form.
    fn address_to(&self, request: &mut Request<RequestBody>) {
        *request.version_mut() = Version::HTTP_11;
        let uri = request.uri();
        if uri.authority().is_some() || uri.scheme().is_some() {
            let path = uri.path_and_query().cloned();
            *request.uri_mut() = path
                .unwrap_or_else(|| PathAndQuery::from_static("/"))
                .into();
        }
        if !request.headers().contains_key(HOST) {
            request.headers_mut().insert(HOST, self.host.clone());
        }
    }
}

/// Calls a service of this process. What befell the body on the way to it counts
/// for more than what it made of that.
async fn call(
    service: &'static str,
    near: &LocalService,
    mut request: Request<RequestBody>,
    wait: &Wait,
) -> Result<Response<ServiceBody>, SendFailure> {
    *request.version_mut() = Version::HTTP_11;
    let fault = request.body_mut().fault();
    let response = match wait.on(near.call(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(unsent)) => {
            let why = "it is ending".into();
            return Err(SendFailure::unsent(
                Error::Unreachable { service, why },
                unsent,
            ));
        }
        Err(timeout) => return Err(SendFailure::last(Error::Late { service, timeout })),
    };
    match fault.and_then(|fault| fault.seen()) {
        Some(error) => Err(SendFailure::last(error)),
        None => Ok(response.map(ServiceBody::InProcess)),
    }
}

fn is_repeatable(request: &Request<RequestBody>) -> bool {
    request.method().is_safe() && request.body().is_end_stream()
}

fn copy(request: &Request<RequestBody>) -> Box<Request<RequestBody>> {
    let mut copy = Request::new(RequestBody::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = Uri::clone(request.uri());
    *copy.headers_mut() = request.headers().clone();
    Box::new(copy)
}

/// What the connection's error means. Our own bodies' errors come back inside it.
fn failure(service: &'static str, error: &hyper::Error) -> Error {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(own) = cause.downcast_ref::<Error>() {
            return own.clone();
        }
        source = cause.source();
    }
    Error::Broken { service, why: crate::error::chain(error) }
}
