//! One-time codes: having one sent, and typing it in.
//!
//! **Invariant:** an address that nobody has costs the same work and gets the same
//! answer as one that somebody has.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chassis::http::{ClientAddress, RequestId};
use chassis::{Caller, Json, Problem, etag};
use model::CodePurpose;
use serde::Deserialize;
use store::Read;

use super::Shared;
use crate::Error;
use crate::domain::{self, Lost, Reset, User};
use crate::store::{self as tables, USERS};
use crate::throttle::Door;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LostRequest {
    email: Option<String>,
}

/// `POST /v1/users/password-reset`: 202 whoever it is.
pub(super) async fn reset(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    address: ClientAddress,
    Json(body): Json<LostRequest>,
) -> Result<StatusCode, Problem> {
    let Lost { email } = Lost::parse(body.email).map_err(Error::Invalid)?;
    let user_id = users.account(email.as_ref())?.map(|user| user.id);
    let attempt =
        users
            .throttle
            .attempt(&users.store, Door::Letter, email.as_ref(), user_id, address)?;
    let cause = users.cause(None, request);
    let now = cause.at;
    let noted = users.store.write(move |tx| {
        attempt.check(tx, now)?;
        attempt.count(tx, now)?;
        tables::ask_for_letter(tx, user_id, now)
    });
    users.post(noted.await?, cause);
    Ok(StatusCode::ACCEPTED)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResetRequest {
    email: Option<String>,
    code: Option<String>,
    new_password: Option<String>,
}

/// `POST /v1/users/password-reset/confirm`
pub(super) async fn confirm_reset(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    address: ClientAddress,
    Json(body): Json<ResetRequest>,
) -> Result<StatusCode, Problem> {
    let Reset { email, code, new } =
        Reset::parse(body.email, body.code, body.new_password).map_err(Error::Invalid)?;
    let user_id = users.account(email.as_ref())?.map(|user| user.id);
    let at = |door| {
        let throttle = &users.throttle;
        throttle.attempt(&users.store, door, email.as_ref(), user_id, address)
    };
    let (attempt, logins) = (at(Door::Code)?, at(Door::Password)?);
    attempt.check(&users.store, model::now())?;
    // The new password is hashed before the code is looked at: a right one is not
    // used up for nothing, and a wrong one costs as much.
    let place = users.hasher.admit()?;
    let _turn = users.throttle.turn(&attempt).await;
    attempt.check(&users.store, model::now())?;
    let hash = users.hasher.hash(place, new).await?;
    let cause = users.cause(None, request);
    let (codes, now) = (users.codes.clone(), cause.at);
    // A refusal counts, so it is an outcome here and no error.
    let confirmed = users.store.write(move |tx| {
        let user = match user_id {
            Some(id) => tx.get(USERS, &id)?.filter(User::is_active),
            None => None,
        };
        let purpose = CodePurpose::PasswordReset;
        if let Some(user) = user
            && codes.redeem(tx, &user, purpose, &code, now)?
        {
            attempt.clear(tx)?;
            logins.clear(tx)?;
            tables::set_password(tx, &user, hash, None, &cause)?;
            return Ok(true);
        }
        attempt.count(tx, now)?;
        Ok::<_, Error>(false)
    });
    if confirmed.await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Error::WrongCode.into())
    }
}

/// `POST /v1/users/me/verify-email`
pub(super) async fn verify(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    caller: Caller,
    address: ClientAddress,
) -> Result<StatusCode, Problem> {
    let user = tables::caller(&users.store, &caller)?;
    let (email, id) = (Some(&user.email), Some(user.id));
    let attempt = users
        .throttle
        .attempt(&users.store, Door::Letter, email, id, address)?;
    let cause = users.cause(id, request);
    let requested = users.store.write(move |tx| {
        attempt.check(tx, cause.at)?;
        attempt.count(tx, cause.at)?;
        tables::request_code(tx, caller.user_id, CodePurpose::EmailVerification, &cause)
    });
    requested.await?;
    Ok(StatusCode::ACCEPTED)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CodeTyped {
    code: Option<String>,
}

/// `POST /v1/users/me/verify-email/confirm`
pub(super) async fn confirm_address(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    caller: Caller,
    Json(body): Json<CodeTyped>,
) -> Result<Response, Problem> {
    let code = domain::code(body.code).map_err(Error::Invalid)?;
    let cause = users.cause(Some(caller.user_id), request);
    let codes = users.codes.clone();
    let confirmed = users.store.write(move |tx| {
        let before = tables::caller(tx, &caller)?;
        let purpose = CodePurpose::EmailVerification;
        if !codes.redeem(tx, &before, purpose, &code, cause.at)? {
            return Ok(None);
        }
        let after = before.verified(cause.at);
        tables::change(tx, &before, &after, &cause)?;
        Ok::<_, Error>(Some(after))
    });
    let user = confirmed.await?.ok_or(Error::WrongCode)?;
    Ok(etag::written(StatusCode::OK, &user))
}
