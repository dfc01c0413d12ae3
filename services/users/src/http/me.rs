//! Endpoints of the caller's own account: read, change, export, erase.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chassis::client_address::ClientAddress;
use chassis::fields::ParsedBody;
use chassis::request_id::RequestId;
use chassis::{AnyCaller, Caller, Json, Problem, etag};
use model::Time;
use store::{Read, Tx};

use super::Shared;
use crate::domain::{PasswordChange, Profile, User};
use crate::tables;
use crate::throttle::{LoginAttempt, ThrottleTarget};
use crate::wire::{
    AddressResponse, ApiKeyResponse, CodeBody, ExportResponse, MyAccountResponse, NoFields,
    SessionResponse, UndoBody, WithProof,
};
use crate::{Error, codes, email_changes};

/// `GET /v1/users/me`
pub(super) async fn show(
    State(users): State<Shared>,
    AnyCaller(caller): AnyCaller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let user = tables::caller(&users.store, &caller)?;
    let response = account(&users.store, &user, model::now())?;
    Ok(etag::respond(&headers, &response))
}

/// The account as its owner sees it.
pub(super) fn account<'a>(
    read: &impl Read,
    user: &'a User,
    now: Time,
) -> Result<MyAccountResponse<'a>, Error> {
    let pending_email = codes::pending_email(read, user.id, now)?;
    Ok(MyAccountResponse { user, pending_email })
}

/// `PATCH /v1/users/me`: 202 when a new address waits for its confirmation.
pub(super) async fn change(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    caller: Caller,
    address: ClientAddress,
    headers: HeaderMap,
    ParsedBody(change): ParsedBody<WithProof<Profile>>,
) -> Result<Response, Problem> {
    let WithProof { content: Profile { email, name }, proof } = change;
    let cause = users.cause(Some(caller.user_id), request);
    let now = cause.at();
    let Some(email) = email else {
        let changed = users.store.write(move |tx| {
            let before = tables::caller(tx, &caller)?;
            require_match(&headers, tx, &before, now)?;
            let after = before.renamed(name, now);
            tables::change(tx, &before, &after, &cause)?;
            Ok::<_, Error>(after)
        });
        let user = changed.await?;
        let response = account(&users.store, &user, now)?;
        return Ok(etag::written(StatusCode::OK, &response));
    };
    let counters = |attempt, email, user_id| {
        let target = ThrottleTarget { email, user_id };
        users
            .throttle
            .counters(&users.store, attempt, target, address)
    };
    let claim = counters(LoginAttempt::Claim, None, Some(caller.user_id))?;
    // The mailbox that is written to has one count for all accounts and addresses.
    let mails = counters(LoginAttempt::CodeRequest, Some(&email), None)?;
    claim.check(&users.store, now)?;
    let proof = users.reauthenticate(caller.clone(), proof, address);
    let proof = proof.await?;
    let changed = users.store.write(move |tx| {
        let before = proof.confirm(tx)?;
        require_match(&headers, tx, &before, now)?;
        claim.claim(tx, now, |tx| {
            mails.check_and_count(tx, now)?;
            let renamed = before.renamed(name, now);
            tables::change(tx, &before, &renamed, &cause)?;
            email_changes::request(tx, &renamed, email, &cause)
        })
    });
    let user = changed.await?.ok_or(Error::EmailTaken)?;
    let response = account(&users.store, &user, now)?;
    let status = match response.pending_email {
        Some(_) => StatusCode::ACCEPTED,
        None => StatusCode::OK,
    };
    Ok(etag::written(status, &response))
}

fn require_match(headers: &HeaderMap, tx: &Tx<'_>, before: &User, now: Time) -> Result<(), Error> {
    let current = account(tx, before, now)?;
    etag::require_match(headers, &current).map_err(Error::Stale)
}

/// `POST /v1/users/me/email/confirm`
pub(super) async fn confirm_email(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    caller: Caller,
    ParsedBody(CodeBody { code }): ParsedBody<CodeBody>,
) -> Result<Response, Problem> {
    let cause = users.cause(Some(caller.user_id), request);
    let codes = users.codes.clone();
    let confirmed = users.store.write(move |tx| {
        let before = tables::caller(tx, &caller)?;
        email_changes::confirm(tx, &codes, &before, &code, &cause)
    });
    let user = confirmed.await?.ok_or(Error::WrongCode)?;
    Ok(etag::written(StatusCode::OK, &user))
}

/// `POST /v1/users/email-change/undo`
pub(super) async fn undo_email(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    ParsedBody(UndoBody { token }): ParsedBody<UndoBody>,
) -> Result<StatusCode, Problem> {
    // The holder of the token is the owner of a mailbox, and not known to be a user.
    let cause = users.cause(None, request);
    let codes = users.codes.clone();
    let undone = users
        .store
        .write(move |tx| email_changes::undo(tx, &codes, &token, &cause));
    undone.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/users/me/password`
pub(super) async fn change_password(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    caller: Caller,
    address: ClientAddress,
    ParsedBody(change): ParsedBody<WithProof<PasswordChange>>,
) -> Result<StatusCode, Problem> {
    let WithProof { content: PasswordChange { new }, proof } = change;
    let (user_id, session_id) = (caller.user_id, caller.session_id);
    tables::check_password(&tables::caller(&users.store, &caller)?, &new)?;
    let proof = users.reauthenticate(caller, proof, address);
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
    let now = model::now();
    let sessions = tables::sessions(&users.store, user.id)?.into_iter();
    let sessions = sessions.map(|session| SessionResponse::of(session, caller.session_id));
    let keys = tables::api_keys_of(&users.store, user.id)?.into_iter();
    let keys = keys.map(|(id, key)| ApiKeyResponse::new(id, key, None));
    let addresses = tables::addresses_of(&users.store, user.id)?.into_iter();
    let addresses = addresses.map(|(id, entry)| AddressResponse::new(id, entry));
    let export = ExportResponse {
        exported_at: now,
        pending_email: codes::pending_email(&users.store, user.id, now)?,
        language: tables::language(&users.store, user.id)?,
        addresses: addresses.collect(),
        sessions: sessions.collect(),
        api_keys: keys.collect(),
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
    ParsedBody(erasure): ParsedBody<WithProof<NoFields>>,
) -> Result<StatusCode, Problem> {
    let cause = users.cause(Some(caller.user_id), request);
    let proof = users.reauthenticate(caller, erasure.proof, address);
    let proof = proof.await?;
    let erasures = users.erasures.clone();
    let erased = users.store.write(move |tx| {
        let user = proof.confirm(tx)?;
        require_match(&headers, tx, &user, cause.at())?;
        tables::erase_on_request(tx, &user, &erasures, &cause)
    });
    erased.await?;
    Ok(StatusCode::NO_CONTENT)
}
