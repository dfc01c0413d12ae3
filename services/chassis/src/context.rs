//! What a service is given when it opens, and what it gives back.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::response::Response;
use futures::future::BoxFuture;
use mesh::{Event, Follower, FollowerState, Following, Log, Mesh, Refusal};
use store::{Store, Tx};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::check::Checks;
use crate::http::Ready;
use crate::operating::ServiceStatus;
use crate::{Config, Error, Folder, Trust};

/// Everything a service stands on.
pub struct Context {
    /// The service's name.
    pub name: &'static str,
    /// The shop's data folder.
    pub folder: Folder,
    /// The service's own data_dir in it.
    pub data_dir: PathBuf,
    /// The shop's configuration.
    pub config: Arc<Config>,
    /// The service's database.
    pub store: Store,
    /// The service's log.
    pub log: Log,
    /// The shop's mesh.
    pub mesh: Mesh,
    /// Which tokens are believed.
    pub trust: Trust,
    /// Where background tasks are spawned, so that ending waits for them.
    pub tasks: TaskTracker,
    /// Ends them.
    pub stop: CancellationToken,
    /// Cancelled before `stop`, when no more requests are taken: an answer that
    /// would go on for ever, a stream of events, ends itself then.
    pub draining: CancellationToken,
    /// What has to be well before the service is ready.
    pub health: Health,
    /// What the operator can have compared.
    pub checks: Checks,
    /// What the operator is told.
    pub status: ServiceStatus,
}

impl Context {
    /// Follows `source` from now on, applying `handler` to each of its events
    /// exactly once; the service is ready only when it is caught up.
    ///
    /// # Errors
    /// When the mesh or the store refuses.
    pub async fn follow(
        &self,
        source: &'static str,
        handler: impl Fn(&mut Tx<'_>, &Event) -> Result<(), Refusal> + Send + Sync + 'static,
    ) -> Result<Following, Error> {
        self.follow_or(source, handler, |_, _| Ok(())).await
    }

    /// As [`follow`](Self::follow); `instead` is done when an operator gives up an
    /// event that `handler` refused, for whoever waits for word of it.
    ///
    /// # Errors
    /// When the mesh or the store refuses.
    pub async fn follow_or(
        &self,
        source: &'static str,
        handler: impl Fn(&mut Tx<'_>, &Event) -> Result<(), Refusal> + Send + Sync + 'static,
        instead: impl Fn(&mut Tx<'_>, &Event) -> Result<(), Refusal> + Send + Sync + 'static,
    ) -> Result<Following, Error> {
        let (store, mesh) = (self.store.clone(), self.mesh.clone());
        let follower = Follower::new("main", source, store, mesh, handler);
        self.start(Follower { instead: Arc::new(instead), ..follower })
            .await
    }

    pub(crate) async fn start(&self, follower: Follower) -> Result<Following, Error> {
        let following = follower.start(&self.tasks, self.stop.clone()).await?;
        self.status.follows(following.clone());
        let (source, seen) = (following.source(), following.clone());
        self.health.add(move || match seen.state() {
            FollowerState::Stopped { why } => Some(why),
            state if state.is_caught_up() => None,
            _ => Some(format!("not caught up with {source}")),
        });
        Ok(following)
    }

    /// A service that answers with `router` on a free loopback port.
    pub fn serve(self, router: Router) -> Service {
        self.serve_with_streams(router, Router::new())
    }

    /// As [`serve`](Self::serve), with `streams` for requests that have no time
    /// limit of their own: each handler there bounds how long its body may idle.
    pub fn serve_with_streams(self, router: Router, streams: Router) -> Service {
        self.serve_all(router, streams, None)
    }

    /// As [`serve_with_streams`](Self::serve_with_streams), asking `ready` first
    /// for whatever is found by a route.
    pub fn serve_ready(
        self,
        router: Router,
        streams: Router,
        ready: impl Fn(&axum::extract::Request) -> Option<Response> + Send + Sync + 'static,
    ) -> Service {
        self.serve_all(router, streams, Some(Box::new(ready)))
    }

    fn serve_all(self, router: Router, streams: Router, ready: Option<Ready>) -> Service {
        let (trust, health) = (self.trust.clone(), self.health.clone());
        let router = router.merge(self.status.router());
        let router = crate::http::wrap(self.name, router, streams, trust, health, ready);
        let near = Some(router.clone());
        let server: Server =
            Box::new(move |listener, stop| Box::pin(serve_router(listener, router, stop)));
        Service { context: self, listener: None, server, near, control: None }
    }
}

async fn serve_router(listener: TcpListener, router: Router, stop: CancellationToken) {
    use axum::serve::ListenerExt;
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::trace!(%error, "nodelay");
        }
    });
    // A bare router would be copied, routes and all, for every connection.
    let served = axum::serve(listener, router.into_make_service())
        .with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(%error, "serving ended");
    }
}

/// Answers connections of a listener until told to stop, then drains.
pub type Server = Box<dyn FnOnce(TcpListener, CancellationToken) -> BoxFuture<'static, ()> + Send>;

/// An opened service, ready to be served.
pub struct Service {
    pub(crate) context: Context,
    /// Where it listens, unless on a free loopback port.
    pub(crate) listener: Option<TcpListener>,
    pub(crate) server: Server,
    /// What `server` answers with, for callers in this process.
    pub(crate) near: Option<Router>,
    pub(crate) control: Option<Router>,
}

impl Service {
    /// A service that answers the connections of `listener` by itself.
    pub fn custom(context: Context, listener: TcpListener, server: Server) -> Self {
        Self {
            context,
            listener: Some(listener),
            server,
            near: None,
            control: None,
        }
    }

    /// Adds the operator's door: served on `control.sock` in the service's data_dir,
    /// mode 0600. Whoever can open it owns the data folder, so nothing is checked.
    #[must_use]
    pub fn with_control(mut self, router: Router) -> Self {
        self.control = Some(router);
        self
    }
}

type Check = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// What has to be well before a service is ready. Cheap to clone.
#[derive(Clone, Default)]
pub struct Health(Arc<Mutex<Vec<Check>>>);

impl Health {
    /// Adds a check: `None` when all is well, else what is missing.
    pub fn add(&self, check: impl Fn() -> Option<String> + Send + Sync + 'static) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Box::new(check));
    }

    /// Everything that is missing.
    pub fn missing(&self) -> Vec<String> {
        let checks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        checks.iter().filter_map(|check| check()).collect()
    }
}
