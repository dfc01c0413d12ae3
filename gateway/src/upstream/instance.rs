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

/// Where a service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServiceProcess {
    /// Beside the gateway, in its process.
    This,
    Other,
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
    /// Its handle, if it is in this process.
    in_process: Option<LocalService>,
    /// Its connection pool.
    pub(super) pool: Arc<Pool>,
    /// Its health, by the outcomes of requests.
    pub(super) health: InstanceHealth,
    meter: Arc<Meter>,
}

/// A failure, and the request if it may be repeated.
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
    /// Creates an instance that the mesh discovered.
    pub(super) fn new(
        service: &'static str,
        seen: &mesh::Instance,
        in_process: Option<LocalService>,
        meter: Arc<Meter>,
    ) -> Self {
        let host = HeaderValue::try_from(seen.address.to_string());
        Self {
            service,
            id: seen.id.clone(),
            address: seen.address,
            host: host.expect("a socket address is visible ASCII"),
            in_process,
            pool: Arc::new(Pool::new()),
            health: InstanceHealth::new(Instant::now()),
            meter,
        }
    }

    /// Whether it is the discovered one.
    pub(super) fn is(&self, seen: &mesh::Instance) -> bool {
        self.id == seen.id && self.address == seen.address
    }

    /// Where it runs.
    pub(super) fn process(&self) -> ServiceProcess {
        match self.in_process {
            Some(_) => ServiceProcess::This,
            None => ServiceProcess::Other,
        }
    }

    /// The number of requests whose response has not ended.
    pub(super) fn in_flight(&self) -> usize {
        self.pool.in_flight()
    }

    /// Counts one more request.
    pub(super) fn begin(&self) -> Lease {
        Lease::new(&self.pool)
    }

    /// Sends a request and waits for the response's head.
    pub(super) async fn send(
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
        let response = match &self.in_process {
            Some(local) => call(service, local, request, wait).await,
            None => self.send_remote(request, wait, connect, in_flight).await,
        }?;
        // The gateway forwards no `Upgrade`, so a service has no reason to switch.
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let why = "it switched protocols without an upgrade request".into();
            return Err(SendFailure::last(Error::Broken { service, why }));
        }
        Ok(response)
    }

    async fn send_remote(
        self: &Arc<Self>,
        mut request: Request<RequestBody>,
        wait: &Wait,
        connect: Connect,
        in_flight: Lease,
    ) -> Result<Response<ServiceBody>, SendFailure> {
        let service = self.service;
        self.address_to(&mut request);
        loop {
            let pooled = match connect {
                Connect::Pooled => self.pool.take(),
                Connect::New => None,
            };
            let is_pooled = pooled.is_some();
            let mut link = match pooled {
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
            let again = (is_pooled && is_repeatable(&request)).then(|| copy(&request));
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
                // The connection was closed in the pool; the next one may be open.
                Some(unsent) if is_pooled => request = unsent,
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
                    if !is_pooled && matches!(error, Error::Broken { .. }) {
                        self.health.failed(Instant::now());
                    }
                    return Err(SendFailure { error, again });
                }
            }
        }
    }

    /// Makes the request an HTTP/1.1 one in origin form.
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

/// Calls an in-process service. A failure of the request's body takes precedence over the
/// service's response, which is only a consequence of it.
async fn call(
    service: &'static str,
    local: &LocalService,
    mut request: Request<RequestBody>,
    wait: &Wait,
) -> Result<Response<ServiceBody>, SendFailure> {
    *request.version_mut() = Version::HTTP_11;
    let fault = request.body_mut().fault();
    let response = match wait.on(local.call(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(unsent)) => {
            let why = "it is stopping".into();
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

/// Maps an error of a connection. An error of the request's own body is wrapped in it.
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
