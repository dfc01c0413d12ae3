//! The route table: every route of the HTTP API, one row each.
//!
//! A service's router, the gateway's routing, limits and token rule, and the test that
//! compares the API with `gateway/openapi.yaml` are all made from these rows, so that a
//! route is described once. Adding an endpoint edits three places: the row in
//! [`routes`], the handler, the OpenAPI document.
//!
//! | module | holds |
//! | --- | --- |
//! | `route` | [`Route`] and the types of its columns |
//! | `routes` | the rows, each by its name, and [`ROUTES`], all of them |
//! | `scope` | [`KeyScope`]: the rights of API keys |
//! | `lookup` | [`find`]: the row of a method and a path |
//! | `followers` | the followers of each service's log |
//!
//! **Invariant:** this crate holds no handler and knows no service's code.

mod followers;
mod lookup;
mod route;
pub mod routes;
mod scope;

pub use followers::followers_of;
pub use lookup::{Found, find};
pub use route::{
    Access, IMPORT_BODY_BYTES_MAX, JSON_BODY_BYTES_MAX, REQUEST_TIMEOUT, Route, Service, Timeout,
};
pub use routes::ROUTES;
pub use scope::KeyScope;
