//! `konbini products import`: a catalogue file, streamed into a shop.
//!
//! **Invariant:** importing a file again changes nothing, so an interrupted import is
//! completed by importing the file again.

use std::path::PathBuf;
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
/// A file whose format its content shows.
const CONTENT_TYPE: &str = "application/octet-stream";
/// The size of the chunks in which the file is read and sent.
const CHUNK_BYTES: usize = 64 * 1024;

/// Import a catalogue: creates products, and updates those whose SKU exists.
///
/// FILE contains one JSON document per line (the format of `GET /v1/products/export`), or
/// CSV: either the columns sku, title, price, currency, status, stock, stock_policy, weight_g,
/// tax_class, requires_shipping, brand, categories, tags, images, rating.average, rating.count, description and attribute.NAME (several tags
/// are separated by commas, several categories or images by |), or a product export of Shopify or WooCommerce. A column that
/// the file does not have leaves the products' own values alone; an empty cell clears them. An
/// invalid line fails alone and is reported.
#[derive(Debug, Args)]
pub(crate) struct Import {
    #[command(flatten)]
    shop: ShopArgs,
    /// The catalogue file.
    file: PathBuf,
    /// The format of the file [default: by its content].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The encoding of a file that is not in UTF-8 and does not begin with a byte order mark.
    #[arg(long, value_enum)]
    encoding: Option<EncodingName>,
    /// The currency of prices in a CSV without that column, such as EUR [default: the currency
    /// of the product, or `import_currency` of the settings for a new one].
    #[arg(long, value_name = "CODE")]
    currency: Option<model::Currency>,
    /// Which products may be written [default: upsert].
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// What the stock of a line does to a known product [default: initial].
    #[arg(long, value_enum)]
    stock: Option<Stock>,
    /// Report what an import would do, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Ndjson,
    Csv,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EncodingName {
    #[value(name = "windows-1252")]
    Windows1252,
    #[value(name = "shift_jis")]
    ShiftJis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Create products and update known ones.
    Upsert,
    /// Create products only.
    Create,
    /// Update known products only.
    Update,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stock {
    /// Nothing: only a new product has it.
    Initial,
    /// It sets the level, not below what is reserved.
    Set,
}

impl Import {
    /// The path of the service's endpoint with its parameters.
    fn path(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(parameter("format", self.format));
        query.extend_pairs(parameter("encoding", self.encoding));
        query.extend_pairs(parameter("mode", self.mode));
        query.extend_pairs(parameter("stock", self.stock));
        query.extend_pairs(
            self.currency
                .map(|currency| ("currency", currency.to_string())),
        );
        query.extend_pairs(self.dry_run.then_some(("dry_run", "true")));
        format!("/control/import?{}", query.finish())
    }
}

/// A parameter by the name that its value has on the command line.
fn parameter(name: &str, value: Option<impl ValueEnum>) -> Option<(&str, String)> {
    let value = value?.to_possible_value()?;
    Some((name, value.get_name().to_owned()))
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
        for note in notes(&summary) {
            output::error_line!("{note}");
        }
        // For people at a terminal; a pipe gets the figures only.
        if !bar.is_hidden() {
            output::error_line!("in {}", HumanDuration(started.elapsed()));
        }
    }
    let count = |name: &str| summary[name].as_u64().unwrap_or_default();
    let (read, failed, file) = (count("read"), count("failed"), import.file.display());
    let lines = if failed == 1 {
        "1 line".to_owned()
    } else {
        format!("{failed} lines")
    };
    match failed {
        0 => Ok(()),
        _ if failed == read => {
            bail!("every line of {file} failed ({failed}); nothing was imported")
        }
        _ if import.dry_run => bail!("{lines} of {file} would fail"),
        _ => bail!("{lines} of {file} failed; the other lines were imported"),
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
    let socket = folder.control_socket(ServiceName::Products.name());
    let body = StreamBody::new(chunks);
    let response = control::stream(&socket, &import.path(), CONTENT_TYPE, body).await?;
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

/// What the import assumed and left alone, in words.
fn notes(summary: &Value) -> Vec<String> {
    let list = |name: &str| {
        let items = summary[name].as_array().into_iter().flatten();
        let items: Vec<_> = items.filter_map(Value::as_str).collect();
        Some(items.join(", ")).filter(|items| !items.is_empty())
    };
    let mut notes = Vec::new();
    if summary["dry_run"] == true {
        notes.push("dry run: nothing was written".to_owned());
    }
    if let Some(currency) = summary["assumed_currency"].as_str() {
        notes.push(format!(
            "prices of new products are in {currency}; --currency names another"
        ));
    }
    if let Some(columns) = list("ignored_columns") {
        notes.push(format!("columns that were not read: {columns}"));
    }
    match summary["stock_ignored"].as_u64().unwrap_or_default() {
        0 => {}
        lines => notes.push(format!(
            "stock that was left alone because the product exists: {lines}; --stock=set sets it"
        )),
    }
    for (name, what) in [
        ("images_ignored", "pictures beyond the most of a product"),
        (
            "tags_ignored",
            "tags that are too many or too long for a product",
        ),
        (
            "descriptions_cut",
            "products whose description was too long and lost its end",
        ),
    ] {
        if let Some(ignored) = list(name) {
            notes.push(format!("{what}: {ignored}"));
        }
    }
    notes
}
