//! The in-process transport: requests to a service of the same process without a socket.
//!
//! A call enters the same router that the service's socket serves, with all of its layers;
//! it saves the connection and the encoding of messages. An instance is registered under
//! the id that discovery announces, so the gateway looks up every instance it discovers.
//!
//! **Invariants:** an instance is registered before it is announced and until it drains;
//! draining waits for the calls in flight, including their response bodies.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response};
use hyper::body::{Frame, SizeHint};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// The services of one process, by instance id. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct LocalServices(Arc<Mutex<HashMap<String, Weak<Endpoint>>>>);

struct Endpoint {
    router: TowerToHyperService<Router>,
    calls: TaskTracker,
}

/// A service of this process, while it is registered.
#[derive(Debug, Clone)]
pub struct LocalService(Weak<Endpoint>);

impl LocalServices {
    /// The instance of this id, if it runs in this process.
    pub fn find(&self, instance: &str) -> Option<LocalService> {
        self.0.lock().get(instance).cloned().map(LocalService)
    }

    /// Registers an instance until the returned registration is dropped.
    pub(crate) fn register(&self, instance: String, router: Router) -> Registration {
        let router = TowerToHyperService::new(router);
        let endpoint = Arc::new(Endpoint { router, calls: TaskTracker::new() });
        let entry = Arc::downgrade(&endpoint);
        self.0.lock().insert(instance.clone(), entry);
        Registration { services: self.clone(), instance, endpoint }
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").finish_non_exhaustive()
    }
}

impl LocalService {
    /// Sends a request and waits for the response's head.
    ///
    /// # Errors
    /// The request, untouched, when the service takes no more calls.
    pub async fn call<B>(&self, request: Request<B>) -> Result<Response<LocalBody>, Request<B>>
    where
        B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static,
    {
        let is_open = |endpoint: &Arc<Endpoint>| !endpoint.calls.is_closed();
        let Some(endpoint) = self.0.upgrade().filter(is_open) else {
            return Err(request);
        };
        let call = endpoint.calls.token();
        let Ok(response) = endpoint.router.call(request.map(Body::new)).await;
        Ok(response.map(|body| LocalBody { body, _call: call }))
    }
}

/// A response body of the in-process transport. Its call is in flight until it is dropped.
pub struct LocalBody {
    body: Body,
    _call: TaskTrackerToken,
}

impl HttpBody for LocalBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Keeps an instance registered until it is dropped.
pub(crate) struct Registration {
    services: LocalServices,
    instance: String,
    endpoint: Arc<Endpoint>,
}

impl Registration {
    /// Takes no more calls and waits for those in flight.
    pub(crate) async fn drain(self) {
        self.endpoint.calls.close();
        self.endpoint.calls.wait().await;
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.services.0.lock().remove(&self.instance);
    }
}
