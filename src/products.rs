//! `konbini products import`: a catalogue file, streamed into a shop.
//!
//! **Invariant:** an import is an upsert by SKU, so an interrupted import is completed by
//! importing the file again.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use chassis::Folder;
use clap::{Args, ValueEnum};
use futures::TryStreamExt;
use http_body_util::StreamBody;
use hyper::body::Frame;
use indicatif::{HumanDuration, ProgressBar};
use serde_json::Value;
use tokio::fs::File;
use tokio_util::io::ReaderStream;

use crate::control;
use crate::output;
use crate::service_name::ServiceName;
use crate::shop::ShopArgs;
use crate::table::{Column, OutputFormat, OutputTable, print_json};

const SUMMARY: &[Column] = &[
    ("READ", 10),
    ("CREATED", 10),
    ("UPDATED", 10),
    ("UNCHANGED", 10),
    ("FAILED", 0),
];
const FAILURES: &[Column] = &[("LINE", 8), ("FIELD", 20), ("ERROR", 0)];
const BAR: &str = "{prefix} {wide_bar:.cyan/dim} {bytes}/{total_bytes} {bytes_per_sec} ETA {eta}";
/// The size of the chunks in which the file is read and sent.
const CHUNK_BYTES: usize = 64 * 1024;

/// Import a catalogue: creates products, and updates those whose SKU exists.
///
/// FILE contains one JSON document per line (the format of `GET /v1/products/export`), or
/// CSV: either the columns sku, title, price, currency, description, brand, categories,
/// images, status, stock and attribute.NAME (several categories or images are separated by
/// |), or a product export of Shopify. An invalid line fails alone and is reported.
#[derive(Debug, Args)]
pub(crate) struct Import {
    #[command(flatten)]
    shop: ShopArgs,
    /// The catalogue file.
    file: PathBuf,
    /// The format of the file [default: csv if its name ends in .csv, else ndjson].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The currency of prices in a CSV without that column, such as EUR [default:
    /// `import_currency` of the settings].
    #[arg(long, value_name = "CODE")]
    currency: Option<model::Currency>,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Ndjson,
    Csv,
}

impl Format {
    fn of(file: &Path) -> Self {
        let is_csv = file
            .extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("csv"));
        if is_csv { Self::Csv } else { Self::Ndjson }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
        }
    }
}

/// Imports the file and prints the number of lines by outcome; fails if a line failed.
pub(crate) async fn import(import: Import) -> anyhow::Result<()> {
    let bytes = tokio::fs::metadata(&import.file)
        .await
        .with_context(|| import.file.display().to_string())?
        .len();
    let started = Instant::now();
    let bar = output::progress_bar(BAR, "importing", bytes);
    let sent = async |folder: &Folder| send(&import, folder, &bar).await;
    let summary = control::with(ServiceName::Products, &import.shop, sent).await;
    bar.finish_and_clear();
    let summary = summary?;
    if import.json {
        print_json(&summary)?;
    } else {
        report(&summary)?;
        // For people at a terminal; a pipe gets the figures only.
        if !bar.is_hidden() {
            output::error_line!("in {}", HumanDuration(started.elapsed()));
        }
    }
    match summary["failed"].as_u64() {
        Some(0) => Ok(()),
        failed => bail!(
            "{} lines of {} failed; the other lines were imported",
            failed.unwrap_or_default(),
            import.file.display()
        ),
    }
}

async fn send(import: &Import, folder: &Folder, bar: &ProgressBar) -> anyhow::Result<Value> {
    let file = File::open(&import.file)
        .await
        // Not as a cause: `control::with` would take a missing file for a stopped shop.
        .map_err(|error| anyhow::anyhow!("{}: {error}", import.file.display()))?;
    bar.set_position(0);
    let moved = bar.clone();
    let chunks = ReaderStream::with_capacity(file, CHUNK_BYTES)
        .inspect_ok(move |chunk| moved.inc(chunk.len() as u64))
        .map_ok(Frame::data);
    let format = import.format.unwrap_or_else(|| Format::of(&import.file));
    let path = match import.currency {
        Some(currency) => format!("/control/import?currency={currency}"),
        None => "/control/import".to_owned(),
    };
    let socket = folder.control_socket(ServiceName::Products.name());
    let body = StreamBody::new(chunks);
    let response = control::stream(&socket, &path, format.content_type(), body).await?;
    Ok(response.accepted()?.body)
}

fn report(summary: &Value) -> anyhow::Result<()> {
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let mut table = OutputTable::new(SUMMARY, OutputFormat::Text);
    table.row(summary, |summary| {
        let names = ["read", "created", "updated", "unchanged", "failed"];
        names.map(|name| text(&summary[name])).to_vec()
    })?;
    let mut failures = OutputTable::new(FAILURES, OutputFormat::Text);
    for line in summary["errors"].as_array().into_iter().flatten() {
        for error in line["errors"].as_array().into_iter().flatten() {
            failures.row(error, |error| {
                vec![
                    text(&line["line"]),
                    text(&error["pointer"]),
                    text(&error["detail"]),
                ]
            })?;
        }
    }
    Ok(())
}
