//! Endpoints of the caller's own account: read, change, export, erase.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chassis::client_address::ClientAddress;
use chassis::fields::ParsedBody;
use chassis::request_id::RequestId;
use chassis::{Caller, Json, Problem, etag};
use store::Tx;

use super::Shared;
use crate::Error;
use crate::domain::{PasswordChange, Profile};
use crate::tables;
use crate::throttle::{LoginAttempt, ThrottleTarget};
use crate::wire::{Erasure, ExportResponse, SessionResponse, WithPassword};

/// `GET /v1/users/me`
pub(super) async fn show(
    State(users): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let user = tables::caller(&users.store, &caller)?;
    Ok(etag::respond(&headers, &user))
}

/// `PATCH /v1/users/me`
pub(super) async fn change(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    caller: Caller,
    address: ClientAddress,
    headers: HeaderMap,
    ParsedBody(change): ParsedBody<WithPassword<Profile>>,
) -> Result<Response, Problem> {
    let WithPassword { content: change, current_password } = change;
    let throttle = &users.throttle;
    let target = ThrottleTarget { email: None, user_id: None };
    let attempt = throttle.counters(&users.store, LoginAttempt::Claim, target, address)?;
    let cause = users.cause(Some(caller.user_id), request);
    let proof = match change.email {
        Some(_) => Some(
            users
                .reauthenticate(caller.clone(), current_password, address)
                .await?,
        ),
        None => None,
    };
    let changed = users.store.write(move |tx| {
        let before = match &proof {
            Some(proof) => proof.confirm(tx)?,
            None => tables::caller(tx, &caller)?,
        };
        etag::require_match(&headers, &before).map_err(Error::Stale)?;
        let after = before.with(change, cause.at());
        let change = |tx: &mut Tx<'_>| tables::change(tx, &before, &after, &cause);
        let changed = match proof {
            Some(_) => attempt.claim(tx, cause.at(), change)?,
            None => Some(change(tx)?),
        };
        Ok::<_, Error>(changed.map(|()| after))
    });
    let user = changed.await?.ok_or(Error::EmailTaken)?;
    Ok(etag::written(StatusCode::OK, &user))
}

/// `POST /v1/users/me/password`
pub(super) async fn change_password(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    caller: Caller,
    address: ClientAddress,
    ParsedBody(change): ParsedBody<WithPassword<PasswordChange>>,
) -> Result<StatusCode, Problem> {
    let WithPassword { content: PasswordChange { new }, current_password } = change;
    let (user_id, session_id) = (caller.user_id, caller.session_id);
    let proof = users.reauthenticate(caller, current_password, address);
    let proof = proof.await?;
    let hash = users.hasher.hash(users.hasher.admit()?, new).await?;
    let cause = users.cause(Some(user_id), request);
    let changed = users.store.write(move |tx| {
        let user = proof.confirm(tx)?;
        tables::set_password(tx, &user, hash, Some(session_id), &cause)
    });
    changed.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/users/me/export`
pub(super) async fn export(
    State(users): State<Shared>,
    caller: Caller,
) -> Result<Json<ExportResponse>, Problem> {
    let user = tables::caller(&users.store, &caller)?;
    let sessions = tables::sessions(&users.store, user.id)?.into_iter();
    let sessions = sessions.map(|session| SessionResponse::of(session, caller.session_id));
    let export = ExportResponse {
        exported_at: model::now(),
        language: tables::language(&users.store, user.id)?,
        sessions: sessions.collect(),
        user,
    };
    Ok(Json(export))
}

/// `DELETE /v1/users/me`
pub(super) async fn erase(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    caller: Caller,
    address: ClientAddress,
    headers: HeaderMap,
    ParsedBody(erasure): ParsedBody<WithPassword<Erasure>>,
) -> Result<StatusCode, Problem> {
    let cause = users.cause(Some(caller.user_id), request);
    let proof = users.reauthenticate(caller, erasure.current_password, address);
    let proof = proof.await?;
    let erasures = users.erasures.clone();
    let erased = users.store.write(move |tx| {
        let user = proof.confirm(tx)?;
        etag::require_match(&headers, &user).map_err(Error::Stale)?;
        tables::erase_on_request(tx, &user, &erasures, &cause)
    });
    erased.await?;
    Ok(StatusCode::NO_CONTENT)
}
