//! `konbini-bench against`: two binaries measured in turns, until their ratio is known.
//!
//! A host's speed drifts by more than most changes bring, so the two are measured right
//! after one another, the order changing with every pair (ABBA), and compared in pairs.
//! Each has a shop of its own for the whole sitting. **Invariant:** it stops by the width of
//! an interval, never by its place, which would favour the result that one hopes for.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::Serialize;

use crate::compare;
use crate::comparison::{ComparedFigure, ComparisonRow, Sitting};
use crate::hardware::{HardwareArgs, OwnShopArgs};
use crate::hosted::HostedShop;
use crate::progress::PhaseProgress;
use crate::result::RunResult;
use crate::table::{self, ReportTable};

/// Fewer pairs do not show how much a ratio varies.
const PAIRS_MIN: usize = 4;

/// Measure two binaries in turns with one scenario, and compare them.
///
/// For example `konbini-bench against --before old/konbini --after target/release/konbini
/// --out sitting.json orders --clients 64 --seconds 5`. Every scenario that takes --url and
/// --out can be measured; both shops have the demo catalogue.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The konbini to compare with.
    #[arg(long)]
    before: PathBuf,

    /// The konbini that is compared; the one beside this program if not given.
    #[arg(long)]
    after: Option<PathBuf>,

    /// Stop once the main figure's interval is so narrow to both sides, in per cent.
    #[arg(long, default_value = "2%", value_parser = per_cent)]
    within: f64,

    #[command(flatten)]
    hardware: HardwareArgs,

    /// The main figure; the throughput of a closed loop and the p50 of an open one if not
    /// given.
    #[arg(long, value_enum)]
    figure: Option<ComparedFigure>,

    /// Stop after so many pairs in any case.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(4..=1000))]
    pairs: u16,

    /// Stop after so many minutes in any case.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,

    /// Write all runs to this file, for `report` and for `compare` with its thresholds.
    #[arg(long)]
    out: Option<PathBuf>,

    /// Print the ratios as JSON.
    #[arg(long)]
    json: bool,

    /// The scenario and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    scenario: Vec<String>,
}

/// When a sitting ends.
struct SittingBounds {
    within: f64,
    figure: Option<ComparedFigure>,
    pairs: usize,
    until: Instant,
}

/// One of the two binaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

#[derive(Serialize)]
struct SittingReport {
    pairs: usize,
    main_figure: ComparedFigure,
    /// How far the main figure's interval reaches to both sides.
    uncertainty: Option<f64>,
    rows: Vec<ComparisonRow>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let own_shop = |binary| OwnShopArgs { binary, hardware: args.hardware };
    let mut before = HostedShop::open(&own_shop(Some(args.before))).await?;
    let mut after = HostedShop::open(&own_shop(args.after)).await?;
    let bounds = SittingBounds {
        within: args.within,
        figure: args.figure,
        pairs: args.pairs.into(),
        until: Instant::now() + Duration::from_secs(60 * args.minutes),
    };
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("result.json");
    let sitting = measure(&bounds, async |side| {
        let shop = match side {
            Side::Before => &mut before,
            Side::After => &mut after,
        };
        let mut finished = shop.run(&args.scenario, &file).await?;
        let runs = finished.runs.len();
        ensure!(
            runs == 1,
            "`{}` wrote {runs} results and not one\n{}",
            args.scenario.join(" "),
            finished.last_lines()
        );
        finished.runs.pop().context("one run")
    });
    let sitting = sitting.await?;
    if let Some(file) = &args.out {
        sitting.write(file)?;
    }
    let report = bounds.report(&sitting)?;
    table::print(args.json, &report, || report.table(args.within))?;
    Ok(ExitCode::SUCCESS)
}

/// Measures pairs until the bounds are reached.
async fn measure(
    bounds: &SittingBounds,
    mut run: impl AsyncFnMut(Side) -> anyhow::Result<RunResult>,
) -> anyhow::Result<Sitting> {
    let mut sitting = Sitting::new(Vec::new(), Vec::new());
    let progress = PhaseProgress::count("measuring pairs", bounds.pairs as u64);
    for pair in 0..bounds.pairs {
        let mut order = [Side::Before, Side::After];
        if pair % 2 == 1 {
            order.reverse();
        }
        for side in order {
            let measured = run(side).await?;
            match side {
                Side::Before => sitting.before.push(measured),
                Side::After => sitting.after.push(measured),
            }
        }
        let report = bounds.report(&sitting)?;
        progress.step();
        if let Some(uncertainty) = report.uncertainty {
            progress.note(format!("± {:.1} %", uncertainty * 100.0));
        }
        let is_narrow = report
            .uncertainty
            .is_some_and(|width| width <= bounds.within);
        let is_over = is_narrow || Instant::now() >= bounds.until;
        if pair + 1 >= PAIRS_MIN && is_over {
            break;
        }
    }
    progress.finish();
    Ok(sitting)
}

impl SittingBounds {
    fn report(&self, sitting: &Sitting) -> anyhow::Result<SittingReport> {
        let rows = sitting.compare()?;
        let loads = sitting.before.iter().flat_map(|run| &run.loads);
        let main_figure = self.figure.unwrap_or_else(|| {
            let mut loads = loads;
            let is_closed = loads.all(|load| load.arrivals.starts_with("closed"));
            if is_closed {
                ComparedFigure::Throughput
            } else {
                ComparedFigure::P50
            }
        });
        let of_figure = rows.iter().filter(|row| row.figure == main_figure);
        let mut widths = of_figure.map(|row| row.ratio.uncertainty()).peekable();
        ensure!(
            widths.peek().is_some(),
            "the scenario does not measure the main figure, {}",
            main_figure.title()
        );
        // Every kind of operation must be known so well.
        let widths: Option<Vec<f64>> = widths.collect();
        let uncertainty = widths.map(|widths| widths.into_iter().fold(0.0, f64::max));
        let pairs = sitting.before.len();
        Ok(SittingReport { pairs, main_figure, uncertainty, rows })
    }
}

impl SittingReport {
    fn table(&self, within: f64) -> ReportTable {
        let mut table = compare::comparison_table(&self.rows);
        let (figure, pairs) = (self.main_figure.title(), self.pairs);
        let Some(uncertainty) = self.uncertainty else {
            return table;
        };
        let reach = format!(
            "{figure} ± {:.1} % after {pairs} pairs",
            uncertainty * 100.0
        );
        table.section("Interval");
        table.verdict(
            uncertainty <= within,
            &format!("{reach}, at most {:.1} % wanted", within * 100.0),
        );
        table
    }
}

/// Reads a share such as `2%` or `0.5`, both in per cent.
fn per_cent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    let share = number.parse::<f64>().map_err(|error| error.to_string())? / 100.0;
    let is_share = (0.0001..=1.0).contains(&share);
    let fault = || "give per cent from 0.01 to 100".to_owned();
    is_share.then_some(share).ok_or_else(fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::tests::scaled;

    fn bounds(within: f64, pairs: usize) -> SittingBounds {
        let until = Instant::now() + Duration::from_secs(3_600);
        SittingBounds { within, figure: None, pairs, until }
    }

    /// A sitting in which the second binary is faster by a tenth, each run a little off.
    async fn sitting(bounds: &SittingBounds) -> (Sitting, Vec<Side>) {
        let mut order = Vec::new();
        let measured = measure(bounds, async |side| {
            order.push(side);
            let off = [0.97, 1.02, 1.0, 0.99, 1.01][order.len() % 5];
            Ok(scaled(if side == Side::After { 1.1 * off } else { off }))
        });
        let sitting = measured.await.unwrap();
        (sitting, order)
    }

    #[tokio::test]
    async fn pairs_change_their_order_and_end_with_a_narrow_interval() {
        let bounds = bounds(0.05, 100);
        let (sitting, order) = sitting(&bounds).await;
        let abba = [Side::Before, Side::After, Side::After, Side::Before];
        assert!(order.iter().zip(abba.iter().cycle()).all(|(a, b)| a == b));
        let report = bounds.report(&sitting).unwrap();
        assert!((PAIRS_MIN..100).contains(&report.pairs), "{}", report.pairs);
        assert!(report.uncertainty.unwrap() <= 0.05);
        let throughput = report
            .rows
            .iter()
            .find(|row| row.figure == ComparedFigure::Throughput);
        let interval = throughput.unwrap().ratio.interval.unwrap();
        assert!((interval.low..interval.high).contains(&1.1), "{interval:?}");
    }

    #[tokio::test]
    async fn bounds_end_a_sitting_whose_interval_stays_wide() {
        let (by_pairs, _) = sitting(&bounds(0.0001, 7)).await;
        assert_eq!(by_pairs.before.len(), 7);
        let until = Instant::now();
        let (by_time, _) = sitting(&SittingBounds { until, ..bounds(0.0001, 7) }).await;
        assert_eq!(by_time.before.len(), PAIRS_MIN);
    }

    #[test]
    fn shares_are_per_cent() {
        assert_eq!(per_cent("2%"), Ok(0.02));
        assert_eq!(per_cent("0.5"), Ok(0.005));
        assert!(per_cent("0").is_err());
        assert!(per_cent("x%").is_err());
    }
}
