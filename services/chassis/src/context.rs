//! The interface between a service and the chassis: the [`Context`] that a service opens
//! with, and the [`OpenedService`] that it returns.
//!
//! ```
//! use chassis::{Context, Error, OpenedService};
//!
//! async fn open(ctx: Context) -> Result<OpenedService, Error> {
//!     ctx.health.add(|| None);
//!     Ok(ctx.serve(axum::Router::new()))
//! }
//! ```

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use futures::future::BoxFuture;
use mesh::{Event, Follower, FollowerState, Following, Log, Mesh, Refusal};
use store::{Store, Tx};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::check::Checks;
use crate::health::Health;
use crate::http::Probes;
use crate::in_process::LocalServices;
use crate::status::ServiceStatus;
use crate::{Collectors, Config, Error, Folder, ServiceRoutes, Supervision, Trust};

/// The parts of a service that the chassis opens for it.
pub struct Context {
    /// The service's name.
    pub name: &'static str,
    /// The shop's data folder.
    pub folder: Folder,
    /// The service's own folder in it.
    pub data_dir: PathBuf,
    /// The service's database.
    pub store: Store,
    /// The service's log.
    pub log: Log,
    /// The shop's mesh.
    pub mesh: Mesh,
    /// The other services of this process.
    pub local: LocalServices,
    /// The verification of access tokens.
    pub trust: Trust,
    /// The background tasks, which draining waits for.
    pub tasks: TaskTracker,
    /// Cancelled to end the background tasks.
    pub stop: CancellationToken,
    /// Cancelled before `stop`, when no more requests are taken: streaming responses
    /// end themselves then.
    pub draining: CancellationToken,
    /// The conditions of readiness.
    pub health: Health,
    /// The consistency checks.
    pub checks: Checks,
    /// The body of `GET /v1/status`.
    pub status: ServiceStatus,
    /// The figures that are computed when metrics are scraped.
    pub collectors: Collectors,
    /// The settings that every service has.
    pub config: Arc<Config>,
    /// The interface to the supervisor of the process.
    pub supervision: Supervision,
}

impl Context {
    /// Follows `source` and applies `handler` to each of its events exactly once; the
    /// service is ready only when it is caught up.
    ///
    /// # Errors
    /// When the mesh refuses the subscription or the store the cursor.
    pub async fn follow(
        &self,
        source: &'static str,
        handler: impl Fn(&mut Tx<'_>, &Event) -> Result<(), Refusal> + Send + Sync + 'static,
    ) -> Result<Following, Error> {
        self.start(self.follower(source, handler)).await
    }

    /// A follower of `source`, whose further properties a service may set before it
    /// [starts](Self::start).
    pub fn follower(
        &self,
        source: &'static str,
        handler: impl Fn(&mut Tx<'_>, &Event) -> Result<(), Refusal> + Send + Sync + 'static,
    ) -> Follower {
        Follower::new(
            "main",
            source,
            self.store.clone(),
            self.mesh.clone(),
            handler,
        )
    }

    /// Starts a follower; the service is ready only when it is caught up.
    ///
    /// # Errors
    /// When the mesh refuses the subscription or the store the cursor.
    pub async fn start(&self, mut follower: Follower) -> Result<Following, Error> {
        follower.service = Some(self.name);
        let following = follower.start(&self.tasks, self.stop.clone()).await?;
        self.status.follows(following.clone());
        let follower = following.clone();
        let (name, source) = (following.name(), following.source());
        let part = format!("the follower {name} of {source} in {}", self.name);
        self.supervision.add_part(part, move || {
            let follower = follower.clone();
            async move { follower.progress().await }
        });
        let seen = following.clone();
        self.health.add(move || match seen.state() {
            FollowerState::Stopped { why } => Some(why),
            state if state.is_caught_up() => None,
            _ => Some(format!("not caught up with {source}")),
        });
        let letters = following.clone();
        self.health.warn(move || match letters.dead_letters(1) {
            Ok(letters) if letters.is_empty() => None,
            Ok(_) => Some(format!(
                "events of {source} are dead letters: retry or discard them"
            )),
            Err(error) => Some(format!(
                "the dead letters of {source} cannot be read: {error}"
            )),
        });
        Ok(following)
    }

    /// The state of the pages for monitoring.
    pub(crate) fn probes(&self) -> Probes {
        Probes {
            health: self.health.clone(),
            collectors: self.collectors.clone(),
        }
    }

    /// A service that serves `routes` on a free loopback port.
    ///
    /// # Panics
    /// When a row of the route table that belongs to this service has no handler, or a
    /// handler belongs to another's row.
    pub fn serve(self, routes: impl Into<ServiceRoutes>) -> OpenedService {
        let routes = routes.into().merge(self.status.routes());
        routes.assert_complete(self.name);
        let router = crate::http::wrap(self.name, routes, self.trust.clone(), self.probes());
        let near = Some(router.clone());
        let server: Server =
            Box::new(move |listener, stop| Box::pin(serve_router(listener, router, stop)));
        OpenedService { context: self, listener: None, server, near, control: None }
    }
}

async fn serve_router(listener: TcpListener, router: Router, stop: CancellationToken) {
    use axum::serve::ListenerExt;
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::trace!(%error, "nodelay");
        }
    });
    // A bare router would be copied with all routes for every connection.
    let served = axum::serve(listener, router.into_make_service())
        .with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(%error, "serving ended");
    }
}

/// Serves the connections of a listener until it is cancelled, then drains them.
pub type Server = Box<dyn FnOnce(TcpListener, CancellationToken) -> BoxFuture<'static, ()> + Send>;

/// A service that has opened and can be served.
pub struct OpenedService {
    pub(crate) context: Context,
    /// Its listener; `None` for a free loopback port.
    pub(crate) listener: Option<TcpListener>,
    pub(crate) server: Server,
    /// The router of `server`, for the in-process transport.
    pub(crate) near: Option<Router>,
    pub(crate) control: Option<Router>,
}

impl OpenedService {
    /// A service with a server of its own, without the chassis' layers.
    pub fn custom(context: Context, listener: TcpListener, server: Server) -> Self {
        Self {
            context,
            listener: Some(listener),
            server,
            near: None,
            control: None,
        }
    }

    /// Adds the control socket's routes: served on `control.sock` in the service's folder,
    /// mode 0600. Every process that can open it owns the data folder, so no token is
    /// checked.
    #[must_use]
    pub fn with_control(mut self, router: Router) -> Self {
        self.control = Some(router);
        self
    }
}
