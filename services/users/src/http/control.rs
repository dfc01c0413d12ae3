//! Account endpoints of the control socket, for the operator.
//!
//! File permissions of `control.sock` are the only access control. **Invariant:** these
//! endpoints are never routed to a network listener.

use axum::Extension;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use chassis::fields::ParsedBody;
use chassis::page::{Page, Paging};
use chassis::request_id::RequestId;
use chassis::{Json, Problem, etag};

use super::{Shared, accounts};
use crate::domain::{Addition, User};
use crate::tables::{self, Added};
use crate::wire::{ChangeUserBody, ResetFactorBody};
use crate::{Error, Users};

/// `POST /control/users`: 201 for a new account, 200 for a changed one.
pub(super) async fn add(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    ParsedBody(wanted): ParsedBody<Addition>,
) -> Result<Response, Problem> {
    let (wanted, hash) = hashed(&users, wanted).await?;
    let cause = users.cause(None, request);
    let added = users
        .store
        .write(move |tx| tables::add(tx, wanted, hash, &cause));
    Ok(match added.await? {
        Added::Created(user) => accounts::created(&user),
        Added::Changed(user) => etag::written(StatusCode::OK, &user),
    })
}

/// `PATCH /control/users`: the password or the roles of an account that exists.
pub(super) async fn change(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    ParsedBody(ChangeUserBody(wanted)): ParsedBody<ChangeUserBody>,
) -> Result<Response, Problem> {
    let (wanted, hash) = hashed(&users, wanted).await?;
    let cause = users.cause(None, request);
    let changed = users
        .store
        .write(move |tx| tables::reshape(tx, wanted, hash, &cause));
    Ok(etag::written(StatusCode::OK, &changed.await?))
}

/// `POST /control/users/factor-reset`: removes the second factor of an account.
pub(super) async fn reset_factor(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    ParsedBody(ResetFactorBody { email }): ParsedBody<ResetFactorBody>,
) -> Result<Response, Problem> {
    let cause = users.cause(None, request);
    let reset = users.store.write(move |tx| {
        let user = tables::by_email(tx, &email)?.ok_or(Error::NotFound)?;
        tables::reset_factor(tx, &user, &cause)
    });
    Ok(etag::written(StatusCode::OK, &reset.await?))
}

/// Hashes the password of a body, if it has one.
async fn hashed(users: &Users, mut wanted: Addition) -> Result<(Addition, Option<String>), Error> {
    let Some(password) = wanted.password.take() else {
        return Ok((wanted, None));
    };
    let hash = users.hasher.hash(users.hasher.admit()?, password).await?;
    Ok((wanted, Some(hash)))
}

/// `GET /control/users`: as `GET /v1/users`.
pub(super) async fn list(
    State(users): State<Shared>,
    paging: Paging,
    Query(filter): Query<accounts::Filter>,
) -> Result<Json<Page<User>>, Problem> {
    accounts::page(&users, &paging, filter)
}

/// `POST /control/sessions/end`: ends the sessions and the API keys of all accounts, after a
/// restore, since those that were ended after the backup are back. Their access tokens end with
/// the keys that signed them.
pub(super) async fn end_sessions(State(users): State<Shared>) -> Result<StatusCode, Problem> {
    while users.store.write(tables::delete_sessions).await? > 0 {}
    users.store.write(tables::delete_api_keys).await?;
    Ok(StatusCode::NO_CONTENT)
}
