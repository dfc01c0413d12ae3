//! Account endpoints of the control socket, for the operator.
//!
//! File permissions of `control.sock` are the only access control. **Invariant:** these
//! endpoints are never routed to a network listener.

use axum::Extension;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use chassis::http::RequestId;
use chassis::page::{Page, Paging};
use chassis::{Json, Problem, Role, etag};
use serde::Deserialize;

use super::{Shared, accounts};
use crate::domain::{Addition, PlaintextPassword, User};
use crate::tables::{self, Added};
use crate::{Error, Users};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AdditionRequest {
    email: Option<String>,
    name: Option<String>,
    password: Option<String>,
    roles: Option<Vec<Role>>,
}

/// `POST /control/users`: 201 for a new account, 200 for a changed one.
pub(super) async fn add(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    Json(body): Json<AdditionRequest>,
) -> Result<Response, Problem> {
    let mut wanted = Addition::parse(body.email, body.name, body.password, body.roles)
        .map_err(Error::Invalid)?;
    let hash = hashed(&users, wanted.password.take()).await?;
    let cause = users.cause(None, request);
    let added = users
        .store
        .write(move |tx| tables::add(tx, wanted, hash, &cause));
    Ok(match added.await? {
        Added::Created(user) => accounts::created(&user),
        Added::Changed(user) => etag::written(StatusCode::OK, &user),
    })
}

/// Hashes the password, if one is given.
async fn hashed(
    users: &Users,
    password: Option<PlaintextPassword>,
) -> Result<Option<String>, Error> {
    match password {
        Some(password) => Ok(Some(
            users.hasher.hash(users.hasher.admit()?, password).await?,
        )),
        None => Ok(None),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeRequest {
    email: Option<String>,
    password: Option<String>,
    roles: Option<Vec<Role>>,
}

/// `PATCH /control/users`: the password or the roles of an account that exists.
pub(super) async fn change(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    Json(body): Json<ChangeRequest>,
) -> Result<Response, Problem> {
    let wanted = Addition::parse(body.email, None, body.password, body.roles);
    let mut wanted = wanted.map_err(Error::Invalid)?;
    let hash = hashed(&users, wanted.password.take()).await?;
    let cause = users.cause(None, request);
    let changed = users
        .store
        .write(move |tx| tables::reshape(tx, wanted, hash, &cause));
    Ok(etag::written(StatusCode::OK, &changed.await?))
}

/// `GET /control/users`: as `GET /v1/users`.
pub(super) async fn list(
    State(users): State<Shared>,
    paging: Paging,
    Query(filter): Query<accounts::Filter>,
) -> Result<Json<Page<User>>, Problem> {
    accounts::page(&users, &paging, filter)
}
