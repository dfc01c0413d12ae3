//! `konbini-bench rolling`: every service of a shop restarted in turn, as an
//! upgrade does it, while people use the shop at a steady rate.
//!
//! The shop is five processes; the gateway's socket is held here, as systemd holds
//! it. Requests come by the clock, not when the one before is answered, and none is
//! ever tried again here. **Invariant:** a run in which anything but a success or a
//! 503 was answered never ends with exit code 0, and leaves the shop's data and logs
//! behind.

mod load;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::HumanCount;
use serde::Serialize;
use testkit::shop::{Form, SERVICES, Shop};

use self::load::{ResponseCounts, SteadyCounts, SteadyLoad, workers};
use crate::client::ShopClient;
use crate::hardware::OwnShopArgs;
use crate::load::{Arrivals, LoadPlan, LoadTarget, ResultOptions};
use crate::progress::PhaseProgress;
use crate::table::{self, ReportTable};

const STAFF_EMAIL: &str = "staff@rolling.example";
const PASSWORD: &str = "a kettle and three lamps";

/// How long the shop is used before, between and after the restarts.
const STEADY: Duration = Duration::from_secs(2);

/// Restart every service in turn under a steady load, and count the responses.
///
/// Starts the real binary in a temporary folder as five processes, and sends
/// product reads, account reads and orders. Each service is ended by SIGTERM
/// and started again when it has. Exit code 1 when anything but a success or a 503
/// that says when to come back was answered.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Requests a second.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    rate: u32,

    /// How often every service is restarted.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    #[command(flatten)]
    own_shop: OwnShopArgs,

    #[command(flatten)]
    result: ResultOptions,

    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// What happened while one service was restarted, and a little after.
#[derive(Serialize)]
struct Restart {
    service: &'static str,
    /// From SIGTERM until its process was gone.
    ended_ms: u128,
    /// From its start until the whole shop was ready.
    ready_ms: u128,
    #[serde(flatten)]
    counts: ResponseCounts,
}

#[derive(Serialize)]
struct RollingReport {
    rate: u32,
    /// Before the first restart.
    steady: ResponseCounts,
    restarts: Vec<Restart>,
    faults: Vec<&'static str>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut shop = args.own_shop.shop()?;
    shop.hold_socket()?;
    shop.add_user(STAFF_EMAIL, "staff", PASSWORD)?;
    let outcome = roll(&mut shop, &args).await;
    let is_fine = outcome.as_ref().is_ok_and(RollingReport::passed);
    if !is_fine {
        let folder = shop.keep();
        anstream::eprintln!("the shop's data and logs are in {}", folder.display());
    }
    let report = outcome?;
    table::print(args.json, &report, || report.table())?;
    Ok(table::exit(is_fine))
}

async fn roll(shop: &mut Shop, args: &Args) -> anyhow::Result<RollingReport> {
    shop.open(Form::Run)?;
    shop.ready().await?;
    let client = ShopClient::new(shop.url("/"))?;
    let load = Arc::new(SteadyCounts::default());
    let people = SteadyLoad::prepare(&client, STAFF_EMAIL, PASSWORD, load.clone()).await?;
    let plan = LoadPlan {
        arrivals: Arrivals::Constant(args.rate.into()),
        ..LoadPlan::closed(LoadTarget::plain(shop.address()), workers(args.rate))
    };
    let people = tokio::spawn(plan.run(people));
    tokio::time::sleep(STEADY).await;
    let steady = load.take();
    let mut restarts = Vec::new();
    let progress =
        PhaseProgress::count("restarting", u64::from(args.rounds) * SERVICES.len() as u64);
    for _ in 0..args.rounds {
        for service in SERVICES {
            let stopping = Instant::now();
            shop.terminate(service).await?;
            let ended_ms = stopping.elapsed().as_millis();
            let begun = Instant::now();
            shop.start(service)?;
            shop.ready().await?;
            let ready_ms = begun.elapsed().as_millis();
            tokio::time::sleep(STEADY).await;
            let counts = load.take();
            restarts.push(Restart { service, ended_ms, ready_ms, counts });
            progress.step();
        }
    }
    progress.finish();
    load.close();
    let (_, measured) = people.await??;
    let mut result = measured.result("rolling", None);
    result.hardware = args.own_shop.hardware.described(shop);
    args.result.write(&[result])?;
    shop.check()?;
    // A request without an answer by then is in no restart's counts.
    let mut steady = steady;
    steady.add(load.take());
    Ok(RollingReport { rate: args.rate, steady, restarts, faults: shop.panicked() })
}

impl RollingReport {
    fn all_counts(&self) -> impl Iterator<Item = &ResponseCounts> {
        let restarts = self.restarts.iter().map(|restart| &restart.counts);
        std::iter::once(&self.steady).chain(restarts)
    }

    fn passed(&self) -> bool {
        self.faults.is_empty() && self.all_counts().all(|counts| counts.failed == 0)
    }

    fn table(&self) -> ReportTable {
        let mut table = ReportTable::default();
        let rate = format!("Between restarts, {} requests a second", self.rate);
        table.section(&rate);
        self.steady.rows(&mut table);
        for restart in &self.restarts {
            let Restart { service, ended_ms, ready_ms, counts } = restart;
            let title = format!("{service}: ended in {ended_ms} ms, ready after {ready_ms} ms");
            table.section(&title);
            counts.rows(&mut table);
        }
        let sum = |of: fn(&ResponseCounts) -> u64| self.all_counts().map(of).sum::<u64>();
        let (failed, again) = (sum(|counts| counts.failed), sum(|counts| counts.again));
        let all = sum(|counts| counts.answers.values().sum());
        table.section("Verdict");
        let text = format!(
            "{} of {} requests failed; {} had to retry",
            HumanCount(failed),
            HumanCount(all),
            HumanCount(again)
        );
        table.verdict(failed == 0, &text);
        for name in &self.faults {
            table.broken(&format!("{name} panicked"));
        }
        table
    }
}
