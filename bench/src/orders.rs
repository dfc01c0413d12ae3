//! `konbini-bench orders`: latency, throughput and processor time of placing orders.
//!
//! Each client is one thread with one connection and one order in flight: a run with one
//! client measures latency, a run with many measures throughput. Measuring begins after a
//! warm-up. A raw append and `fdatasync` is measured before and after in the same run,
//! since every figure here is a multiple of it. **Invariant:** a run in which an order was answered
//! other than 201 never ends with exit code 0.

mod carts;
mod load;
mod report;

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde_json::json;

use self::carts::{ACCOUNTS_EACH, CartLoad};
use self::load::OrderLoad;
use self::report::OrdersReport;
use crate::client::{Credentials, ShopClient, StaffLogin, WithId};
use crate::process::{self, Process};
use crate::progress::PhaseProgress;
use crate::series::Series;
use crate::table;

/// Concurrent look-ups.
const CALLS_AT_ONCE: usize = 8;
/// Of every product: nothing ever runs out.
const STOCK: u64 = 100_000_000;
/// Bytes appended before each raw sync: one page.
const RAW_BYTES: usize = 4096;
/// How long raw syncs are measured, before the orders and after them.
const RAW_LASTING: Duration = Duration::from_millis(750);

/// Place one-line orders as fast as a running shop confirms them.
///
/// Customers and products are made unless an earlier run made them.
/// Run it on the shop's own host; its own processor time is reported beside the
/// shop's.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    access: StaffLogin,

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

    /// Compare orders through carts with orders placed at once: what completing a cart costs
    /// the shop, and beside it the making of one.
    #[arg(long)]
    carts: bool,

    /// A folder on the disk that holds the shop's data, for the raw syncs.
    #[arg(long, default_value = ".")]
    dir: PathBuf,

    /// A process of the shop whose use of the processor counts; give all of them.
    /// By default it is the process that listens at the shop's address.
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
        vec![process::listener(address.port()).context(
            "cannot see which process listens there; name the shop's processes with --pid",
        )?]
    } else {
        args.pid
    };
    let shop: Vec<Process> = pids.into_iter().map(Process).collect();
    let products = stock_up(&client, &staff, args.products).await?;
    let accounts_each = if args.carts { ACCOUNTS_EACH } else { 1 };
    // These passwords protect nothing: the accounts exist for measuring.
    let customers = (0..args.clients * accounts_each).map(|number| {
        let password = format!("places measured orders as {number}");
        Credentials::new(format!("buyer{number}@bench.example"), password)
    });
    let mut tokens = Vec::new();
    for customer in client.log_in_all(customers).await? {
        tokens.push(customer.token().await);
    }
    let (warm_up, measured) = (
        Duration::from_secs(args.warm_up),
        Duration::from_secs(args.seconds),
    );
    if args.carts {
        let tokens = tokens.chunks(usize::from(ACCOUNTS_EACH));
        let tokens = tokens.map(<[String]>::to_vec).collect();
        let load = CartLoad { address, tokens, products };
        let report = tokio::task::spawn_blocking(move || load.run(&shop, warm_up, measured));
        let report = report.await.context("the measurement stopped")??;
        table::print(args.json, &report, || report.table())?;
        return Ok(table::exit(report.passed()));
    }
    let load = OrderLoad { address, tokens, products };
    let report = tokio::task::spawn_blocking(move || {
        let mut raw = Series::new()?;
        sync_raw(&args.dir, &mut raw)?;
        let outcome = load.run(shop, warm_up, measured)?;
        sync_raw(&args.dir, &mut raw)?;
        anyhow::Ok(OrdersReport::new(args.clients, &outcome, &raw))
    });
    let report = report.await.context("the measurement stopped")??;
    table::print(args.json, &report, || report.table())?;
    Ok(table::exit(report.passed()))
}

fn address(base: &Url) -> anyhow::Result<SocketAddr> {
    let host = base.host_str().context("--url names no host")?;
    let port = base.port_or_known_default().unwrap_or(80);
    let mut found = (host, port).to_socket_addrs()?;
    found.next().context("--url names no host that is known")
}

/// Makes sure that the products are there, and returns their ids.
async fn stock_up(
    client: &ShopClient,
    staff: &Credentials,
    count: u32,
) -> anyhow::Result<Vec<String>> {
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

    let progress = &PhaseProgress::count("finding products", u64::from(count));
    let found = stream::iter(0..count)
        .map(|number| async move {
            let sku = sku(number);
            let request = client.request(Method::GET, &["v1", "products", "by-sku", &sku]);
            let product: WithId = client
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

fn sync_raw(dir: &Path, raw: &mut Series) -> anyhow::Result<()> {
    let mut file = tempfile::tempfile_in(dir)
        .with_context(|| format!("cannot make a file in {}", dir.display()))?;
    raw.record_raw_syncs(&mut file, &[7; RAW_BYTES], RAW_LASTING)
}
