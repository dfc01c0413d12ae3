//! Services of one process, called without a socket between them.
//!
//! What is called is the very router that the socket serves, layers and all; only
//! the bytes in between are gone. An instance is known by the id that the mesh shows
//! of it, so whoever finds it alive finds it here, if it is in this process.
//!
//! **Invariants:** an instance is here before the mesh shows it and until it drains;
//! draining waits for the calls in flight, their bodies included.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response};
use hyper::body::{Frame, SizeHint};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Instance → its router, for as long as it takes calls.
static HERE: LazyLock<Mutex<HashMap<String, Weak<Door>>>> = LazyLock::new(Mutex::default);

struct Door {
    router: TowerToHyperService<Router>,
    calls: TaskTracker,
}

/// An instance in this process, while it is there.
#[derive(Debug, Clone)]
pub struct LocalService(Weak<Door>);

/// The instance of this id, if it is in this process.
pub fn find(instance: &str) -> Option<LocalService> {
    here().get(instance).cloned().map(LocalService)
}

fn here() -> MutexGuard<'static, HashMap<String, Weak<Door>>> {
    HERE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").finish_non_exhaustive()
    }
}

impl LocalService {
    /// Has a request answered; gives it back if nobody is there any more.
    ///
    /// # Errors
    /// The request, untouched.
    pub async fn call<B>(&self, request: Request<B>) -> Result<Response<Answer>, Request<B>>
    where
        B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static,
    {
        let Some(door) = self.0.upgrade().filter(|door| !door.calls.is_closed()) else {
            return Err(request);
        };
        let call = door.calls.token();
        let Ok(response) = door.router.call(request.map(Body::new)).await;
        Ok(response.map(|body| Answer { body, _call: call }))
    }
}

/// An answer's body. The call is in flight until it is dropped.
pub struct Answer {
    body: Body,
    _call: TaskTrackerToken,
}

impl HttpBody for Answer {
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

/// Keeps an instance's router here.
pub(crate) struct Membership {
    instance: String,
    door: Arc<Door>,
}

impl Membership {
    pub(crate) fn begin(instance: String, router: Router) -> Self {
        let router = TowerToHyperService::new(router);
        let door = Arc::new(Door { router, calls: TaskTracker::new() });
        here().insert(instance.clone(), Arc::downgrade(&door));
        Self { instance, door }
    }

    /// Takes no more calls, and returns when the last one is answered.
    pub(crate) async fn end(self) {
        self.door.calls.close();
        self.door.calls.wait().await;
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        here().remove(&self.instance);
    }
}
