//! `konbini-bench orders`: latency, throughput and cost of placing orders.
//!
//! A run with one connection measures latency, a run with many measures throughput, and one
//! with a rate what customers wait while it comes. A raw append and `fdatasync` is measured
//! before and after in the same run, since every figure here is a multiple of it.
//! **Invariant:** a run in which an order was answered other than 201 never ends with exit
//! code 0.

mod carts;
mod report;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use self::carts::{ACCOUNTS_EACH, CartLoad};
use self::report::OrdersReport;
use crate::client::StaffLogin;
use crate::cost::Subject;
use crate::load::{self, Judgement, LoadOperation, LoadOptions, LoadPlan, LoadRequest, Requests};
use crate::series::Series;
use crate::shop::AccountTokens;
use crate::{shop, table};

/// Place one-line orders as fast as a running shop confirms them, or at a rate.
///
/// Customers and products are made unless an earlier run made them.
/// Run it on the shop's own host; its own processor time is reported beside the
/// shop's.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    access: StaffLogin,

    /// Connections, each with one order under way and a customer of its own.
    #[arg(long, visible_alias = "connections", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
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
    #[arg(long, conflicts_with_all = ["rate", "arrivals", "out"])]
    carts: bool,

    /// A folder on the disk that holds the shop's data, for the raw syncs.
    #[arg(long, default_value = ".")]
    dir: PathBuf,

    /// A process of the shop whose use of the processor counts; give all of them.
    /// By default they are found by the shop's address.
    #[arg(long)]
    pid: Vec<u32>,

    #[command(flatten)]
    load: LoadOptions,

    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (client, staff) = args.access.open().await?;
    let subject = Subject::of(client.base(), &args.pid);
    let products = shop::stock_up(&client, &staff, args.products).await?;
    let accounts_each = if args.carts { ACCOUNTS_EACH } else { 1 };
    let accounts = usize::from(args.clients * accounts_each);
    let tokens = shop::customers(&client, "bench", accounts).await?;
    let plan = LoadPlan {
        target: args.load.send.target(client.base())?,
        arrivals: args.load.arrivals()?,
        workers: args.clients.into(),
        warm_up: Duration::from_secs(args.warm_up),
        measured: Some(Duration::from_secs(args.seconds)),
        late_max: Some(load::LATE_MAX),
        subject,
        settle: Duration::ZERO,
    };
    if args.carts {
        let report = CartLoad::new(tokens, products)?.run(plan).await?;
        table::print(args.json, &report, || report.table())?;
        return Ok(table::exit(report.passed()));
    }
    let raw = Series::new()?.with_raw_syncs(args.dir.clone()).await?;
    let (_, measured) = plan
        .clone()
        .run(OrderRequests::new(tokens, products, u64::MAX))
        .await?;
    let raw = raw.with_raw_syncs(args.dir).await?;
    let result = measured.result("orders", Some(raw.raw_syncs()));
    args.load.send.result.write(&[result])?;
    let report = OrdersReport::new(&plan, &measured, &raw);
    table::print(args.json, &report, || report.table())?;
    Ok(table::exit(report.passed()))
}

/// One-line orders of random products, each worker as a customer of its own.
pub(crate) struct OrderRequests {
    tokens: AccountTokens,
    products: Vec<String>,
    /// Makes this run's keys its own.
    run: u32,
    number: u64,
    /// How many there are.
    count: u64,
    rng: StdRng,
}

impl OrderRequests {
    /// So many orders, by as many customers as there are workers.
    pub(crate) fn new(tokens: AccountTokens, products: Vec<String>, count: u64) -> Self {
        let (run, rng) = (rand::random(), StdRng::seed_from_u64(1));
        Self { tokens, products, run, number: 0, count, rng }
    }
}

impl Requests for OrderRequests {
    fn kinds(&self) -> Vec<String> {
        vec!["order".to_owned()]
    }

    fn next(&mut self, worker: usize, request: &mut LoadRequest) -> Option<usize> {
        if self.number == self.count {
            return None;
        }
        let product = &self.products[self.rng.random_range(0..self.products.len())];
        request.order(&self.tokens.get(worker), &[(product, 1)]);
        let (run, number) = (self.run, self.number);
        let key = write!(request.fields, "idempotency-key: {run:08x}-{number}\r\n");
        key.expect("a String takes any text");
        self.number += 1;
        Some(0)
    }

    fn judge(&mut self, operation: &LoadOperation<'_>) -> Judgement {
        Judgement::of(operation.status() == 201)
    }
}
