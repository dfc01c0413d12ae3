//! Endpoints of the caller's address book.

use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chassis::fields::ParsedBody;
use chassis::json::PathId;
use chassis::page::{Page, Paging};
use chassis::{Caller, Json, Problem, etag};
use model::kinds;
use store::Read;

use super::Shared;
use crate::Error;
use crate::domain::AddressEntry;
use crate::tables::{self, ADDRESSES};
use crate::wire::{AddressBody, AddressResponse};

/// `GET /v1/users/me/addresses`, oldest first
pub(super) async fn list(
    State(users): State<Shared>,
    caller: Caller,
    paging: Paging,
) -> Result<Json<Page<AddressResponse>>, Problem> {
    let user = tables::caller(&users.store, &caller)?;
    let span = ADDRESSES.prefix(&user.id);
    let span = match paging.after()? {
        Some(last) => span.after(&(user.id, last)),
        None => span,
    };
    let rows = users.store.scan(span)?;
    let entries = rows.map(|row| row.map(|((_, id), entry)| (id, AddressResponse::new(id, entry))));
    Ok(Json(paging.collect(entries)?))
}

/// `POST /v1/users/me/addresses`
pub(super) async fn add(
    State(users): State<Shared>,
    caller: Caller,
    ParsedBody(body): ParsedBody<AddressBody>,
) -> Result<Response, Problem> {
    let added = users.store.write(move |tx| {
        let user = tables::caller(tx, &caller)?;
        let content = body.of(None)?;
        let (id, entry) = tables::add_address(tx, user.id, content, model::now())?;
        Ok::<_, Error>((id, AddressResponse::new(id, entry)))
    });
    let (id, response) = added.await?;
    let location = format!("/v1/users/me/addresses/{id}");
    let response = etag::written(StatusCode::CREATED, &response);
    Ok(([(LOCATION, location)], response).into_response())
}

/// `GET /v1/users/me/addresses/{id}`
pub(super) async fn one(
    State(users): State<Shared>,
    caller: Caller,
    PathId(id): PathId<kinds::Address>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let user = tables::caller(&users.store, &caller)?;
    let entry = tables::address(&users.store, user.id, id)?;
    Ok(etag::respond(&headers, &AddressResponse::new(id, entry)))
}

/// `PUT /v1/users/me/addresses/{id}`
pub(super) async fn replace(
    State(users): State<Shared>,
    caller: Caller,
    PathId(id): PathId<kinds::Address>,
    headers: HeaderMap,
    ParsedBody(body): ParsedBody<AddressBody>,
) -> Result<Response, Problem> {
    let replaced = users.store.write(move |tx| {
        let user = tables::caller(tx, &caller)?;
        let before = tables::address(tx, user.id, id)?;
        let shown = AddressResponse::new(id, before.clone());
        etag::require_match(&headers, &shown).map_err(Error::Stale)?;
        let content = body.of(Some(&shown))?;
        let after = before.replaced(content, model::now());
        tables::put_address(tx, user.id, id, &after)?;
        Ok::<AddressEntry, Error>(after)
    });
    let response = AddressResponse::new(id, replaced.await?);
    Ok(etag::written(StatusCode::OK, &response))
}

/// `DELETE /v1/users/me/addresses/{id}`
pub(super) async fn remove(
    State(users): State<Shared>,
    caller: Caller,
    PathId(id): PathId<kinds::Address>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let removed = users.store.write(move |tx| {
        let user = tables::caller(tx, &caller)?;
        let entry = tables::address(tx, user.id, id)?;
        let shown = AddressResponse::new(id, entry);
        etag::require_match(&headers, &shown).map_err(Error::Stale)?;
        Ok::<_, Error>(tx.delete(ADDRESSES, &(user.id, id))?)
    });
    removed.await?;
    Ok(StatusCode::NO_CONTENT)
}
