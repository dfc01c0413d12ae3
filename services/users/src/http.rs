//! The endpoints: parse, decide, commit, answer.
//!
//! **Invariant:** a handler's parameters say who may call it; one without
//! `Caller` or `Admin` is for anyone.

mod accounts;
mod codes;
mod control;
mod keys;
mod me;
mod sessions;

use std::sync::Arc;

use axum::Router;
use axum::http::header::{ACCEPT_LANGUAGE, CACHE_CONTROL};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{delete, get, post};

use crate::Users;

type Shared = Arc<Users>;

/// Everything a client may call.
pub(crate) fn routes(users: Shared) -> Router {
    Router::new()
        .route("/v1/users", post(accounts::register).get(accounts::list))
        .route(
            "/v1/users/me",
            get(me::show).patch(me::change).delete(me::erase),
        )
        .route("/v1/users/me/password", post(me::change_password))
        .route("/v1/users/me/export", get(me::export))
        .route("/v1/users/me/verify-email", post(codes::verify))
        .route(
            "/v1/users/me/verify-email/confirm",
            post(codes::confirm_address),
        )
        .route("/v1/users/password-reset", post(codes::reset))
        .route(
            "/v1/users/password-reset/confirm",
            post(codes::confirm_reset),
        )
        .route(
            "/v1/users/{id}",
            get(accounts::one).patch(accounts::administer),
        )
        .route("/v1/sessions", post(sessions::log_in).get(sessions::list))
        .route("/v1/sessions/refresh", post(sessions::refresh))
        .route("/v1/sessions/current", delete(sessions::log_out))
        .route("/v1/sessions/{id}", delete(sessions::end))
        .layer(map_response(not_kept))
        .route("/.well-known/paserk.json", get(keys::document))
        .with_state(users)
}

/// The operator's door.
pub(crate) fn control(users: Shared) -> Router {
    Router::new()
        .route(
            "/control/users",
            post(control::add).patch(control::change).get(control::list),
        )
        .route("/control/keys", get(keys::list))
        .route("/control/keys/rotate", post(keys::rotate))
        .with_state(users)
}

/// People and their tokens are kept by nobody on the way (RFC 9111 §5.2.2.5), nor
/// by a browser that others use after them.
async fn not_kept(mut response: Response) -> Response {
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}

/// What the client's user reads, if they say so.
fn language(headers: &HeaderMap) -> Option<String> {
    let header = headers.get(ACCEPT_LANGUAGE)?;
    crate::domain::language(header.to_str().ok()?)
}
