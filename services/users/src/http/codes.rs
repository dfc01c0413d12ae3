//! Endpoints of one-time codes: requesting one, and redeeming it.
//!
//! **Invariant:** a reset request for an address without an account costs the same work
//! and gets the same response as one with an account.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chassis::client_address::ClientAddress;
use chassis::fields::ParsedBody;
use chassis::request_id::RequestId;
use chassis::{Caller, Problem, etag};
use model::CodePurpose;
use store::Read;

use super::{Shared, me};
use crate::Error;
use crate::domain::{PasswordReset, User};
use crate::tables::{self, USERS};
use crate::throttle::{LoginAttempt, ThrottleTarget};
use crate::wire::{CodeBody, RequestResetBody};

/// `POST /v1/users/password-reset`: always 202.
pub(super) async fn reset(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    address: ClientAddress,
    ParsedBody(RequestResetBody { email }): ParsedBody<RequestResetBody>,
) -> Result<StatusCode, Problem> {
    let user_id = users.account(email.as_ref())?.map(|user| user.id);
    let target = ThrottleTarget { email: email.as_ref(), user_id };
    let attempt =
        users
            .throttle
            .counters(&users.store, LoginAttempt::CodeRequest, target, address)?;
    let cause = users.cause(None, request);
    let now = cause.at();
    let added = users.store.write(move |tx| {
        attempt.check_and_count(tx, now)?;
        tables::add_pending_reset(tx, user_id, now)
    });
    users.complete_reset_request(added.await?, cause);
    Ok(StatusCode::ACCEPTED)
}

/// `POST /v1/users/password-reset/confirm`
pub(super) async fn confirm_reset(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    address: ClientAddress,
    ParsedBody(reset): ParsedBody<PasswordReset>,
) -> Result<StatusCode, Problem> {
    let PasswordReset { email, code, new } = reset;
    let user = users.account(email.as_ref())?;
    let user_id = user.as_ref().map(|user| user.id);
    // Decided here and used after a right code only: it says something about the account.
    let fits = user.map_or(Ok(()), |user| tables::check_password(&user, &new));
    let target = ThrottleTarget { email: email.as_ref(), user_id };
    let counters = |attempt| {
        let throttle = &users.throttle;
        throttle.counters(&users.store, attempt, target, address)
    };
    let attempt = counters(LoginAttempt::Code)?;
    let logins = counters(LoginAttempt::Password)?;
    attempt.check(&users.store, model::now())?;
    // The new password is hashed before the code is redeemed: a right code is not used
    // up by a failed hash, and a wrong one costs as much time.
    let slot = users.hasher.admit()?;
    let _serial = users.throttle.serialize(&attempt).await;
    attempt.check(&users.store, model::now())?;
    let hash = users.hasher.hash(slot, new).await?;
    let cause = users.cause(None, request);
    let (codes, now) = (users.codes.clone(), cause.at());
    // A refusal writes its counters, so it is a value here and not an error.
    let confirmed = users.store.write(move |tx| {
        let user = match user_id {
            Some(id) => tx.get(USERS, &id)?.filter(User::is_active),
            None => None,
        };
        let purpose = CodePurpose::PasswordReset;
        if let Some(user) = user
            && codes.redeem(tx, &user, purpose, &code, now)?
        {
            fits?;
            attempt.clear(tx)?;
            logins.clear(tx)?;
            // The code was sent to the address, so it proves the mailbox.
            let verified = user.verified(now);
            tables::change(tx, &user, &verified, &cause)?;
            tables::set_password(tx, &verified, hash, None, &cause)?;
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
    let target = ThrottleTarget { email: Some(&user.email), user_id: Some(user.id) };
    let attempt =
        users
            .throttle
            .counters(&users.store, LoginAttempt::CodeRequest, target, address)?;
    let cause = users.cause(Some(user.id), request);
    let requested = users.store.write(move |tx| {
        attempt.check_and_count(tx, cause.at())?;
        tables::request_code(tx, caller.user_id, CodePurpose::EmailVerification, &cause)
    });
    requested.await?;
    Ok(StatusCode::ACCEPTED)
}

/// `POST /v1/users/me/verify-email/confirm`
pub(super) async fn confirm_address(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    caller: Caller,
    ParsedBody(CodeBody { code }): ParsedBody<CodeBody>,
) -> Result<Response, Problem> {
    let cause = users.cause(Some(caller.user_id), request);
    let (codes, now) = (users.codes.clone(), cause.at());
    let confirmed = users.store.write(move |tx| {
        let before = tables::caller(tx, &caller)?;
        let purpose = CodePurpose::EmailVerification;
        if !codes.redeem(tx, &before, purpose, &code, now)? {
            return Ok(None);
        }
        let after = before.verified(now);
        tables::change(tx, &before, &after, &cause)?;
        Ok::<_, Error>(Some(after))
    });
    let user = confirmed.await?.ok_or(Error::WrongCode)?;
    let response = me::account(&users.store, &user, now)?;
    Ok(etag::written(StatusCode::OK, &response))
}
