//! A service's router, made from the rows of the route table.
//!
//! A handler is bound to a row of [`api::ROUTES`], which brings the method and the path, and
//! whether the route has a total timeout or streams its bodies, so that none of this is
//! written twice:
//!
//! ```
//! # use axum::extract::State;
//! # use chassis::{Caller, Routes};
//! # #[derive(Clone)] struct Orders;
//! # async fn list(State(_): State<Orders>, _: Caller) {}
//! # async fn place(State(_): State<Orders>, _: Caller) {}
//! use api::routes;
//!
//! let endpoints = Routes::new()
//!     .on(&routes::LIST_ORDERS, list)
//!     .on(&routes::PLACE_ORDER, place)
//!     .with_state(Orders);
//! ```
//!
//! **Invariant:** a service that lacks a handler for one of its rows, or has one for
//! another's, does not start ([`Context::serve`](crate::Context::serve) panics).

use api::{ROUTES, Route, Service, Timeout};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::handler::Handler;
use axum::response::Response;
use axum::routing::{MethodFilter, on};

/// A synchronous fast path for cached responses; bypasses extractors and the log. `None`
/// calls the handler.
pub(crate) type FastPath = Box<dyn Fn(&Request) -> Option<Response> + Send + Sync>;

/// Rows and their handlers, which share the state `S`.
pub struct Routes<S> {
    timed: Router<S>,
    bulk: Router<S>,
    bound: Vec<&'static Route>,
}

/// A service's handlers with their state, ready to be served.
#[derive(Default)]
pub struct ServiceRoutes {
    /// Routes with a total timeout.
    pub(crate) timed: Router,
    /// Routes with a progress timeout, which their handlers enforce.
    pub(crate) bulk: Router,
    pub(crate) fast_path: Option<FastPath>,
    bound: Vec<&'static Route>,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// Without rows.
    #[expect(clippy::new_without_default, reason = "one way to begin is enough")]
    pub fn new() -> Self {
        Self { timed: Router::new(), bulk: Router::new(), bound: Vec::new() }
    }

    /// Binds a handler to a row.
    ///
    /// # Panics
    /// When the row has a handler already.
    #[must_use]
    pub fn on<H, T>(mut self, route: &'static Route, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        let method = MethodFilter::try_from(route.method.clone()).expect("a method of HTTP");
        let endpoint = on(method, handler);
        match route.timeout {
            Timeout::Total(_) => self.timed = self.timed.route(route.path, endpoint),
            Timeout::Idle(_) => {
                // The handler enforces the row's body limit while it reads.
                let endpoint = endpoint.layer(DefaultBodyLimit::disable());
                self.bulk = self.bulk.route(route.path, endpoint);
            }
        }
        self.bound.push(route);
        self
    }

    /// The endpoints, each with this state.
    pub fn with_state(self, state: S) -> ServiceRoutes {
        ServiceRoutes {
            timed: self.timed.with_state(state.clone()),
            bulk: self.bulk.with_state(state),
            fast_path: None,
            bound: self.bound,
        }
    }
}

impl ServiceRoutes {
    /// Routes outside of the route table, without a timeout.
    pub(crate) fn untimed(router: Router) -> Self {
        Self { bulk: router, ..Self::default() }
    }

    /// Both sets of routes.
    #[must_use]
    pub fn merge(mut self, other: impl Into<Self>) -> Self {
        let other = other.into();
        self.timed = self.timed.merge(other.timed);
        self.bulk = self.bulk.merge(other.bulk);
        self.fast_path = self.fast_path.or(other.fast_path);
        self.bound.extend(other.bound);
        self
    }

    /// Wraps every endpoint added so far, as [`Router::layer`] does.
    #[must_use]
    pub fn map(mut self, wrap: impl Fn(Router) -> Router) -> Self {
        (self.timed, self.bulk) = (wrap(self.timed), wrap(self.bulk));
        self
    }

    /// Adds a fast path, which is asked first for every request that a row matches.
    #[must_use]
    pub fn fast_path(
        mut self,
        answer: impl Fn(&Request) -> Option<Response> + Send + Sync + 'static,
    ) -> Self {
        self.fast_path = Some(Box::new(answer));
        self
    }

    /// Panics unless exactly the rows of the service `name`, and those of every service,
    /// have a handler.
    pub(crate) fn assert_complete(&self, name: &str) {
        let is_own = |route: &Route| match route.service {
            Service::Gateway => false,
            Service::Each => true,
            service => service.name() == Some(name),
        };
        let is_bound = |route: &Route| self.bound.iter().any(|bound| std::ptr::eq(*bound, route));
        for route in ROUTES.iter().filter(|route| is_own(route)) {
            assert!(
                is_bound(route),
                "{name} has no handler for {}",
                route.name()
            );
        }
        for route in &self.bound {
            assert!(
                is_own(route),
                "{name} has a handler for {}, a row of another service",
                route.name()
            );
        }
    }
}

/// Routes outside of the route table, for services that are not part of the API, as in tests
/// and examples.
impl From<Router> for ServiceRoutes {
    fn from(router: Router) -> Self {
        Self { timed: router, ..Self::default() }
    }
}
