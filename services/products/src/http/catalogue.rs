//! One product: made, read, changed, removed.

use axum::extract::{Extension, Path, Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chassis::json::{PathId, read_body, require_json};
use chassis::request_id::RequestId;
use chassis::{Caller, FieldError, Problem, Staff, etag};
use model::kinds;

use super::{About, Products, cached, cause};
use crate::Error;
use crate::domain::{Content, Level, Product, ProductId};
use crate::shown::{ProductView, shown};
use crate::store;
use crate::submission::{self, Submission};

const JSON: &[&str] = &["application/json"];
const PATCH: &[&str] = &["application/merge-patch+json", "application/json"];

pub(super) async fn create(
    State(app): State<Products>,
    Staff(caller): Staff,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    require_json(&headers, JSON)?;
    let submission = submission::read(&read_body(request).await?).map_err(Error::from)?;
    let (effects, cause) = (app.effects.clone(), cause(&caller, request_id));
    let (product, level) = app
        .store
        .write(move |tx| store::create(tx, &effects, &cause, submission))
        .await?;
    let location = format!("/v1/products/{}", product.id);
    let view = ProductView::new(&product, level);
    let answer = etag::written(StatusCode::CREATED, &view);
    Ok(([(LOCATION, location)], answer).into_response())
}

pub(super) async fn one(
    State(app): State<Products>,
    caller: Option<Caller>,
    PathId(id): PathId<kinds::Product>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    show(&app, caller.as_ref(), id, &headers)
}

pub(super) async fn one_by_sku(
    State(app): State<Products>,
    caller: Option<Caller>,
    Path(sku): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = store::id_of_sku(&app.store, &sku)?.ok_or(Error::NotFound)?;
    show(&app, caller.as_ref(), id, &headers)
}

fn show(
    app: &Products,
    caller: Option<&Caller>,
    id: ProductId,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let (shown, public) = shown(&app.store, &app.effects.cache, id)?;
    if !public && !caller.is_some_and(Caller::is_staff) {
        return Err(Error::NotFound.into());
    }
    let about = if public { About::Product(id) } else { About::Staff };
    Ok(cached(shown.respond(headers), about))
}

pub(super) async fn replace(
    State(app): State<Products>,
    Staff(caller): Staff,
    Extension(request_id): Extension<RequestId>,
    PathId(id): PathId<kinds::Product>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    require_json(&headers, JSON)?;
    let body = read_body(request).await?;
    let submission = submission::read(&body);
    let (product, level) = change(app, caller, request_id, id, headers, move |_| {
        without_stock(submission?)
    })
    .await?;
    Ok(changed(&product, level))
}

pub(super) async fn patch(
    State(app): State<Products>,
    Staff(caller): Staff,
    Extension(request_id): Extension<RequestId>,
    PathId(id): PathId<kinds::Product>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    require_json(&headers, PATCH)?;
    let body = read_body(request).await?;
    let (product, level) = change(app, caller, request_id, id, headers, move |present| {
        without_stock(submission::read_patch(present, &body)?)
    })
    .await?;
    Ok(changed(&product, level))
}

/// Gives the product the content that `decide` makes of the present one, if it
/// is still the version that the request means.
async fn change(
    app: Products,
    caller: Caller,
    request_id: RequestId,
    id: ProductId,
    headers: HeaderMap,
    decide: impl FnOnce(&Content) -> Result<Content, Error> + Send + 'static,
) -> Result<(Product, Level), Error> {
    let (effects, cause) = (app.effects.clone(), cause(&caller, request_id));
    app.store
        .write(move |tx| {
            let (present, level) = store::product(tx, id)?;
            etag::require_match(&headers, &ProductView::new(&present, level))?;
            let content = decide(&present.content)?;
            let product = store::replace(tx, &effects, &cause, present, content)?;
            Ok((product, level))
        })
        .await
}

fn without_stock(submission: Submission) -> Result<Content, Error> {
    match submission.stock {
        None => Ok(submission.content),
        Some(_) => Err(Error::Invalid(vec![FieldError::new(
            "/stock",
            "is only given when a product is made; move it with POST /v1/products/{id}/stock",
        )])),
    }
}

fn changed(product: &Product, level: Level) -> Response {
    let view = ProductView::new(product, level);
    etag::written(StatusCode::OK, &view)
}

pub(super) async fn remove(
    State(app): State<Products>,
    Staff(caller): Staff,
    Extension(request_id): Extension<RequestId>,
    PathId(id): PathId<kinds::Product>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let (effects, cause) = (app.effects.clone(), cause(&caller, request_id));
    app.store
        .write(move |tx| {
            let (present, level) = store::product(tx, id)?;
            etag::require_match(&headers, &ProductView::new(&present, level))?;
            store::remove(tx, &effects, &cause, &present)
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
