//! Endpoints of API keys: make, list, revoke. Staff see their own keys, admins all.
//!
//! **Invariant:** no API key makes or revokes another: the rows of these routes have no scope.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chassis::client_address::ClientAddress;
use chassis::fields::ParsedBody;
use chassis::json::PathId;
use chassis::page::{Page, Paging};
use chassis::request_id::RequestId;
use chassis::{FieldError, Json, Problem, Role, Staff};
use model::{Time, kinds};
use store::Read;

use super::Shared;
use crate::Error;
use crate::api_keys::ApiKeySecret;
use crate::domain::{ApiKey, NewApiKey, is_within, role_for};
use crate::tables::{self, API_KEYS};
use crate::wire::{ApiKeyResponse, WithProof};

/// `POST /v1/api-keys`
pub(super) async fn make(
    State(users): State<Shared>,
    Staff(caller): Staff,
    address: ClientAddress,
    ParsedBody(body): ParsedBody<WithProof<NewApiKey>>,
) -> Result<Response, Problem> {
    let WithProof { content: wanted, proof } = body;
    let proof = users.reauthenticate(caller, proof, address).await?;
    let (secret, now) = (ApiKeySecret::generate(), model::now());
    let shared = users.clone();
    let made = users.store.write(move |tx| {
        let user = proof.confirm(tx)?;
        check(&wanted, &shared.token_roles(&user), now)?;
        let mac = secret.mac(&shared.api_key_mac);
        let key = ApiKey::new(user.id, wanted, mac, now);
        tables::add_api_key(tx, secret.id, &key)?;
        Ok::<_, Error>(key)
    });
    let response = ApiKeyResponse::new(secret.id, made.await?, Some(secret.text()));
    Ok((StatusCode::CREATED, Json(response)).into_response())
}

/// Checks what depends on the maker and on the time.
fn check(wanted: &NewApiKey, roles: &[Role], now: Time) -> Result<(), Error> {
    let beyond = wanted.scopes.iter().enumerate();
    let beyond = beyond.filter(|(_, scope)| !is_within(**scope, roles));
    let mut faults: Vec<_> = beyond
        .map(|(place, scope)| {
            let role = match role_for(*scope) {
                Role::Customer => "customer",
                Role::Staff => "staff",
                Role::Admin => "admin",
            };
            let detail = format!("needs the role `{role}`, which this account does not have");
            FieldError::new(format!("/scopes/{place}"), detail)
        })
        .collect();
    if wanted.expires_at.is_some_and(|until| until <= now) {
        faults.push(FieldError::new("/expires_at", "must be in the future"));
    }
    match faults.is_empty() {
        true => Ok(()),
        false => Err(Error::Invalid(faults)),
    }
}

/// `GET /v1/api-keys`, newest first
pub(super) async fn list(
    State(users): State<Shared>,
    Staff(caller): Staff,
    paging: Paging,
) -> Result<Json<Page<ApiKeyResponse>>, Problem> {
    let span = API_KEYS.all().newest_first();
    let span = match paging.after()? {
        Some(last) => span.before(&last),
        None => span,
    };
    let keys = users.store.scan(span)?.filter_map(|row| match row {
        Ok((_, key)) if key.user_id != caller.user_id && !caller.is_admin() => None,
        row => Some(row.map(|(id, key)| (id, ApiKeyResponse::new(id, key, None)))),
    });
    Ok(Json(paging.collect(keys)?))
}

/// `DELETE /v1/api-keys/{id}`
pub(super) async fn revoke(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    Staff(caller): Staff,
    PathId(id): PathId<kinds::ApiKey>,
) -> Result<StatusCode, Problem> {
    let cause = users.cause(Some(caller.user_id), request);
    let revoked = users.store.write(move |tx| {
        let user = tables::caller(tx, &caller)?;
        tables::revoke_api_key(tx, &user, id, &cause)
    });
    revoked.await?;
    Ok(StatusCode::NO_CONTENT)
}
