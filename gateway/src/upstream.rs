//! Who is where, and the warm connections to them. A service in this very process
//! is called without one.
//!
//! The table is what liveliness tokens say and nothing else: no health checks, no
//! configuration. Of several instances the newest is asked: an older one of a
//! service that has one instance is a token that has not gone yet.
//!
//! **Invariant:** a request is repeated, once, only when it has no body and is
//! either safe (RFC 9110 §9.2.1) or was never sent.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chassis::Context;
use chassis::neighbour::{self, Neighbour};
use http::uri::{Authority, Scheme};
use http::{Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use mesh::{Directory, Instance};

use crate::Error;
use crate::body::{Answer, RequestBody};

/// How long a connection to a service may take: it is on this host or the next.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);

/// How many connections to one service are kept warm, and for how long.
const IDLE_CONNECTIONS_MAX: usize = 64;
const IDLE_PATIENCE: Duration = Duration::from_secs(60);

/// A service's newest instance.
#[derive(Clone)]
struct Upstream {
    /// Where it listens, ready for a request's URI.
    authority: Authority,
    /// Itself, if it is in this process.
    near: Option<Neighbour>,
}

/// The newest instance of each service.
type Table = HashMap<String, Upstream>;

/// The services behind the door.
pub(crate) struct Upstreams {
    table: Arc<RwLock<Table>>,
    client: Client<HttpConnector, RequestBody>,
}

impl Upstreams {
    /// Watches who is alive until the service ends.
    ///
    /// # Errors
    /// When the mesh refuses.
    pub(crate) async fn watch(ctx: &Context) -> Result<Self, chassis::Error> {
        let directory = Directory::watch(&ctx.mesh).await?;
        let mut changes = directory.changes();
        let table = Arc::new(RwLock::new(newest(changes.borrow_and_update().values())));
        let (seen, stop) = (table.clone(), ctx.stop.clone());
        ctx.tasks.spawn(async move {
            let changed = async {
                while changes.changed().await.is_ok() {
                    let now = newest(changes.borrow_and_update().values());
                    *seen.write().unwrap_or_else(PoisonError::into_inner) = now;
                }
            };
            tokio::select! { () = changed => {}, () = stop.cancelled() => {} }
            drop(directory);
        });
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_PATIENCE));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_PATIENCE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(connector);
        Ok(Self { table, client })
    }

    /// Sends a request and waits for the answer's head, for as long as it takes.
    ///
    /// # Errors
    /// Every [`Error`] but [`Error::Late`].
    pub(crate) async fn send(
        &self,
        service: &'static str,
        request: Request<RequestBody>,
    ) -> Result<Response<Answer>, Error> {
        let is_safe = request.method().is_safe();
        let again = request
            .body()
            .is_end_stream()
            .then(|| copy_without_body(&request));
        match (self.attempt(service, request).await, again) {
            (Err(Error::Unreachable { .. }), Some(again)) => self.attempt(service, again).await,
            (Err(Error::Broken { .. }), Some(again)) if is_safe => {
                self.attempt(service, again).await
            }
            (outcome, _) => outcome,
        }
    }

    async fn attempt(
        &self,
        service: &'static str,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Answer>, Error> {
        let Upstream { authority, near } = {
            let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
            table.get(service).cloned().ok_or(Error::Absent(service))?
        };
        *request.version_mut() = Version::HTTP_11;
        let response = match near {
            Some(near) => call(service, &near, request).await?,
            None => self.request(service, authority, request).await?,
        };
        // Nothing that asks for another protocol is ever passed on.
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let why = "it switched protocols unasked".into();
            return Err(Error::Broken { service, why });
        }
        Ok(response)
    }

    async fn request(
        &self,
        service: &'static str,
        authority: Authority,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Answer>, Error> {
        let mut target = request.uri().clone().into_parts();
        target.scheme = Some(Scheme::HTTP);
        target.authority = Some(authority);
        *request.uri_mut() = Uri::from_parts(target)
            .map_err(|error| Error::Broken { service, why: error.to_string() })?;
        let response = self.client.request(request).await;
        let response = response.map_err(|error| failure(service, &error))?;
        Ok(response.map(Answer::Far))
    }
}

/// Calls a service of this process. What befell the body on the way to it counts
/// for more than what it made of that.
async fn call(
    service: &'static str,
    near: &Neighbour,
    request: Request<RequestBody>,
) -> Result<Response<Answer>, Error> {
    let fault = request.body().fault();
    let gone = |_| Error::Unreachable { service, why: "it is ending".into() };
    let response = near.call(request).await.map_err(gone)?;
    match fault.seen() {
        Some(error) => Err(error),
        None => Ok(response.map(Answer::Near)),
    }
}

fn newest<'a>(instances: impl Iterator<Item = &'a Instance>) -> Table {
    let mut newest: HashMap<&str, &Instance> = HashMap::new();
    for one in instances {
        // Ids are UUIDv7, which sort by time.
        let best = newest.entry(&one.service).or_insert(one);
        if best.id < one.id {
            *best = one;
        }
    }
    newest
        .into_iter()
        .filter_map(|(service, one)| {
            let authority = Authority::try_from(one.address.to_string()).ok()?;
            let near = neighbour::find(&one.id);
            Some((service.to_owned(), Upstream { authority, near }))
        })
        .collect()
}

fn copy_without_body(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// What the client's error means. Our own bodies' errors come back inside it.
fn failure(service: &'static str, error: &legacy::Error) -> Error {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(own) = cause.downcast_ref::<Error>() {
            return own.clone();
        }
        source = cause.source();
    }
    let why = crate::error::chain(error);
    if error.is_connect() {
        Error::Unreachable { service, why }
    } else {
        Error::Broken { service, why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_instance_is_asked() {
        let old = Instance::new("orders", ([127, 0, 0, 1], 1).into());
        let new = Instance {
            id: "ffff".into(),
            ..Instance::new("orders", ([127, 0, 0, 1], 2).into())
        };
        let table = newest([&new, &old].into_iter());
        assert_eq!(table["orders"].authority, "127.0.0.1:2");
        assert_eq!(table.len(), 1);
    }
}
