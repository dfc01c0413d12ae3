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

use api::routes;
use axum::Router;
use axum::http::header::{ACCEPT_LANGUAGE, CACHE_CONTROL};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{get, post};
use chassis::{Endpoints, Routes};

use crate::Users;

type Shared = Arc<Users>;

/// The handlers of this service. What they answer about people is stored by no cache;
/// the public keys may be.
pub(crate) fn endpoints(users: Shared) -> Endpoints {
    let keys = Routes::new().on(&routes::GET_KEYS, keys::document);
    Routes::new()
        .on(&routes::REGISTER, accounts::register)
        .on(&routes::LIST_USERS, accounts::list)
        .on(&routes::GET_USER, accounts::one)
        .on(&routes::PATCH_USER, accounts::administer)
        .on(&routes::GET_ME, me::show)
        .on(&routes::PATCH_ME, me::change)
        .on(&routes::ERASE_ME, me::erase)
        .on(&routes::CHANGE_PASSWORD, me::change_password)
        .on(&routes::EXPORT_ME, me::export)
        .on(&routes::VERIFY_EMAIL, codes::verify)
        .on(&routes::CONFIRM_EMAIL, codes::confirm_address)
        .on(&routes::RESET_PASSWORD, codes::reset)
        .on(&routes::CONFIRM_RESET, codes::confirm_reset)
        .on(&routes::LOG_IN, sessions::log_in)
        .on(&routes::LIST_SESSIONS, sessions::list)
        .on(&routes::REFRESH_SESSION, sessions::refresh)
        .on(&routes::LOG_OUT, sessions::log_out)
        .on(&routes::END_SESSION, sessions::end)
        .with_state(users.clone())
        .map(|router| router.layer(map_response(not_kept)))
        .merge(keys.with_state(users))
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
