//! `konbini-bench run`: a mix of operations against a running shop.
//!
//! **Invariant:** a run in which an operation failed never ends with exit code 0.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::client::{Credentials, ShopClient, StaffLogin};
use crate::cost::Subject;
use crate::load::{self, Arrivals, LoadOptions, LoadPlan};
use crate::mix::{Mix, MixRequests};
use crate::orders::OrderRequests;
use crate::result::RunResult;
use crate::search::{self, TitleSample};
use crate::series::Series;
use crate::shop;
use crate::table::{self, ReportTable};

/// Orders a second, below what a shop allows its customers on 64 connections.
const FILLING_RATE: f64 = 2_000.0;
/// How long products may take into the index.
const INDEX_TIMEOUT: Duration = Duration::from_secs(30);
const INDEX_LOOK: Duration = Duration::from_millis(200);

/// Send a mix of operations, by shares, over products of unequal popularity.
///
/// Customers and products are made unless an earlier run made them. With --rate,
/// operations come by the clock, and a response time counts from the moment an
/// operation was due. Exit code 1 when one fails.
#[derive(clap::Args)]
pub(crate) struct MixArgs {
    /// The shares of the operations (bench/mixes/shop.toml shows how) [default: that one].
    mix: Option<PathBuf>,

    #[command(flatten)]
    access: StaffLogin,

    /// Connections, each with one operation under way and a customer of its own.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,

    /// How long to measure.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,

    /// How long to send operations before that.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(..=600))]
    warm_up: u64,

    /// A folder on the disk that holds the shop's data, for raw syncs before the run.
    #[arg(long)]
    dir: Option<PathBuf>,

    /// The shop's processes, all of them. By default they are found by its address.
    #[arg(long)]
    pid: Vec<u32>,

    #[command(flatten)]
    pub(crate) load: LoadOptions,

    /// Print the result as JSON: what --out writes.
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) async fn run(args: MixArgs) -> anyhow::Result<ExitCode> {
    let session = MixSession::open(&args).await?;
    let result = session.measure("run", session.point()?).await?;
    args.load.send.result.write(std::slice::from_ref(&result))?;
    let failed: u64 = result.loads.iter().map(|load| load.failed).sum();
    table::print(args.json, &result, || {
        let mut table = summary(&result);
        let text = format!("{failed} of {} operations failed", result.operations());
        table.section("Verdict").verdict(failed == 0, &text);
        table
    })?;
    Ok(table::exit(failed == 0))
}

/// A shop that mixes are sent to.
pub(crate) struct MixSession<'a> {
    args: &'a MixArgs,
    mix: Mix,
    client: ShopClient,
    staff: Credentials,
    subject: Subject,
}

/// What one run of a session differs in from others.
#[derive(Clone, Debug)]
pub(crate) struct MixPoint {
    pub(crate) arrivals: Arrivals,
    pub(crate) connections: u16,
    pub(crate) products: u32,
    /// Placed before, beside those that a mix places.
    pub(crate) orders: u64,
}

impl<'a> MixSession<'a> {
    pub(crate) async fn open(args: &'a MixArgs) -> anyhow::Result<Self> {
        let mix = Mix::read(args.mix.as_deref())?;
        let (client, staff) = args.access.open().await?;
        let subject = Subject::of(client.base(), &args.pid);
        Ok(Self { args, mix, client, staff, subject })
    }

    /// The point that the arguments name.
    pub(crate) fn point(&self) -> anyhow::Result<MixPoint> {
        Ok(MixPoint {
            arrivals: self.args.load.arrivals()?,
            connections: self.args.connections,
            products: self.mix.products,
            orders: 0,
        })
    }

    /// Places so many orders, which no figure counts.
    pub(crate) async fn fill_orders(&self, count: u64) -> anyhow::Result<()> {
        let Self { args, mix, client, .. } = self;
        let products = shop::stock_up(client, &self.staff, mix.products).await?;
        let customers = shop::customers(client, "bench", args.connections.into()).await?;
        let plan = LoadPlan {
            arrivals: Arrivals::Constant(FILLING_RATE),
            ..LoadPlan::closed(
                args.load.send.target(client.base())?,
                args.connections.into(),
            )
        };
        let orders = OrderRequests::new(customers, products, count);
        let (_, measured) = plan.run(orders).await?;
        measured.ensure_expected("an order")
    }

    /// Sends the mix at this point.
    pub(crate) async fn measure(
        &self,
        scenario: &str,
        point: MixPoint,
    ) -> anyhow::Result<RunResult> {
        let Self { args, mix, client, .. } = self;
        let products = shop::stock_up(client, &self.staff, point.products).await?;
        let samples = titles(client).await?;
        let customers = shop::customers(client, "bench", point.connections.into()).await?;
        let plan = LoadPlan {
            arrivals: point.arrivals,
            warm_up: Duration::from_secs(args.warm_up),
            measured: Some(Duration::from_secs(args.seconds)),
            late_max: Some(load::LATE_MAX),
            subject: self.subject.clone(),
            ..LoadPlan::closed(
                args.load.send.target(client.base())?,
                point.connections.into(),
            )
        };
        let raw = match &args.dir {
            Some(dir) => Some(
                Series::new()?
                    .with_raw_syncs(dir.clone())
                    .await?
                    .raw_syncs(),
            ),
            None => None,
        };
        let requests = MixRequests::new(mix, products, samples, customers);
        let (_, measured) = plan.run(requests).await?;
        if let Some(failure) = &measured.first_failure {
            anstream::eprintln!("an operation was answered {failure}");
        }
        Ok(measured.result(scenario, raw))
    }
}

/// The titles to search for, once the products are in the index.
async fn titles(client: &ShopClient) -> anyhow::Result<Vec<TitleSample>> {
    let deadline = Instant::now() + INDEX_TIMEOUT;
    loop {
        let samples = search::samples(client).await?;
        if !samples.is_empty() {
            return Ok(samples);
        }
        ensure!(
            Instant::now() < deadline,
            "the shop has no titles of two words"
        );
        tokio::time::sleep(INDEX_LOOK).await;
    }
}

/// A run as people read it: each kind of operation, and what all of them cost.
fn summary(result: &RunResult) -> ReportTable {
    let mut table = ReportTable::default();
    let seconds = result.measured_seconds;
    for load in &result.loads {
        let title = format!(
            "{}: {:.0}/s over {} connections, arrivals {}",
            load.kind,
            load.rate(seconds),
            load.connections,
            load.arrivals
        );
        table.section(&title);
        for (answer, &count) in &load.answers {
            table.count(answer, count);
        }
        load.response.quantiles().rows(&mut table);
        if load.arrivals != Arrivals::Closed.to_string() {
            let p99_ms = format!("{:.2}", load.service.p99_us / 1e3);
            table.row("p99 from the actual start, ms", p99_ms);
        }
    }
    let operations = result.operations();
    table.section("For each operation, of whatever kind");
    for cost in &result.costs {
        let figures = [
            cost.processor_us_each(operations)
                .map(|us| format!("{us:.0} µs of processor time")),
            cost.syncs_each(operations)
                .map(|syncs| format!("{syncs:.3} syncs")),
            cost.written_bytes_each(operations)
                .map(|bytes| format!("{bytes:.0} bytes written")),
            Some(format!("{} MiB resident", cost.resident_bytes_max >> 20)),
        ];
        let figures: Vec<String> = figures.into_iter().flatten().collect();
        table.line(format_args!("{}: {}", cost.name, figures.join(", ")));
    }
    if result.costs.is_empty() {
        table.line("the shop's processes were not found: name them with --pid");
    }
    if let Some(client_us) = result.client.processor_us {
        let each = client_us as f64 / operations.max(1) as f64;
        table.line(format_args!("this client: {each:.0} µs of processor time"));
    }
    let delay = result.client.start_delay.percentiles();
    table
        .count(
            "starts with every connection busy",
            result.client.missed_starts,
        )
        .count(
            "of them dropped, more than 10 s late",
            result.client.dropped_starts,
        )
        .line(format_args!(
            "from an intended start to the actual one: {delay}"
        ));
    table
}
