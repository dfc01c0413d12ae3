//! Whole catalogues in and out.

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use chassis::http::RequestId;
use chassis::json::require_json;
use chassis::{Json, Problem, Staff};

use super::{Products, cause};
use crate::import;
use crate::store::Cause;

/// Newline-delimited JSON under the names in use; none of them is registered.
const NDJSON: &[&str] = &[
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
];

pub(super) async fn import(
    State(app): State<Products>,
    Staff(caller): Staff,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    require_json(&headers, NDJSON)?;
    take_in(app, cause(&caller, request_id), body).await
}

/// The operator's import: whoever can open the control socket owns the data.
pub(super) async fn import_unasked(
    State(app): State<Products>,
    Extension(request_id): Extension<RequestId>,
    body: Body,
) -> Result<Response, Problem> {
    let cause = Cause { at: mesh::now(), by: None, trace: Some(request_id.0) };
    take_in(app, cause, body).await
}

async fn take_in(app: Products, cause: Cause, body: Body) -> Result<Response, Problem> {
    let summary = import::import(&app.store, &app.log, &cause, body.into_data_stream()).await?;
    Ok(Json(summary).into_response())
}

pub(super) async fn export(State(app): State<Products>, Staff(_): Staff) -> Response {
    let body = Body::from_stream(import::export(app.store));
    ([(CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}
