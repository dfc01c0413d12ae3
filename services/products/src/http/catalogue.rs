//! One product: create, read, replace, patch, delete.
//!
//! **Invariant:** a change applies to the version that `If-Match` names, or not at all.

use ::store::Tx;
use axum::extract::{Extension, FromRequestParts, Path, Request, State};
use axum::http::header::LOCATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chassis::json::{PathId, read_body, require_json};
use chassis::request_id::RequestId;
use chassis::{Caller, FieldError, Problem, Staff, etag};
use mesh::Cause;
use model::kinds;

use super::{CacheScope, CatalogueState, cached, cause};
use crate::cache::Visibility;
use crate::domain::{Content, Product, ProductId, StockLevel};
use crate::effects::Effects;
use crate::submission::{self, Submission};
use crate::tables;
use crate::wire::ProductResponse;
use crate::{Error, catalogue};

const JSON: &[&str] = &["application/json"];
const PATCH: &[&str] = &["application/merge-patch+json", "application/json"];

pub(super) async fn create(
    State(app): State<CatalogueState>,
    Staff(caller): Staff,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    require_json(&headers, JSON)?;
    let submission = submission::read(&read_body(request).await?);
    let submission = submission
        .and_then(Submission::of_new)
        .map_err(Error::from)?;
    let (effects, cause) = (app.effects.clone(), cause(&caller, request_id));
    let (product, level) = app
        .store
        .write(move |tx| catalogue::create(tx, &effects, &cause, submission))
        .await?;
    let location = format!("/v1/products/{}", product.id);
    let response = etag::written(StatusCode::CREATED, &ProductResponse::new(&product, level));
    Ok(([(LOCATION, location)], response).into_response())
}

pub(super) async fn one(
    State(app): State<CatalogueState>,
    caller: Option<Caller>,
    PathId(id): PathId<kinds::Product>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    read(&app, caller.as_ref(), id, &headers)
}

pub(super) async fn one_by_sku(
    State(app): State<CatalogueState>,
    caller: Option<Caller>,
    Path(sku): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let sku = model::normalised(&sku);
    let id = tables::id_of_sku(&app.store, &sku)?.ok_or(Error::NotFound)?;
    read(&app, caller.as_ref(), id, &headers)
}

fn read(
    app: &CatalogueState,
    caller: Option<&Caller>,
    id: ProductId,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let (product, visibility) = app.effects.cache.read(&app.store, id)?;
    let public = visibility == Visibility::Public;
    if !public && !caller.is_some_and(Caller::is_staff) {
        return Err(Error::NotFound.into());
    }
    let scope = if public {
        CacheScope::Product(id)
    } else {
        CacheScope::Staff
    };
    Ok(cached(product.respond(headers), scope))
}

/// A staff member's change of the version of a product that `If-Match` names.
pub(super) struct ProductEdit {
    app: CatalogueState,
    cause: Cause,
    id: ProductId,
    headers: HeaderMap,
}

impl FromRequestParts<CatalogueState> for ProductEdit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &CatalogueState) -> Result<Self, Problem> {
        let Staff(caller) = Staff::from_request_parts(parts, app).await?;
        let Extension(request_id) = Extension::<RequestId>::from_request_parts(parts, app)
            .await
            .map_err(Problem::internal)?;
        let PathId(id) = PathId::<kinds::Product>::from_request_parts(parts, app).await?;
        Ok(Self {
            app: app.clone(),
            cause: cause(&caller, request_id),
            id,
            headers: parts.headers.clone(),
        })
    }
}

impl ProductEdit {
    /// Commits a change of the present version. Returns the level after it.
    async fn commit<T: Send + 'static>(
        self,
        change: impl FnOnce(&mut Tx<'_>, &Effects, &Cause, Product, StockLevel) -> Result<T, Error>
        + Send
        + 'static,
    ) -> Result<(T, StockLevel), Error> {
        let Self { app, cause, id, headers } = self;
        let effects = app.effects;
        app.store
            .write(move |tx| {
                let (present, level) = tables::product(tx, id)?;
                etag::require_match(&headers, &ProductResponse::new(&present, level))?;
                let changed = change(tx, &effects, &cause, present, level)?;
                Ok((changed, tables::level(tx, id)?.unwrap_or_default()))
            })
            .await
    }

    /// Replaces the content by the one that `decide` makes of the present one.
    async fn replace(
        self,
        decide: impl FnOnce(&Content) -> Result<Submission, Error> + Send + 'static,
    ) -> Result<Response, Problem> {
        let (product, level) = self
            .commit(move |tx, effects, cause, present, level| {
                let submission = decide(&present.content)?;
                let content = changed(submission, &ProductResponse::new(&present, level))?;
                catalogue::replace(tx, effects, cause, present, content)
            })
            .await?;
        let response = ProductResponse::new(&product, level);
        Ok(etag::written(StatusCode::OK, &response))
    }
}

pub(super) async fn replace(edit: ProductEdit, request: Request) -> Result<Response, Problem> {
    require_json(&edit.headers, JSON)?;
    let submission = submission::read(&read_body(request).await?);
    edit.replace(move |_| Ok(submission?)).await
}

pub(super) async fn patch(edit: ProductEdit, request: Request) -> Result<Response, Problem> {
    require_json(&edit.headers, PATCH)?;
    let body = read_body(request).await?;
    edit.replace(move |present| Ok(submission::read_patch(present, &body)?))
        .await
}

pub(super) async fn remove(edit: ProductEdit) -> Result<StatusCode, Problem> {
    edit.commit(|tx, effects, cause, present, _| catalogue::remove(tx, effects, cause, &present))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The content of a submission that changes nothing else of the product shown.
fn changed(submission: Submission, shown: &ProductResponse<'_>) -> Result<Content, Error> {
    let mut faults = submission.read_only.faults(shown);
    if submission.stock.is_some() {
        let detail = "can be set only when a product is created; change it with POST /v1/products/{id}/stock";
        faults.push(FieldError::new("/stock", detail));
    }
    if faults.is_empty() {
        Ok(submission.content)
    } else {
        Err(Error::Invalid(faults))
    }
}
