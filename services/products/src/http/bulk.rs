//! Import and export of whole catalogues.
//!
//! **Invariant:** bodies are streamed; their size bounds time and never memory.

use axum::body::Body;
use axum::extract::{Extension, FromRequest, Multipart, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chassis::export::ExportFormat;
use chassis::json::require_json;
use chassis::request_id::RequestId;
use chassis::{Json, Problem, Staff};
use futures::Stream;
use mesh::Cause;
use model::Currency;
use serde::Deserialize;

use super::{CatalogueState, cause, query};
use crate::export;
use crate::import::{
    self, FileEncoding, Format, ImportMode, ImportOptions, ImportRules, StockRule, Summary,
};

/// The media types of newline-delimited JSON; none of them is registered.
const NDJSON: [&str; 4] = [
    chassis::export::NDJSON,
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
];
/// The media types of tables; Windows has the second for files named `.csv`.
const CSV: [&str; 3] = [
    "text/csv",
    "application/vnd.ms-excel",
    "text/tab-separated-values",
];
/// A file whose format its content shows.
const ANY_FILE: &str = "application/octet-stream";
/// A form with a file in it.
const FORM: &str = "multipart/form-data";

const BOOLEANS: [(&str, bool); 2] = [("true", true), ("false", false)];

/// The parameters of an import.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ImportQuery {
    currency: Option<String>,
    mode: Option<String>,
    stock: Option<String>,
    dry_run: Option<String>,
    encoding: Option<String>,
    format: Option<String>,
}

impl ImportQuery {
    /// The options, for a body that is declared to be of that format.
    fn options(
        &self,
        declared: Format,
        currency_default: Currency,
    ) -> Result<ImportOptions, Problem> {
        let mode = chosen(
            "mode",
            self.mode.as_deref(),
            &[
                ("upsert", ImportMode::Upsert),
                ("create", ImportMode::Create),
                ("update", ImportMode::Update),
            ],
        )?;
        let stock = chosen(
            "stock",
            self.stock.as_deref(),
            &[("initial", StockRule::Initial), ("set", StockRule::Set)],
        )?;
        let dry_run = chosen("dry_run", self.dry_run.as_deref(), &BOOLEANS)?;
        let formats = [("csv", Format::Csv), ("ndjson", Format::Ndjson)];
        let format = chosen("format", self.format.as_deref(), &formats)?;
        let encodings = ["utf-8", "windows-1252", "shift_jis"];
        let encodings = encodings.map(|name| (name, FileEncoding::named(name)));
        let encoding = chosen("encoding", self.encoding.as_deref(), &encodings)?;
        let currency = match self.currency.as_deref().filter(|code| !code.is_empty()) {
            None => None,
            Some(code) => {
                let currency = code
                    .parse::<Currency>()
                    .ok()
                    .filter(|code| code.is_in_use());
                let why = "`currency` must be an ISO 4217 code in use, such as EUR";
                Some(currency.ok_or_else(|| Problem::bad_request(why))?)
            }
        };
        Ok(ImportOptions {
            format: format.unwrap_or(declared),
            encoding: encoding.flatten(),
            rules: ImportRules {
                mode: mode.unwrap_or_default(),
                stock: stock.unwrap_or_default(),
                currency,
                currency_default,
            },
            dry_run: dry_run.unwrap_or_default(),
        })
    }
}

/// The value of a parameter that has a few; an empty one is an absent one.
fn chosen<T: Copy>(
    name: &str,
    given: Option<&str>,
    values: &[(&str, T)],
) -> Result<Option<T>, Problem> {
    let Some(given) = given.filter(|given| !given.is_empty()) else {
        return Ok(None);
    };
    match values.iter().find(|(value, _)| *value == given) {
        Some((_, value)) => Ok(Some(*value)),
        None => {
            let values: Vec<_> = values
                .iter()
                .map(|(value, _)| format!("`{value}`"))
                .collect();
            let why = format!("`{name}` must be {}", values.join(" or "));
            Err(Problem::bad_request(why))
        }
    }
}

pub(super) async fn import(
    State(app): State<CatalogueState>,
    Staff(caller): Staff,
    Extension(request_id): Extension<RequestId>,
    request: Request,
) -> Result<Response, Problem> {
    Import { cause: cause(&caller, request_id), app }
        .run(request)
        .await
}

/// The operator's import over the control socket, which needs no token.
pub(super) async fn import_by_operator(
    State(app): State<CatalogueState>,
    Extension(request_id): Extension<RequestId>,
    request: Request,
) -> Result<Response, Problem> {
    let cause = Cause { trace: Some(request_id.0), ..Cause::own(model::now()) };
    Import { cause, app }.run(request).await
}

/// The catalogue of an import, and who imports.
struct Import {
    app: CatalogueState,
    cause: Cause,
}

impl Import {
    async fn run(self, request: Request) -> Result<Response, Problem> {
        let parameters: ImportQuery = query(request.uri())?;
        let declared = declared(request.headers())?;
        let options = parameters.options(
            declared.unwrap_or(Format::ByContent),
            self.app.import_currency,
        )?;
        let summary = match declared {
            Some(_) => {
                self.import(options, request.into_body().into_data_stream())
                    .await?
            }
            None => self.import_form(options, request).await?,
        };
        Ok(Json(summary).into_response())
    }

    async fn import<E>(
        &self,
        options: ImportOptions,
        body: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<Summary, Problem> {
        let Self { app, cause } = self;
        Ok(import::import(&app.store, &app.effects, cause, options, body).await?)
    }

    /// Imports the file of a form.
    async fn import_form(
        &self,
        options: ImportOptions,
        request: Request,
    ) -> Result<Summary, Problem> {
        let refused = |why: String| Problem::bad_request(format!("the form cannot be read: {why}"));
        let form = Multipart::from_request(request, &()).await;
        let mut form = form.map_err(|error| refused(error.body_text()))?;
        let mut summary = None;
        while let Some(part) = form
            .next_field()
            .await
            .map_err(|error| refused(error.body_text()))?
        {
            if part.file_name().is_none() {
                continue;
            }
            if summary.is_some() {
                let why = "the form has more than one file; the first was imported, send each of the others by itself";
                return Err(Problem::bad_request(why));
            }
            summary = Some(self.import(options, part).await?);
        }
        summary.ok_or_else(|| {
            Problem::bad_request("the form has no file; send one as its field `file`")
        })
    }
}

/// The format that a body is declared to have; `None` for a form with a file.
///
/// # Errors
/// 415 for any other media type.
fn declared(headers: &HeaderMap) -> Result<Option<Format>, Problem> {
    let is = |types: &[&str]| require_json(headers, types).is_ok();
    if is(&NDJSON) {
        return Ok(Some(Format::Ndjson));
    }
    if is(&CSV) {
        return Ok(Some(Format::Csv));
    }
    if is(&[ANY_FILE]) {
        return Ok(Some(Format::ByContent));
    }
    let all = [&NDJSON[..], &CSV, &[FORM, ANY_FILE]].concat();
    require_json(headers, &all).map(|()| None)
}

/// The parameters of an export.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ExportQuery {
    format: Option<String>,
}

pub(super) async fn export(
    State(app): State<CatalogueState>,
    Staff(_): Staff,
    uri: Uri,
) -> Result<Response, Problem> {
    let ExportQuery { format } = query(&uri)?;
    let formats = [("ndjson", ExportFormat::Ndjson), ("csv", ExportFormat::Csv)];
    let format = chosen("format", format.as_deref(), &formats)?.unwrap_or_default();
    let body = Body::from_stream(export::export(app.store, format));
    Ok(([(CONTENT_TYPE, format.media_type())], body).into_response())
}
