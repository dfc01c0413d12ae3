//! `konbini-bench compare`: the ratios of two result files, and the thresholds they must
//! keep.
//!
//! A threshold is broken only by an interval that lies beyond it as a whole, so that noise
//! alone fails no run; a ratio without an interval is taken as it is. **Invariant:** a
//! threshold on a figure that was not measured is broken.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use owo_colors::OwoColorize;
use serde::{Deserialize, Serialize};

use crate::comparison::{self, Change, ComparedFigure, ComparisonRow, Sitting};
use crate::result::{self, RunResult};
use crate::table::{self, ReportTable};

/// Compare two result files, or the two sides of a file that `against` wrote.
///
/// Ratios are the second in multiples of the first, with intervals that hold the true ratio
/// in 95 of 100 comparisons. Runs that were measured apart differ by what the host did
/// meanwhile, too: `konbini-bench against` measures two binaries in turns.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A result file that a scenario wrote with --out, or the only one, of `against`.
    before: PathBuf,

    /// The result file to compare it with.
    after: Option<PathBuf>,

    /// A TOML file of the ratios to keep, such as `[p99]` with `at_most = 1.1`; one that is
    /// broken makes the exit code 1.
    #[arg(long)]
    thresholds: Option<PathBuf>,

    /// Print the ratios as JSON.
    #[arg(long)]
    json: bool,
}

/// The ratios that a figure of every kind of operation may have.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Threshold {
    at_most: Option<f64>,
    at_least: Option<f64>,
}

type Thresholds = BTreeMap<ComparedFigure, Threshold>;

#[derive(Serialize)]
struct ComparisonReport<'a> {
    rows: &'a [ComparisonRow],
    /// Broken thresholds, as sentences.
    broken: &'a [String],
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let thresholds = args
        .thresholds
        .as_deref()
        .map(read_thresholds)
        .transpose()?;
    let rows = match (&args.after, Sitting::read(&args.before)?) {
        (None, Some(sitting)) => sitting.compare()?,
        (Some(after), None) => {
            let (before, after) = (result::read(&args.before)?, result::read(after)?);
            let hardware = |runs: &[RunResult]| runs.first().and_then(|run| run.hardware.clone());
            if hardware(&before) != hardware(&after) {
                anstream::eprintln!("note: the two files were measured on different hardware");
            }
            comparison::compare_apart(&before, &after)?
        }
        (None, None) => bail!(
            "{} has one side only; name the file to compare it with",
            args.before.display()
        ),
        (Some(_), Some(_)) => bail!(
            "{} has both sides already; give it alone",
            args.before.display()
        ),
    };
    let broken = broken(&rows, &thresholds.clone().unwrap_or_default());
    table::print(
        args.json,
        &ComparisonReport { rows: &rows, broken: &broken },
        || {
            let mut table = comparison_table(&rows);
            if let Some(thresholds) = &thresholds {
                table.section("Thresholds");
                for sentence in &broken {
                    table.broken(sentence);
                }
                if broken.is_empty() {
                    table.kept(&format!("{} thresholds kept", thresholds.len()));
                }
            }
            table
        },
    )?;
    Ok(table::exit(broken.is_empty()))
}

fn read_thresholds(path: &Path) -> anyhow::Result<Thresholds> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let thresholds: Thresholds =
        toml::from_str(&text).with_context(|| format!("{shown} has a fault"))?;
    ensure!(!thresholds.is_empty(), "{shown} has no threshold");
    for (figure, threshold) in &thresholds {
        ensure!(
            threshold.at_most.is_some() || threshold.at_least.is_some(),
            "{shown}: [{}] needs at_most or at_least",
            figure.title()
        );
    }
    Ok(thresholds)
}

/// A sentence for each threshold that is broken.
fn broken(rows: &[ComparisonRow], thresholds: &Thresholds) -> Vec<String> {
    let mut broken = Vec::new();
    for (figure, threshold) in thresholds {
        let mut of_figure = rows.iter().filter(|row| row.figure == *figure).peekable();
        if of_figure.peek().is_none() {
            broken.push(format!("{} was not measured on both sides", figure.title()));
        }
        for row in of_figure {
            let ratio = row.ratio;
            let (low, high) = ratio
                .interval
                .map_or((ratio.value, ratio.value), |ends| (ends.low, ends.high));
            let beyond = |bound: &str, limit: f64| {
                let (title, shown) = (row.title(), ratio_shown(row));
                format!("{title}: {shown}, {bound} {limit} allowed")
            };
            match *threshold {
                Threshold { at_most: Some(most), .. } if low > most => {
                    broken.push(beyond("at most", most));
                }
                Threshold { at_least: Some(least), .. } if high < least => {
                    broken.push(beyond("at least", least));
                }
                _ => {}
            }
        }
    }
    broken
}

/// The ratios, one a line.
pub(crate) fn comparison_table(rows: &[ComparisonRow]) -> ReportTable {
    let width = rows.iter().map(|row| row.title().chars().count()).max();
    let width = width.unwrap_or_default();
    let mut table = ReportTable::default();
    let (before, after) = ("before", "after");
    table.section(&format!(
        "  {:width$}{before:>12}{after:>12}  ratio and 95 % interval",
        ""
    ));
    for row in rows {
        let values = [row.before, row.after].map(|value| row.figure.shown(value));
        let ratio = ratio_shown(row);
        let ratio = match row.change() {
            Change::Better => format!("{} {ratio}", "✓".green()),
            Change::Worse => format!("{} {}", "✗".red().bold(), ratio.red()),
            Change::Undecided => format!("  {ratio}"),
        };
        let (title, [before, after]) = (row.title(), values);
        table.line(format_args!(
            "{title:width$}{before:>12}{after:>12}  {ratio}"
        ));
    }
    table
}

/// A ratio with its interval.
pub(crate) fn ratio_shown(row: &ComparisonRow) -> String {
    let value = row.ratio.value;
    match row.ratio.interval {
        Some(ends) => format!("{value:.3} ({:.3} to {:.3})", ends.low, ends.high),
        None => format!("{value:.3} (interval unknown)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::tests::scaled;

    /// The exit code of a comparison with these thresholds.
    fn code(thresholds: &str, before: f64, after: f64) -> anyhow::Result<ExitCode> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        result::write(&path("before"), &[scaled(before)])?;
        result::write(&path("after"), &[scaled(after)])?;
        std::fs::write(path("thresholds"), thresholds)?;
        run(&Args {
            before: path("before"),
            after: Some(path("after")),
            thresholds: Some(path("thresholds")),
            json: true,
        })
    }

    #[test]
    fn thresholds_decide_the_exit_code() {
        for (thresholds, after, expected) in [
            // The ratio of p99 is 1 divided by that of the throughput.
            ("[p99]\nat_most = 1.1", 1.0, ExitCode::SUCCESS),
            ("[p99]\nat_most = 1.1", 0.8, ExitCode::FAILURE),
            ("[throughput]\nat_least = 0.9", 0.95, ExitCode::SUCCESS),
            ("[throughput]\nat_least = 0.9", 0.8, ExitCode::FAILURE),
            // Above the bound, but not the interval as a whole.
            ("[p50]\nat_most = 1.0", 0.999, ExitCode::SUCCESS),
            ("[syncs]\nat_most = 1.0", 0.99, ExitCode::FAILURE),
            ("[written]\nat_most = 9.0", 1.0, ExitCode::FAILURE),
        ] {
            let code = code(thresholds, 1.0, after).unwrap();
            assert_eq!(code, expected, "{thresholds} {after}");
        }
    }

    #[test]
    fn faults_of_a_threshold_file_are_named() {
        for (thresholds, fault) in [
            ("", "has no threshold"),
            ("[p99]", "[p99] needs at_most or at_least"),
            ("[p98]\nat_most = 1.0", "unknown variant `p98`"),
            ("[p99]\nmost = 1.0", "unknown field `most`"),
        ] {
            let error = format!("{:#}", code(thresholds, 1.0, 1.0).unwrap_err());
            assert!(error.contains(fault), "{thresholds}: {error}");
        }
    }
}
