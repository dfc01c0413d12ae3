//! Whole catalogues in and out.

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use chassis::json::require_json;
use chassis::request_id::RequestId;
use chassis::{Json, Problem, Staff};
use model::Currency;
use serde::Deserialize;

use super::{Products, cause, query};
use crate::export;
use crate::import::{self, Format};
use crate::store::Cause;

/// Newline-delimited JSON under the names in use; none of them is registered.
const NDJSON: &[&str] = &[
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
];

const CSV: &str = "text/csv";

/// What a body may be asked to be read with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ImportQuery {
    /// Of prices in a CSV that names none.
    currency: Option<Currency>,
}

pub(super) async fn import(
    State(app): State<Products>,
    Staff(caller): Staff,
    Extension(request_id): Extension<RequestId>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let cause = cause(&caller, request_id);
    take_in(app, cause, &uri, &headers, body).await
}

/// The operator's import: whoever can open the control socket owns the data.
pub(super) async fn import_unasked(
    State(app): State<Products>,
    Extension(request_id): Extension<RequestId>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let cause = Cause { at: model::now(), by: None, trace: Some(request_id.0) };
    take_in(app, cause, &uri, &headers, body).await
}

async fn take_in(
    app: Products,
    cause: Cause,
    uri: &Uri,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let ImportQuery { currency } = query(uri)?;
    let format = if require_json(headers, &[CSV]).is_ok() {
        Format::Csv(currency.unwrap_or(app.import_currency))
    } else {
        require_json(headers, &[NDJSON, &[CSV]].concat())?;
        Format::Ndjson
    };
    let body = body.into_data_stream();
    let summary = import::import(&app.store, &app.effects, &cause, format, body).await?;
    Ok(Json(summary).into_response())
}

pub(super) async fn export(State(app): State<Products>, Staff(_): Staff) -> Response {
    let body = Body::from_stream(export::export(app.store));
    ([(CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}
