//! What a service is given when it opens, and what it gives back.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use futures::future::BoxFuture;
use mesh::{Event, Follower, FollowerState, Following, Log, Mesh, Refusal};
use store::{Store, Tx};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::check::Checks;
use crate::operating::ServiceStatus;
use crate::{Config, Endpoints, Error, Folder, Trust};

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

    /// A service that answers with `endpoints` on a free loopback port.
    ///
    /// # Panics
    /// When a row of the route table that belongs to this service has no handler, or a
    /// handler belongs to another's row.
    pub fn serve(self, endpoints: impl Into<Endpoints>) -> Service {
        let endpoints = endpoints.into().merge(self.status.endpoints());
        endpoints.assert_complete(self.name);
        let (trust, health) = (self.trust.clone(), self.health.clone());
        let router = crate::http::wrap(self.name, endpoints, trust, health);
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
