//! `konbini-bench import`: a real catalogue, streamed into a shop.
//!
//! Reading, converting and sending overlap behind a short queue, so a slow shop
//! slows the reading down and memory stays flat however long the file is.
//! **Invariant:** a file that cannot be read to its end breaks the request; it
//! never looks to the shop like a shorter file.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures::stream;
use indicatif::HumanCount;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Body, Method, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::catalogue::{self, Catalogue};
use crate::client::{Credentials, ShopClient, ShopResponse, StaffLogin};
use crate::json_lines::JsonLines;
use crate::table::{self, ReportTable};

/// Lines are sent together up to about this size.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks read ahead of the shop.
const CHUNKS_AHEAD: usize = 4;
/// A shop that takes and answers nothing for this long is given up.
const STALL: Duration = Duration::from_secs(120);
const FAILURES_SHOWN_MAX: usize = 10;

/// Import a catalogue into a shop, as staff.
///
/// FILE is JSON JsonLines, one product a line, and may be compressed with xz. What
/// it holds is recognised from the fields of its first line:
///
///   sku, price                          the shop's own format, sent as it is
///   id, title, price_cents, attributes  icecat products
///   id, title, price_pence              retail products (UCI "Online Retail")
///
/// The latter two become published products whose SKU is their id. Nothing is
/// cut short: a product beyond the shop's limits is refused by the shop and
/// shown. Exit code 1 when a product failed.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The catalogue, .jsonl or .jsonl.xz.
    file: PathBuf,

    #[command(flatten)]
    access: StaffLogin,

    /// Pieces of every product that the import creates. A file in the shop's
    /// own format states its stock itself.
    #[arg(long, default_value_t = 100_000)]
    stock: u64,

    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

/// What the shop says it did with the lines.
#[derive(Deserialize, Serialize)]
struct Summary {
    read: u64,
    created: u64,
    updated: u64,
    unchanged: u64,
    failed: u64,
    errors: Vec<LineErrors>,
}

#[derive(Deserialize, Serialize)]
struct LineErrors {
    line: usize,
    /// Added here: the shop names lines, people look for products.
    #[serde(default, skip_deserializing)]
    sku: Option<String>,
    errors: Vec<FieldError>,
}

#[derive(Deserialize, Serialize)]
struct FieldError {
    #[serde(default)]
    pointer: String,
    detail: String,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (client, staff) = args.access.open().await?;
    let started = Instant::now();
    let (chunks, body) = mpsc::channel(CHUNKS_AHEAD);
    let reading = {
        let file = args.file.clone();
        tokio::task::spawn_blocking(move || read_catalogue(&file, args.stock, &chunks))
    };
    let answer = send(&client, &staff, body).await;
    // A file that broke off is the cause of the request that broke off.
    let catalogue = reading.await.context("the reader stopped")??;
    let doing = "importing";
    let mut summary: Summary = answer?.expect(StatusCode::OK, doing)?;
    let took = started.elapsed();
    name_failures(&args.file, &mut summary)?;
    table::print(args.json, &summary, || report(&summary, catalogue, took))?;
    Ok(table::exit(summary.failed == 0))
}

type Chunk = io::Result<Vec<u8>>;

/// Sends the chunks as one request, and gives up when nothing moves any more.
async fn send(
    client: &ShopClient,
    staff: &Credentials,
    body: mpsc::Receiver<Chunk>,
) -> anyhow::Result<ShopResponse> {
    let taken = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&taken);
    let chunks = stream::unfold((body, counter), |(mut body, counter)| async move {
        let chunk = body.recv().await?;
        counter.fetch_add(1, Ordering::Relaxed);
        Some((chunk, (body, counter)))
    });
    let request = client
        .request(Method::POST, &["v1", "products", "import"])
        .header(CONTENT_TYPE, "application/x-ndjson")
        .body(Body::wrap_stream(chunks));
    let mut answer = Box::pin(client.stream_as(staff, request));
    loop {
        let before = taken.load(Ordering::Relaxed);
        match tokio::time::timeout(STALL, &mut answer).await {
            Ok(answer) => return answer.context("the shop broke off the import"),
            Err(_) if taken.load(Ordering::Relaxed) > before => {}
            Err(_) => bail!(
                "the shop took and answered nothing for {} s",
                STALL.as_secs()
            ),
        }
    }
}

/// Reads the file to its end into `chunks`; on an error that is the last chunk.
fn read_catalogue(
    file: &Path,
    stock: u64,
    chunks: &mpsc::Sender<Chunk>,
) -> anyhow::Result<Catalogue> {
    let outcome = convert_lines(file, stock, chunks);
    if outcome.is_err() {
        // Whether anyone still listens or not, the caller learns the cause.
        let _ = chunks.blocking_send(Err(io::Error::other("the catalogue broke off")));
    }
    outcome.with_context(|| format!("in {}", file.display()))
}

fn convert_lines(
    file: &Path,
    stock: u64,
    chunks: &mpsc::Sender<Chunk>,
) -> anyhow::Result<Catalogue> {
    let (lines, progress) = JsonLines::open(file, "importing")?;
    let mut recognised = None;
    let mut chunk = Vec::new();
    let mut count = 0;
    for line in lines {
        let line = line?;
        let catalogue: Catalogue = match recognised {
            Some(catalogue) => catalogue,
            None => *recognised.insert(Catalogue::recognise(&line)?),
        };
        chunk.extend(catalogue.convert(line, stock));
        chunk.push(b'\n');
        count += 1;
        if chunk.len() >= CHUNK_BYTES {
            let sent = chunks.blocking_send(Ok(std::mem::take(&mut chunk)));
            if sent.is_err() {
                // The shop has answered early; its answer says why.
                return Ok(catalogue);
            }
            progress.note(format!("{} products", HumanCount(count)));
        }
    }
    if !chunk.is_empty() {
        // As above: who no longer listens has answered.
        let _ = chunks.blocking_send(Ok(chunk));
    }
    progress.note(format!("{} products", HumanCount(count)));
    progress.finish();
    recognised.context("the file is empty")
}

/// Looks up in the file which products the shown failures are.
fn name_failures(file: &Path, summary: &mut Summary) -> anyhow::Result<()> {
    summary.errors.truncate(FAILURES_SHOWN_MAX);
    let mut unnamed: BTreeMap<usize, &mut LineErrors> = summary
        .errors
        .iter_mut()
        .map(|failure| (failure.line, failure))
        .collect();
    if unnamed.is_empty() {
        return Ok(());
    }
    let (lines, _) = JsonLines::open(file, "naming failures")?;
    for (before, line) in lines.enumerate() {
        if let Some(failure) = unnamed.remove(&(before + 1)) {
            failure.sku = catalogue::sku_of(&line?);
        }
        if unnamed.is_empty() {
            break;
        }
    }
    Ok(())
}

fn report(summary: &Summary, catalogue: Catalogue, took: Duration) -> ReportTable {
    let mut table = ReportTable::default();
    table
        .section(&format!("Imported {}", catalogue.name()))
        .count("read", summary.read)
        .count("created", summary.created)
        .count("updated", summary.updated)
        .count("unchanged", summary.unchanged)
        .count("failed", summary.failed)
        .row("seconds", format_args!("{:.1}", took.as_secs_f64()));
    if summary.failed > 0 {
        table.section("Failed");
        for failure in &summary.errors {
            let sku = failure.sku.as_deref().unwrap_or("?");
            for error in &failure.errors {
                let FieldError { pointer, detail } = error;
                table.line(format_args!(
                    "line {}, {sku}: {pointer} {detail}",
                    failure.line
                ));
            }
        }
        let unseen = summary.failed.saturating_sub(summary.errors.len() as u64);
        if unseen > 0 {
            table.line(format_args!("and {} more", HumanCount(unseen)));
        }
    }
    table
}
