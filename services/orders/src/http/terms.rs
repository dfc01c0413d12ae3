//! Handlers of shipping methods, tax rates and promotions: one of each for all three.
//!
//! **Invariant:** only admins change one, and the version that `If-Match` names, or none.

use axum::extract::{FromRequestParts, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chassis::fields::ParsedBody;
use chassis::json::PathId;
use chassis::page::{Page, Paging};
use chassis::{Admin, Caller, Json, Problem, etag};
use model::now;
use serde::Serialize;
use store::{Read, Tx};

use crate::terms::{self, Term, TermBody, TermId, TermResponse, TermRow};
use crate::{Error, OrdersState};

/// A caller who may read terms.
pub(super) trait TermReader: FromRequestParts<OrdersState> {
    /// Whether they also see what is not public.
    fn sees_all(&self) -> bool;
}

impl TermReader for Option<Caller> {
    fn sees_all(&self) -> bool {
        self.as_ref().is_some_and(Caller::is_staff)
    }
}

impl TermReader for Admin {
    fn sees_all(&self) -> bool {
        true
    }
}

pub(super) async fn list<T: Term, R: TermReader>(
    State(state): State<OrdersState>,
    reader: R,
    paging: Paging,
) -> Result<Json<Page<TermResponse<T>>>, Problem> {
    let after: Option<TermId<T>> = paging.after()?;
    let sees_all = reader.sees_all();
    let span = match after {
        Some(after) => T::TABLE.all().after(&after),
        None => T::TABLE.all(),
    };
    let rows = state.store.scan(span)?.filter(|row| match row {
        Ok((_, row)) => sees_all || row.content.is_public(),
        Err(_) => true,
    });
    let responses = rows.map(|row| {
        let (id, row) = row?;
        let uses = T::uses(&state.store, id)?;
        Ok::<_, store::Error>((id, TermResponse::from((id, row)).with_uses(uses)))
    });
    Ok(Json(paging.collect(responses)?))
}

pub(super) async fn one<T: Term, R: TermReader>(
    State(state): State<OrdersState>,
    reader: R,
    headers: HeaderMap,
    PathId(id): PathId<T::Kind>,
) -> Result<Response, Problem> {
    let row: TermRow<T> = terms::find(&state.store, id)?;
    if !row.content.is_public() && !reader.sees_all() {
        return Err(Error::NotFound.into());
    }
    let resource = TermResponse::from((id, row.clone()));
    let Some(uses) = T::uses(&state.store, id)? else {
        return Ok(etag::respond(&headers, &resource));
    };
    let shown = TermResponse::from((id, row)).with_uses(Some(uses));
    Ok(etag::respond_with(&headers, &resource, &shown))
}

pub(super) async fn create<T: Term>(
    State(state): State<OrdersState>,
    _: Admin,
    ParsedBody(body): ParsedBody<TermBody<T>>,
) -> Result<Response, Problem> {
    require_unset(&body, &None::<()>)?;
    let create = move |tx: &mut Tx<'_>| terms::create(tx, body.content, now());
    let response = TermResponse::from(state.store.write(create).await?);
    let location = [(LOCATION, format!("{}/{}", T::PATH, response.id))];
    Ok((location, etag::written(StatusCode::CREATED, &response)).into_response())
}

pub(super) async fn replace<T: Term>(
    State(state): State<OrdersState>,
    _: Admin,
    headers: HeaderMap,
    PathId(id): PathId<T::Kind>,
    ParsedBody(body): ParsedBody<TermBody<T>>,
) -> Result<Response, Problem> {
    let replace = move |tx: &mut Tx<'_>| -> Result<_, Problem> {
        let (former, shown) = current::<T>(tx, id, &headers)?;
        require_unset(&body, &shown)?;
        Ok(terms::replace(tx, id, former, body.content, now())?)
    };
    let row = state.store.write(replace).await?;
    Ok(etag::written(
        StatusCode::OK,
        &TermResponse::from((id, row)),
    ))
}

pub(super) async fn delete<T: Term>(
    State(state): State<OrdersState>,
    _: Admin,
    headers: HeaderMap,
    PathId(id): PathId<T::Kind>,
) -> Result<StatusCode, Problem> {
    let delete = move |tx: &mut Tx<'_>| -> Result<(), Problem> {
        let (former, _) = current::<T>(tx, id, &headers)?;
        Ok(terms::delete(tx, id, &former)?)
    };
    state.store.write(delete).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The term and how it is shown, if it is the version that the request names.
fn current<T: Term>(
    from: &impl Read,
    id: TermId<T>,
    headers: &HeaderMap,
) -> Result<(TermRow<T>, TermResponse<T>), Problem> {
    let row: TermRow<T> = terms::find(from, id)?;
    let resource = TermResponse::from((id, row.clone()));
    etag::require_match(headers, &resource)?;
    Ok((row, resource.with_uses(T::uses(from, id)?)))
}

/// Refuses a body that sets what only the shop sets.
fn require_unset<T>(body: &TermBody<T>, shown: &impl Serialize) -> Result<(), Problem> {
    match body.read_only.faults(shown) {
        faults if faults.is_empty() => Ok(()),
        faults => Err(Problem::invalid(faults)),
    }
}
