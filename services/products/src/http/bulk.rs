//! Import and export of whole catalogues.
//!
//! **Invariant:** bodies are streamed; their size bounds time and never memory.

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use chassis::json::require_json;
use chassis::request_id::RequestId;
use chassis::{Json, Problem, Staff};
use mesh::Cause;
use model::Currency;
use serde::Deserialize;

use super::{CatalogueState, cause, query};
use crate::export;
use crate::import::{self, Format};

/// The media types of newline-delimited JSON; none of them is registered.
const NDJSON: &[&str] = &[
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
];

const CSV: &str = "text/csv";

/// The parameters of an import.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ImportQuery {
    /// The currency of prices in a CSV that names none.
    currency: Option<Currency>,
}

pub(super) async fn import(
    State(app): State<CatalogueState>,
    Staff(caller): Staff,
    Extension(request_id): Extension<RequestId>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let cause = cause(&caller, request_id);
    run_import(app, cause, &uri, &headers, body).await
}

/// The operator's import over the control socket, which needs no token.
pub(super) async fn import_by_operator(
    State(app): State<CatalogueState>,
    Extension(request_id): Extension<RequestId>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let cause = Cause { at: model::now(), by: None, trace: Some(request_id.0) };
    run_import(app, cause, &uri, &headers, body).await
}

async fn run_import(
    app: CatalogueState,
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

pub(super) async fn export(State(app): State<CatalogueState>, Staff(_): Staff) -> Response {
    let body = Body::from_stream(export::export(app.store));
    ([(CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}
