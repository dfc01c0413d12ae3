//! Endpoints of second factors: enrolment in two steps, removal, and the reset by an admin.
//!
//! **Invariant:** the secret and the recovery codes are in one response each, and in no event
//! or log line.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chassis::client_address::ClientAddress;
use chassis::fields::ParsedBody;
use chassis::json::PathId;
use chassis::request_id::RequestId;
use chassis::{Admin, AnyCaller, Caller, Json, Problem};
use model::kinds;
use store::Read;

use super::Shared;
use crate::tables::{self, USERS};
use crate::throttle::{LoginAttempt, ThrottleTarget};
use crate::wire::{CodeBody, NoFields, RecoveryCodesResponse, WithProof};
use crate::{Error, factors};

/// `POST /v1/users/me/totp`
pub(super) async fn request(
    State(users): State<Shared>,
    AnyCaller(caller): AnyCaller,
    address: ClientAddress,
    ParsedBody(WithProof { proof, .. }): ParsedBody<WithProof<NoFields>>,
) -> Result<Response, Problem> {
    let proof = users.reauthenticate(caller, proof, address).await?;
    let (factors, now) = (users.factors.clone(), model::now());
    let requested = users.store.write(move |tx| {
        let user = proof.confirm(tx)?;
        factors.request(tx, &user, now)
    });
    Ok((StatusCode::CREATED, Json(requested.await?)).into_response())
}

/// `POST /v1/users/me/totp/confirm`
pub(super) async fn confirm(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    AnyCaller(caller): AnyCaller,
    address: ClientAddress,
    ParsedBody(CodeBody { code }): ParsedBody<CodeBody>,
) -> Result<Json<RecoveryCodesResponse>, Problem> {
    let user = tables::caller(&users.store, &caller)?;
    let target = ThrottleTarget { email: Some(&user.email), user_id: Some(user.id) };
    let attempt = users
        .throttle
        .counters(&users.store, LoginAttempt::Factor, target, address)?;
    let cause = users.cause(Some(user.id), request);
    let factors = users.factors.clone();
    // A refusal writes its counters, so it is a value here and not an error.
    let confirmed = users.store.write(move |tx| {
        let user = tables::caller(tx, &caller)?;
        attempt.check(tx, cause.at())?;
        let codes = factors.confirm(tx, &user, &code, &cause)?;
        match codes {
            Some(_) => attempt.clear(tx)?,
            None => attempt.count(tx, cause.at())?,
        }
        Ok::<_, Error>(codes)
    });
    let recovery_codes = confirmed.await?.ok_or(Error::WrongFactorCode)?;
    Ok(Json(RecoveryCodesResponse { recovery_codes }))
}

/// `DELETE /v1/users/me/totp`
pub(super) async fn remove(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    caller: Caller,
    address: ClientAddress,
    ParsedBody(WithProof { proof, .. }): ParsedBody<WithProof<NoFields>>,
) -> Result<StatusCode, Problem> {
    let cause = users.cause(Some(caller.user_id), request);
    let proof = users.reauthenticate(caller, proof, address).await?;
    let removed = users.store.write(move |tx| {
        let user = proof.confirm(tx)?;
        factors::remove(tx, &user, &cause)
    });
    removed.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /v1/users/{id}/totp`: at the request of an owner who has lost it.
pub(super) async fn reset(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    Admin(admin): Admin,
    PathId(id): PathId<kinds::User>,
    address: ClientAddress,
    ParsedBody(WithProof { proof, .. }): ParsedBody<WithProof<NoFields>>,
) -> Result<StatusCode, Problem> {
    let cause = users.cause(Some(admin.user_id), request);
    let proof = users.reauthenticate(admin, proof, address).await?;
    let reset = users.store.write(move |tx| {
        proof.confirm(tx)?;
        let user = tx.get(USERS, &id)?.ok_or(Error::NotFound)?;
        tables::reset_factor(tx, &user, &cause)
    });
    reset.await?;
    Ok(StatusCode::NO_CONTENT)
}
