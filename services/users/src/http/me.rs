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
use crate::wire::{ExportResponse, SessionResponse};

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
    ParsedBody(change): ParsedBody<Profile>,
) -> Result<Response, Problem> {
    let claims_address = change.email.is_some();
    let throttle = &users.throttle;
    let target = ThrottleTarget { email: None, user_id: None };
    let attempt = throttle.counters(&users.store, LoginAttempt::Claim, target, address)?;
    let cause = users.cause(Some(caller.user_id), request);
    let changed = users.store.write(move |tx| {
        let before = tables::caller(tx, &caller)?;
        etag::require_match(&headers, &before).map_err(Error::Stale)?;
        let after = before.with(change, cause.at());
        let change = |tx: &mut Tx<'_>| tables::change(tx, &before, &after, &cause);
        let changed = match claims_address {
            true => attempt.claim(tx, cause.at(), change)?,
            false => Some(change(tx)?),
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
    ParsedBody(PasswordChange { current, new }): ParsedBody<PasswordChange>,
) -> Result<StatusCode, Problem> {
    let user = tables::caller(&users.store, &caller)?;
    let id = Some(user.id);
    let target = ThrottleTarget { email: Some(&user.email), user_id: id };
    let attempt = users
        .throttle
        .counters(&users.store, LoginAttempt::Password, target, address)?;
    let verified = users.verify(&attempt, current, id).await;
    let verified = verified.map_err(|error| match error {
        Error::WrongCredentials => Error::WrongPassword,
        error => error,
    })?;
    let hash = users.hasher.hash(users.hasher.admit()?, new).await?;
    let cause = users.cause(id, request);
    let changed = users.store.write(move |tx| {
        let user = tables::caller(tx, &caller)?;
        if !tables::confirm_password(tx, user.id, &verified)? {
            return Err(Error::WrongPassword);
        }
        attempt.clear(tx)?;
        tables::set_password(tx, &user, hash, Some(caller.session_id), &cause)
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
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let cause = users.cause(Some(caller.user_id), request);
    let erasures = users.erasures.clone();
    let erased = users.store.write(move |tx| {
        let user = tables::caller(tx, &caller)?;
        etag::require_match(&headers, &user).map_err(Error::Stale)?;
        tables::erase_on_request(tx, &user, &erasures, &cause)
    });
    erased.await?;
    Ok(StatusCode::NO_CONTENT)
}
