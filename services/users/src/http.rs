//! HTTP endpoints of accounts, address books, sessions, API keys and signing keys.
//!
//! Every handler parses, decides, commits and responds. **Invariant:** the parameters of a
//! handler state who may call it; one without `Caller` or `Admin` is public.

mod accounts;
mod addresses;
mod api_keys;
mod codes;
mod control;
mod keys;
mod me;
mod reauthentication;
mod second_factor;
mod sessions;
mod setup;

use std::sync::Arc;

use api::routes;
use axum::Router;
use axum::routing::{get, post};
use chassis::{Routes, ServiceRoutes};

use crate::Users;

type Shared = Arc<Users>;

/// The public endpoints.
pub(crate) fn endpoints(users: Shared) -> ServiceRoutes {
    Routes::new()
        .on(&routes::GET_KEYS, keys::document)
        .on(&routes::REGISTER, accounts::register)
        .on(&routes::SET_UP, setup::set_up)
        .on(&routes::LIST_USERS, accounts::list)
        .on(&routes::GET_USER, accounts::one)
        .on(&routes::PATCH_USER, accounts::administer)
        .on(&routes::ERASE_USER, accounts::erase)
        .on(&routes::GET_ME, me::show)
        .on(&routes::PATCH_ME, me::change)
        .on(&routes::ERASE_ME, me::erase)
        .on(&routes::CHANGE_PASSWORD, me::change_password)
        .on(&routes::REQUEST_SECOND_FACTOR, second_factor::request)
        .on(&routes::CONFIRM_SECOND_FACTOR, second_factor::confirm)
        .on(&routes::REMOVE_SECOND_FACTOR, second_factor::remove)
        .on(&routes::RESET_SECOND_FACTOR, second_factor::reset)
        .on(&routes::EXPORT_ME, me::export)
        .on(&routes::LIST_ADDRESSES, addresses::list)
        .on(&routes::ADD_ADDRESS, addresses::add)
        .on(&routes::GET_ADDRESS, addresses::one)
        .on(&routes::REPLACE_ADDRESS, addresses::replace)
        .on(&routes::REMOVE_ADDRESS, addresses::remove)
        .on(&routes::VERIFY_EMAIL, codes::verify)
        .on(&routes::CONFIRM_EMAIL, codes::confirm_address)
        .on(&routes::CONFIRM_EMAIL_CHANGE, me::confirm_email)
        .on(&routes::UNDO_EMAIL_CHANGE, me::undo_email)
        .on(&routes::RESET_PASSWORD, codes::reset)
        .on(&routes::CONFIRM_RESET, codes::confirm_reset)
        .on(&routes::CREATE_API_KEY, api_keys::make)
        .on(&routes::LIST_API_KEYS, api_keys::list)
        .on(&routes::REVOKE_API_KEY, api_keys::revoke)
        .on(&routes::LOG_IN, sessions::log_in)
        .on(&routes::LIST_SESSIONS, sessions::list)
        .on(&routes::END_SESSIONS, sessions::end_all)
        .on(&routes::LIST_USER_SESSIONS, sessions::list_of)
        .on(&routes::END_USER_SESSIONS, sessions::end_all_of)
        .on(&routes::END_USER_SESSION, sessions::end_of)
        .on(&routes::REFRESH_SESSION, sessions::refresh)
        .on(&routes::LOG_OUT, sessions::log_out)
        .on(&routes::END_SESSION, sessions::end)
        .with_state(users)
}

/// The endpoints of the control socket.
pub(crate) fn control(users: Shared) -> Router {
    Router::new()
        .route(
            "/control/users",
            post(control::add).patch(control::change).get(control::list),
        )
        .route("/control/users/factor-reset", post(control::reset_factor))
        .route("/control/setup-link", post(setup::link))
        .route("/control/sessions/end", post(control::end_sessions))
        .route("/control/keys", get(keys::list))
        .route("/control/keys/rotate", post(keys::rotate))
        .with_state(users)
}
