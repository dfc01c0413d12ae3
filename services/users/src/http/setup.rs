//! Endpoints of the set-up: the first admin of a shop, by the link that its start prints.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chassis::client_address::ClientAddress;
use chassis::fields::ParsedBody;
use chassis::request_id::RequestId;
use chassis::{Json, Problem, Role, accept_language};

use super::{Shared, accounts};
use crate::Error;
use crate::domain::{Addition, NewUser, User};
use crate::tables;
use crate::throttle::{LoginAttempt, ThrottleTarget};
use crate::wire::{SetUpBody, SetUpLinkResponse};

/// `POST /v1/setup`: an account with the role of an admin, as long as there is none.
pub(super) async fn set_up(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    address: ClientAddress,
    headers: HeaderMap,
    ParsedBody(SetUpBody { token, account }): ParsedBody<SetUpBody>,
) -> Result<Response, Problem> {
    // A wrong token counts as a claim of an address does: it is one.
    let target = ThrottleTarget { email: None, user_id: None };
    let attempt = users
        .throttle
        .counters(&users.store, LoginAttempt::Claim, target, address)?;
    let now = model::now();
    let is_good = users.set_up_links.is_good(&token, now);
    let counted = users
        .store
        .write(move |tx| attempt.check_and_count(tx, now));
    counted.await?;
    if !is_good {
        return Err(Error::WrongSetUpToken.into());
    }
    if tables::has_admin(&users.store)? {
        return Err(Error::HasAdmin.into());
    }
    let NewUser { email, name, password } = account;
    let hash = users.hasher.hash(users.hasher.admit()?, password).await?;
    let addition = Addition {
        email,
        name: Some(name),
        password: None,
        roles: Some(vec![Role::Customer, Role::Admin]),
    };
    let user = User::added(None, addition, now);
    let cause = users.cause(Some(user.id), request);
    let language = accept_language::preferred(&headers);
    let added = users.store.write(move |tx| {
        tables::set_up(tx, &user, hash, &cause)?;
        tables::set_language(tx, user.id, language.as_ref())?;
        Ok::<_, Error>(user)
    });
    let user = added.await?;
    tracing::info!(user_id = %user.id, "the first admin was made");
    Ok(accounts::created(&user))
}

/// `POST /control/setup-link`: a token for the set-up, or 409 once there is an admin.
pub(super) async fn link(State(users): State<Shared>) -> Result<Response, Problem> {
    if tables::has_admin(&users.store)? {
        return Err(Error::HasAdmin.into());
    }
    let (token, until) = users.set_up_links.token(model::now());
    Ok((
        StatusCode::CREATED,
        Json(SetUpLinkResponse { token, until }),
    )
        .into_response())
}
