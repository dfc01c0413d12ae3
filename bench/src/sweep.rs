//! `konbini-bench sweep`: a mix of operations at one value after another, up to the knee.
//!
//! The knee is the first rate that the shop no longer keeps up with: less of it is answered
//! within the time than [`KEPT_UP`], or the p99 of the response time is above [`KNEE_TIMES`]
//! times that of the first rate and [`KNEE_US`].
//!
//! **Invariant:** every value is measured on its own, with a warm-up.

use std::process::ExitCode;

use anyhow::ensure;
use clap::ValueEnum;

use crate::load::{ArrivalKind, Arrivals};
use crate::mix_run::{MixArgs, MixPoint, MixSession};
use crate::result::{RunResult, SweptValue};
use crate::table::{self, ReportTable};

/// The share of offered operations that a shop below its knee answers in the measured time.
const KEPT_UP: f64 = 0.95;
const KNEE_TIMES: f64 = 10.0;
const KNEE_US: f64 = 20_000.0;
/// From one rate to the next.
const STEP: f64 = 1.5;
const RATE_FIRST: f64 = 100.0;
/// 100 a second times [`STEP`] to this is above anything that a small host answers.
const POINTS_MAX: usize = 20;

/// Measure a mix at one value after another: rates up to the knee, connections, products or orders.
///
/// What is not swept is as for `run`. The result file is a list of runs, each with its value.
/// Exit code 1 when an operation failed below the knee.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What is swept.
    #[arg(long, value_enum, default_value_t = SweptDimension::Rate)]
    over: SweptDimension,

    /// The values, such as 100,200,400 [default: rates from 100 by half as much again up to
    /// the knee; 1, 4, 16, 64, 256 connections; 1,000, 10,000, 100,000 products
    /// or orders].
    #[arg(long, value_delimiter = ',')]
    values: Vec<f64>,

    #[command(flatten)]
    run: MixArgs,
}

/// What a sweep varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SweptDimension {
    /// Operations a second, by the clock.
    Rate,
    Connections,
    /// Products in the shop; they are never fewer than an earlier run made.
    Products,
    /// Orders that were placed for the sweep before the mix is sent.
    Orders,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { over, values, run } = args;
    let is_rate = over == SweptDimension::Rate;
    ensure!(
        !is_rate || run.load.rate.is_none(),
        "--rate is what is swept; name the rates with --values"
    );
    let session = MixSession::open(&run).await?;
    let values = if values.is_empty() { over.values() } else { values };
    let mut results: Vec<RunResult> = Vec::new();
    let (mut knee, mut orders) = (None, 0);
    for value in values {
        let point = over.point(session.point()?, value, run.load.arrivals)?;
        anstream::eprintln!("{} {value}", over.name());
        if point.orders > orders {
            session.fill_orders(point.orders - orders).await?;
            orders = point.orders;
        }
        let mut result = session.measure("sweep", point).await?;
        result.swept = Some(SweptValue { what: over.name().to_owned(), value });
        let first = results.first().unwrap_or(&result);
        let is_knee = is_rate && is_beyond_knee(&result, first, value);
        results.push(result);
        // What was measured is kept, whatever becomes of the rest.
        run.load.send.result.write(&results)?;
        if is_knee {
            knee = Some(value);
            break;
        }
    }
    let below = results.len() - usize::from(knee.is_some());
    let failed: u64 = results[..below].iter().map(failed).sum();
    table::print(run.json, &results, || report(&results, over, knee, failed))?;
    Ok(table::exit(failed == 0))
}

impl SweptDimension {
    fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Connections => "connections",
            Self::Products => "products",
            Self::Orders => "orders",
        }
    }

    fn values(self) -> Vec<f64> {
        match self {
            Self::Rate => {
                let rate = |step: usize| (RATE_FIRST * STEP.powi(step as i32)).round();
                (0..POINTS_MAX).map(rate).collect()
            }
            Self::Connections => vec![1.0, 4.0, 16.0, 64.0, 256.0],
            Self::Products | Self::Orders => vec![1e3, 1e4, 1e5],
        }
    }

    fn point(
        self,
        mut point: MixPoint,
        value: f64,
        arrivals: Option<ArrivalKind>,
    ) -> anyhow::Result<MixPoint> {
        let whole = |max: f64| {
            let fits = value.fract() == 0.0 && (1.0..=max).contains(&value);
            ensure!(fits, "{value} is no number of {} up to {max}", self.name());
            Ok(value)
        };
        match self {
            Self::Rate => point.arrivals = Arrivals::named(arrivals, Some(value))?,
            Self::Connections => point.connections = whole(1024.0)? as u16,
            Self::Products => point.products = whole(1e6)? as u32,
            Self::Orders => point.orders = whole(1e7)? as u64,
        }
        Ok(point)
    }
}

/// Whether a rate is more than the shop keeps up with.
fn is_beyond_knee(result: &RunResult, first: &RunResult, rate: f64) -> bool {
    let seconds = result.measured_seconds.max(f64::EPSILON);
    let whole = (result.measured_seconds as usize).max(1);
    let in_time = result
        .loads
        .iter()
        .flat_map(|load| load.seconds.iter().take(whole));
    let finished: u64 = in_time.map(|second| second.finished).sum();
    let is_behind = (finished as f64) < KEPT_UP * rate * seconds;
    is_behind || p99_us(result) > (KNEE_TIMES * p99_us(first)).max(KNEE_US)
}

/// The highest p99 of any kind of operation.
fn p99_us(result: &RunResult) -> f64 {
    let loads = result.loads.iter();
    loads.map(|load| load.response.p99_us).fold(0.0, f64::max)
}

fn failed(result: &RunResult) -> u64 {
    result.loads.iter().map(|load| load.failed).sum()
}

fn report(
    results: &[RunResult],
    over: SweptDimension,
    knee: Option<f64>,
    failed: u64,
) -> ReportTable {
    let mut table = ReportTable::default();
    table.section(&format!(
        "{:<12}{:>10}{:>12}{:>12}{:>12}{:>12}",
        over.name(),
        "ops/s",
        "p99 ms",
        "missed",
        "failed",
        "shop µs/op"
    ));
    for result in results {
        let operations = result.operations();
        let used: u64 = result.costs.iter().map(|cost| cost.processor_us).sum();
        let used = match result.costs.is_empty() {
            true => "unknown".to_owned(),
            false => format!("{:.0}", used as f64 / operations.max(1) as f64),
        };
        table.line(format_args!(
            "{:<10}{:>10.0}{:>12.2}{:>12}{:>12}{used:>12}",
            result.swept.as_ref().map_or(0.0, |swept| swept.value),
            operations as f64 / result.measured_seconds.max(f64::EPSILON),
            p99_us(result) / 1e3,
            result.client.missed_starts,
            self::failed(result),
        ));
    }
    table.section("Verdict");
    if let Some(knee) = knee {
        table.line(format_args!("the knee is below {knee} operations a second"));
    }
    let text = format!("{failed} operations failed below the knee");
    table.verdict(failed == 0, &text);
    table
}
