//! `konbini-bench orders`: how quickly a shop confirms orders, and what one costs.
//!
//! Each client is one thread with one connection and one order under way, so a
//! run with one client shows how long a buyer waits and a run with many how much
//! a shop takes. The time that counts begins after a warm-up. A raw append and
//! `fdatasync` is measured in the same run, before and after, since everything
//! here is a multiple of it. **Invariant:** a run in which an order was answered
//! other than 201 never ends with exit code 0.

mod host;
mod load;
mod report;
mod wire;

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde_json::json;

use self::host::Process;
use self::load::Load;
use self::report::Report;
use crate::client::{Access, Account, Client};
use crate::progress::Progress;
use crate::series::Series;
use crate::table;

/// Log-ins and look-ups at once; a log-in costs the shop a core for a while.
const CALLS_AT_ONCE: usize = 8;
/// Of every product: nothing ever runs out.
const STOCK: u64 = 100_000_000;
/// What is appended before each raw sync: one page.
const RAW_BYTES: usize = 4096;
/// How long raw syncs are measured, before the orders and after them.
const RAW_TURN: Duration = Duration::from_millis(750);

/// Place one-line orders as fast as a running shop confirms them.
///
/// Customers and products are made if they are not there from an earlier run.
/// Run it on the shop's own host; its share of the cores is told beside the
/// shop's.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    access: Access,

    /// Clients, each with one order under way.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    clients: u16,

    /// How long to measure.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,

    /// How long to place orders before that.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(..=600))]
    warm_up: u64,

    /// Over how many products the orders are spread.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    products: u32,

    /// A folder on the disk that holds the shop's data, for the raw syncs.
    #[arg(long, default_value = ".")]
    dir: PathBuf,

    /// A process of the shop whose use of the processor counts; give all of them.
    /// Without, it is whoever listens where the orders go.
    #[arg(long)]
    pid: Vec<u32>,

    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (client, staff) = args.access.open().await?;
    let address = address(client.base())?;
    let pids = if args.pid.is_empty() {
        vec![host::listener(address.port()).context(
            "cannot see which process listens there; name the shop's processes with --pid",
        )?]
    } else {
        args.pid
    };
    let shop = pids.into_iter().map(Process).collect();
    let products = stock_up(&client, &staff, args.products).await?;
    let tokens = log_in(&client, args.clients).await?;
    let load = Load { address, tokens, products };
    let (warm_up, measured) = (
        Duration::from_secs(args.warm_up),
        Duration::from_secs(args.seconds),
    );
    let report = tokio::task::spawn_blocking(move || {
        let mut raw = Series::new()?;
        sync_raw(&args.dir, &mut raw)?;
        let outcome = load.run(shop, warm_up, measured)?;
        sync_raw(&args.dir, &mut raw)?;
        anyhow::Ok(Report::new(args.clients, &outcome, &raw))
    });
    let report = report.await.context("the measurement stopped")??;
    table::tell(args.json, &report, || report.table())?;
    Ok(table::exit(report.passed()))
}

fn address(base: &Url) -> anyhow::Result<SocketAddr> {
    let host = base.host_str().context("--url names no host")?;
    let port = base.port_or_known_default().unwrap_or(80);
    let mut found = (host, port).to_socket_addrs()?;
    found.next().context("--url names no host that is known")
}

/// Makes sure that the products are there, and returns their ids.
async fn stock_up(client: &Client, staff: &Account, count: u32) -> anyhow::Result<Vec<String>> {
    let sku = |number: u32| format!("BENCH-{number:05}");
    let mut lines = String::new();
    for number in 0..count {
        let product = json!({
            "sku": sku(number),
            "title": format!("Measured product {number}"),
            "description": "It exists to be ordered.",
            "brand": "Bench",
            "categories": ["Bench"],
            "price": { "amount": 1000 + i64::from(number % 1000), "currency": "EUR" },
            "status": "published",
            "stock": STOCK,
        });
        lines.push_str(&product.to_string());
        lines.push('\n');
    }
    #[derive(Deserialize)]
    struct Summary {
        failed: u64,
    }
    let request = client
        .request(Method::POST, &["v1", "products", "import"])
        .header(CONTENT_TYPE, "application/x-ndjson")
        .body(lines);
    let answer = client.stream_as(staff, request).await?;
    let summary: Summary = answer.expect(StatusCode::OK, "making the products")?;
    ensure!(
        summary.failed == 0,
        "{} products were refused",
        summary.failed
    );

    #[derive(Deserialize)]
    struct Product {
        id: String,
    }
    let progress = &Progress::count("finding products", u64::from(count));
    let found = stream::iter(0..count)
        .map(|number| async move {
            let sku = sku(number);
            let request = client.request(Method::GET, &["v1", "products", "by-sku", &sku]);
            let product: Product = client
                .send(request)
                .await?
                .expect(StatusCode::OK, &format!("finding SKU {sku}"))?;
            progress.step();
            anyhow::Ok(product.id)
        })
        .buffer_unordered(CALLS_AT_ONCE)
        .try_collect()
        .await;
    progress.finish();
    found
}

/// An access token for each client, of a customer of its own.
async fn log_in(client: &Client, count: u16) -> anyhow::Result<Vec<String>> {
    let progress = &Progress::count("logging in", u64::from(count));
    let tokens = stream::iter(0..count)
        .map(|number| async move {
            // This password protects nothing: the account exists for measuring.
            let account = Account::new(
                format!("buyer{number}@bench.example"),
                format!("places measured orders as {number}"),
            );
            client
                .register(&account, &format!("Buyer {number}"))
                .await?;
            let token = client.renew(&account, "").await;
            progress.step();
            token
        })
        .buffer_unordered(CALLS_AT_ONCE)
        .try_collect()
        .await;
    progress.finish();
    tokens
}

fn sync_raw(dir: &Path, raw: &mut Series) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut file = tempfile::tempfile_in(dir)
        .with_context(|| format!("cannot make a file in {}", dir.display()))?;
    let begun = Instant::now();
    while begun.elapsed() < RAW_TURN {
        let start = Instant::now();
        file.write_all(&[7; RAW_BYTES])?;
        file.sync_data()?;
        raw.record(start);
    }
    raw.add_elapsed(begun.elapsed());
    Ok(())
}
