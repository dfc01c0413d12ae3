//! `/v1/categories`: the tree, and renaming.

use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use chassis::fields::ParsedBody;
use chassis::request_id::RequestId;
use chassis::{Json, Problem, Staff};
use serde::Serialize;

use super::{CacheScope, CatalogueState, cached, cause};
use crate::categories::{Category, tree};
use crate::submission::CategoryRename;
use crate::{catalogue, tables};

#[derive(Serialize)]
struct CategoriesResponse {
    items: Vec<Category>,
}

pub(super) async fn list(State(app): State<CatalogueState>) -> Result<Response, Problem> {
    let items = tree(tables::categories(&app.store)?);
    Ok(cached(
        Json(CategoriesResponse { items }).into_response(),
        CacheScope::Catalogue,
    ))
}

#[derive(Serialize)]
pub(super) struct RenameResponse {
    /// Products that were in the category or below it.
    moved: usize,
}

pub(super) async fn rename(
    State(app): State<CatalogueState>,
    Staff(caller): Staff,
    Extension(request_id): Extension<RequestId>,
    ParsedBody(rename): ParsedBody<CategoryRename>,
) -> Result<Json<RenameResponse>, Problem> {
    let (effects, cause) = (app.effects.clone(), cause(&caller, request_id));
    let moved = app
        .store
        .write(move |tx| catalogue::rename_category(tx, &effects, &cause, &rename));
    Ok(Json(RenameResponse { moved: moved.await? }))
}
