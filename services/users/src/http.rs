//! The endpoints: parse, decide, commit, answer.
//!
//! **Invariant:** a handler's parameters say who may call it; one without
//! `Caller` or `Admin` is for anyone.

mod accounts;
mod control;
mod sessions;

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, post};

use crate::Users;

type Shared = Arc<Users>;

/// Everything a client may call.
pub(crate) fn routes(users: Shared) -> Router {
    Router::new()
        .route("/v1/users", post(accounts::register).get(accounts::list))
        .route("/v1/users/me", get(accounts::me).patch(accounts::change_me))
        .route(
            "/v1/users/{id}",
            get(accounts::one).patch(accounts::administer),
        )
        .route("/v1/sessions", post(sessions::log_in).get(sessions::list))
        .route("/v1/sessions/refresh", post(sessions::refresh))
        .route("/v1/sessions/current", delete(sessions::log_out))
        .route("/v1/sessions/{id}", delete(sessions::end))
        .route("/.well-known/paserk.json", get(sessions::keys))
        .with_state(users)
}

/// The operator's door.
pub(crate) fn control(users: Shared) -> Router {
    Router::new()
        .route("/control/users", post(control::add))
        .with_state(users)
}
