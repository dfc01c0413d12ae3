//! Endpoints of accounts: registration, and administration and erasure by admins.

use axum::Extension;
use axum::extract::{Query, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use chassis::client_address::ClientAddress;
use chassis::fields::ParsedBody;
use chassis::json::PathId;
use chassis::page::{Page, Paging};
use chassis::request_id::RequestId;
use chassis::{Admin, Json, Problem, accept_language, etag};
use model::kinds;
use serde::Deserialize;
use store::Read;

use super::Shared;
use crate::domain::{Administration, Email, NewUser, User};
use crate::tables::{self, USERS};
use crate::throttle::{LoginAttempt, ThrottleTarget};
use crate::wire::{NoFields, WithProof};
use crate::{Error, Users};

/// `POST /v1/users`
pub(super) async fn register(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    address: ClientAddress,
    headers: HeaderMap,
    ParsedBody(registration): ParsedBody<NewUser>,
) -> Result<Response, Problem> {
    let NewUser { email, name, password } = registration;
    let throttle = &users.throttle;
    let target = ThrottleTarget { email: None, user_id: None };
    let attempt = throttle.counters(&users.store, LoginAttempt::Claim, target, address)?;
    attempt.check(&users.store, model::now())?;
    let hash = users.hasher.hash(users.hasher.admit()?, password).await?;
    let user = User::new(email, name, model::now());
    let cause = users.cause(Some(user.id), request);
    let language = accept_language::preferred(&headers);
    let registered = users.store.write(move |tx| {
        attempt.claim(tx, cause.at(), |tx| {
            tables::register(tx, &user, hash, &cause)?;
            tables::set_language(tx, user.id, language.as_ref())?;
            Ok(user)
        })
    });
    let user = registered.await?.ok_or(Error::EmailTaken)?;
    Ok(created(&user))
}

/// 201 with the account and its location.
pub(super) fn created(user: &User) -> Response {
    let mut response = etag::written(StatusCode::CREATED, user);
    let place = HeaderValue::from_str(&format!("/v1/users/{}", user.id));
    let place = place.expect("an id is visible ASCII");
    response.headers_mut().insert(LOCATION, place);
    response
}

#[derive(Deserialize)]
pub(super) struct Filter {
    email: Option<String>,
}

/// `GET /v1/users`, newest first
pub(super) async fn list(
    State(users): State<Shared>,
    _: Admin,
    paging: Paging,
    Query(filter): Query<Filter>,
) -> Result<Json<Page<User>>, Problem> {
    page(&users, &paging, filter)
}

/// One page of all accounts, or the one with the given address.
pub(super) fn page(
    users: &Users,
    paging: &Paging,
    filter: Filter,
) -> Result<Json<Page<User>>, Problem> {
    if let Some(text) = filter.email {
        let found = match Email::parse(&text) {
            Ok(email) => tables::by_email(&users.store, &email)?,
            Err(_) => None,
        };
        let items = Vec::from_iter(found);
        return Ok(Json(Page { items, next_cursor: None }));
    }
    let span = USERS.all().newest_first();
    let span = match paging.after()? {
        Some(last) => span.before(&last),
        None => span,
    };
    Ok(Json(paging.collect(users.store.scan(span)?)?))
}

/// `GET /v1/users/{id}`
pub(super) async fn one(
    State(users): State<Shared>,
    _: Admin,
    PathId(id): PathId<kinds::User>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let user = users.store.get(USERS, &id)?.ok_or(Error::NotFound)?;
    Ok(etag::respond(&headers, &user))
}

/// `PATCH /v1/users/{id}`
pub(super) async fn administer(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    Admin(admin): Admin,
    PathId(id): PathId<kinds::User>,
    address: ClientAddress,
    headers: HeaderMap,
    ParsedBody(change): ParsedBody<WithProof<Administration>>,
) -> Result<Response, Problem> {
    let WithProof { content: change, proof } = change;
    let cause = users.cause(Some(admin.user_id), request);
    let proof = match change.roles {
        Some(_) => Some(users.reauthenticate(admin.clone(), proof, address).await?),
        None => None,
    };
    let changed = users.store.write(move |tx| {
        match proof {
            Some(proof) => proof.confirm(tx)?,
            None => tables::caller(tx, &admin)?,
        };
        let before = tx.get(USERS, &id)?.ok_or(Error::NotFound)?;
        etag::require_match(&headers, &before).map_err(Error::Stale)?;
        let after = before.administered(change, cause.at());
        tables::change(tx, &before, &after, &cause)?;
        Ok::<_, Error>(after)
    });
    Ok(etag::written(StatusCode::OK, &changed.await?))
}

/// `DELETE /v1/users/{id}`: erasure on a person's request, made to the shop.
pub(super) async fn erase(
    State(users): State<Shared>,
    Extension(request): Extension<RequestId>,
    Admin(admin): Admin,
    PathId(id): PathId<kinds::User>,
    address: ClientAddress,
    headers: HeaderMap,
    ParsedBody(erasure): ParsedBody<WithProof<NoFields>>,
) -> Result<StatusCode, Problem> {
    let cause = users.cause(Some(admin.user_id), request);
    let proof = users.reauthenticate(admin, erasure.proof, address);
    let proof = proof.await?;
    let erasures = users.erasures.clone();
    let erased = users.store.write(move |tx| {
        proof.confirm(tx)?;
        let user = tx.get(USERS, &id)?.ok_or(Error::NotFound)?;
        etag::require_match(&headers, &user).map_err(Error::Stale)?;
        tables::erase_on_request(tx, &user, &erasures, &cause)
    });
    erased.await?;
    Ok(StatusCode::NO_CONTENT)
}
