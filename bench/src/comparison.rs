//! The figures of runs before and after a change, as ratios with confidence intervals.
//!
//! How much a figure varies is taken from the best source there is: runs in pairs, where
//! two binaries were measured in turns ([`Sitting`]); several runs of each side; the seconds
//! of the one run of each side. A total of one run, such as its processor time, has a ratio
//! without an interval. **Invariant:** a figure that either side lacks is left out, never
//! taken as zero.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::result::{FORMAT, LoadResult, RunResult, Second};
use crate::statistics::{LogEstimate, Ratio};

/// Runs of two binaries in turns: the `n`th of each were measured one after the other.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sitting {
    /// [`FORMAT`].
    format: u32,
    pub(crate) before: Vec<RunResult>,
    pub(crate) after: Vec<RunResult>,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ComparedFigure {
    /// Operations a second that were answered as wanted.
    Throughput,
    /// The median response time.
    P50,
    /// The response time that 99 % stay within.
    P99,
    /// The response time that 99.9 % stay within.
    P999,
    /// Processor time of the shop an operation.
    Processor,
    /// Bytes that the shop hands to the disk an operation.
    Written,
    /// `fdatasync` calls of the shop an operation.
    Syncs,
}

/// The figures of one kind of operation.
const OF_LOADS: [ComparedFigure; 4] = [
    ComparedFigure::Throughput,
    ComparedFigure::P50,
    ComparedFigure::P99,
    ComparedFigure::P999,
];
/// The figures of the whole shop.
const OF_THE_SHOP: [ComparedFigure; 3] = [
    ComparedFigure::Processor,
    ComparedFigure::Written,
    ComparedFigure::Syncs,
];

/// One figure on both sides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ComparisonRow {
    pub(crate) figure: ComparedFigure,
    /// The kind of operation, and the value of a sweep that it was measured at; of the
    /// whole shop where it is empty.
    pub(crate) of: String,
    pub(crate) before: f64,
    pub(crate) after: f64,
    /// `after` in multiples of `before`.
    pub(crate) ratio: Ratio,
}

/// What an interval says of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Better,
    Worse,
    /// The interval holds 1, or there is none.
    Undecided,
}

impl Sitting {
    /// Runs in pairs.
    pub(crate) fn new(before: Vec<RunResult>, after: Vec<RunResult>) -> Self {
        Self { format: FORMAT, before, after }
    }

    /// Reads the file of a sitting; `None` if it is a file of runs.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Option<Self>> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
        let document: serde_json::Value =
            serde_json::from_str(&text).with_context(|| format!("{shown} is no JSON"))?;
        if document.get("before").is_none() {
            return Ok(None);
        }
        let sitting: Self = serde_json::from_value(document)
            .with_context(|| format!("{shown} is not a result file"))?;
        ensure!(
            sitting.format == FORMAT && sitting.before.len() == sitting.after.len(),
            "{shown} is not a result file of format {FORMAT}; measure again with this program"
        );
        Ok(Some(sitting))
    }

    /// Writes the file of a sitting.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string(self)? + "\n";
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The figures of both sides, compared in pairs.
    pub(crate) fn compare(&self) -> anyhow::Result<Vec<ComparisonRow>> {
        compare(&self.before, &self.after, |before, after| {
            let ratio = Ratio::of_pairs(&before.values(), &after.values())?;
            let before = LogEstimate::of_rounds(&before.values())?;
            Some((before.figure(), before.figure() * ratio.value, ratio))
        })
    }
}

/// The figures of runs that were measured apart.
pub(crate) fn compare_apart(
    before: &[RunResult],
    after: &[RunResult],
) -> anyhow::Result<Vec<ComparisonRow>> {
    compare(before, after, |before, after| {
        let (before, after) = (before.estimate()?, after.estimate()?);
        Some((before.figure(), after.figure(), after.ratio_to(before)))
    })
}

/// A figure of every run of one side.
struct SideFigure(Vec<RunFigure>);

/// A figure of one run, and of each of its seconds where those are known.
struct RunFigure {
    value: f64,
    seconds: Vec<f64>,
}

impl SideFigure {
    fn values(&self) -> Vec<f64> {
        self.0.iter().map(|run| run.value).collect()
    }

    fn estimate(&self) -> Option<LogEstimate> {
        match &self.0[..] {
            [run] => LogEstimate::of_series(run.value, &run.seconds),
            _ => LogEstimate::of_rounds(&self.values()),
        }
    }
}

/// The value on either side and their ratio.
type Compared = (f64, f64, Ratio);

fn compare(
    before: &[RunResult],
    after: &[RunResult],
    how: impl Fn(&SideFigure, &SideFigure) -> Option<Compared>,
) -> anyhow::Result<Vec<ComparisonRow>> {
    let of_scenario = |run: &RunResult| run.scenario.clone();
    let mut scenarios: Vec<_> = before.iter().chain(after).map(of_scenario).collect();
    scenarios.sort_unstable();
    scenarios.dedup();
    ensure!(
        scenarios.len() == 1,
        "only runs of one scenario can be compared, and these are of {}",
        scenarios.join(", ")
    );
    let (before, after) = (figures(before), figures(after));
    let mut rows = Vec::new();
    for (place @ (_, of, figure), before) in &before {
        let Some(after) = after.get(place) else {
            continue;
        };
        if let Some((before, after, ratio)) = how(before, after) {
            let (figure, of) = (*figure, of.clone());
            rows.push(ComparisonRow { figure, of, before, after, ratio });
        }
    }
    ensure!(!rows.is_empty(), "the runs have no figure in common");
    Ok(rows)
}

/// Whether a figure is of the whole shop, what it is of, and which it is: the order of rows.
type RowPlace = (bool, String, ComparedFigure);

/// Every figure of the runs of a side.
fn figures(runs: &[RunResult]) -> BTreeMap<RowPlace, SideFigure> {
    let mut found: BTreeMap<_, SideFigure> = BTreeMap::new();
    let mut add = |of: &str, figure, value: Option<RunFigure>| {
        if let Some(value) = value {
            let is_of_shop = OF_THE_SHOP.contains(&figure);
            let side = found.entry((is_of_shop, of.to_owned(), figure));
            side.or_insert_with(|| SideFigure(Vec::new())).0.push(value);
        }
    };
    for run in runs {
        let at = run.swept.as_ref();
        let at = at.map_or(String::new(), |swept| {
            format!(" at {} {}", swept.what, swept.value)
        });
        for load in &run.loads {
            for figure in OF_LOADS {
                let of = format!("{}{at}", load.kind);
                add(&of, figure, figure.of_load(load, run.measured_seconds));
            }
        }
        for figure in OF_THE_SHOP {
            add(at.trim_start(), figure, figure.of_shop(run));
        }
    }
    found
}

impl ComparedFigure {
    fn of_load(self, load: &LoadResult, measured_seconds: f64) -> Option<RunFigure> {
        let response = &load.response;
        let value = match self {
            Self::Throughput => {
                load.operations.saturating_sub(load.failed) as f64 / measured_seconds
            }
            Self::P50 => response.p50_us,
            Self::P99 => response.p99_us,
            Self::P999 => response.p999_us,
            Self::Processor | Self::Written | Self::Syncs => return None,
        };
        let of_second = |second: &Second| match self {
            Self::Throughput => Some(second.finished as f64),
            Self::P50 => second.p50_us,
            Self::P99 => second.p99_us,
            // A second has too few operations for its own p99.9; its maximum varies more.
            _ => second.max_us,
        };
        // The last second may be a part of one.
        let whole = load
            .seconds
            .iter()
            .filter(|second| f64::from(second.second) + 1.0 <= measured_seconds);
        let seconds = whole.filter_map(of_second).collect();
        Some(RunFigure { value, seconds })
    }

    /// `None` where the figure of any process is unknown.
    fn of_shop(self, run: &RunResult) -> Option<RunFigure> {
        let operations = run.operations();
        let costs = run.costs.iter().map(|cost| match self {
            Self::Processor => cost.processor_us_each(operations),
            Self::Written => cost.written_bytes_each(operations),
            _ => cost.syncs_each(operations),
        });
        let value = costs.sum::<Option<f64>>()?;
        Some(RunFigure { value, seconds: Vec::new() })
    }

    /// Whether more of it is better.
    fn improves_upwards(self) -> bool {
        self == Self::Throughput
    }

    /// A value of it for people.
    pub(crate) fn shown(self, value: f64) -> String {
        match self {
            Self::Throughput => format!("{value:.0}/s"),
            Self::P50 | Self::P99 | Self::P999 if value >= 1_000.0 => {
                format!("{:.2} ms", value / 1_000.0)
            }
            Self::P50 | Self::P99 | Self::P999 => format!("{value:.0} µs"),
            Self::Processor => format!("{value:.1} µs"),
            Self::Written => format!("{:.2} KiB", value / 1_024.0),
            Self::Syncs => format!("{value:.3}"),
        }
    }

    /// Its name in a table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Throughput => "throughput",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
            Self::Processor => "processor time each",
            Self::Written => "written each",
            Self::Syncs => "fdatasync each",
        }
    }
}

impl ComparisonRow {
    /// What was compared, for a table.
    pub(crate) fn title(&self) -> String {
        let title = format!("{} {}", self.of, self.figure.title());
        title.trim_start().to_owned()
    }

    /// Whether the interval leaves 1 on one side.
    pub(crate) fn change(&self) -> Change {
        match self.ratio.interval {
            Some(interval) if interval.low > 1.0 => self.change_upwards(),
            Some(interval) if interval.high < 1.0 => match self.change_upwards() {
                Change::Better => Change::Worse,
                _ => Change::Better,
            },
            _ => Change::Undecided,
        }
    }

    fn change_upwards(&self) -> Change {
        if self.figure.improves_upwards() {
            Change::Better
        } else {
            Change::Worse
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::result::tests::sample;
    use crate::series::Series;

    /// A run whose seconds and totals are `scale` times those of another.
    pub(crate) fn scaled(scale: f64) -> RunResult {
        let mut run = sample();
        run.measured_seconds = 6.0;
        let mut latencies = Series::new().unwrap();
        for share in (0..20_000).map(|number| f64::from(number) / 20_000.0) {
            let ms = (1.0 - (1.0 - share).ln()) / scale;
            latencies.record_lasting(Duration::from_secs_f64(ms / 1e3));
        }
        let load = &mut run.loads[0];
        load.response = latencies.latency().unwrap();
        let wave = [1.0, 1.02, 0.98, 1.01, 0.99, 1.0];
        load.operations = (6_000.0 * scale) as u64;
        load.failed = 0;
        load.seconds = (0..6)
            .map(|second| {
                let finished = (1_000.0 * scale * wave[second as usize]) as u64;
                let us = |p: f64| Some(p * wave[second as usize] / scale);
                let (p50_us, p99_us, max_us) = (us(1_000.0), us(4_000.0), us(9_000.0));
                let started = finished;
                Second { second, started, finished, missed: 0, p50_us, p99_us, max_us }
            })
            .collect();
        for (quantile, us) in [
            (&mut load.response.p50_us, 1_000.0),
            (&mut load.response.p99_us, 4_000.0),
            (&mut load.response.p999_us, 9_000.0),
        ] {
            *quantile = us / scale;
        }
        run.costs[0].processor_us = 2_000_000;
        run
    }

    fn row<'a>(rows: &'a [ComparisonRow], title: &str) -> &'a ComparisonRow {
        let found = rows.iter().find(|row| row.title() == title);
        found.unwrap_or_else(|| panic!("no {title} in {rows:?}"))
    }

    #[test]
    fn runs_measured_apart_are_compared_by_their_seconds() {
        let (slow, fast) = ([scaled(1.0)], [scaled(1.25)]);
        let rows = compare_apart(&slow, &fast).unwrap();
        for (title, ratio, change) in [
            ("order throughput", 1.25, Change::Better),
            ("order p50", 0.8, Change::Better),
            ("order p99", 0.8, Change::Better),
            ("order p99.9", 0.8, Change::Better),
            ("processor time each", 0.8, Change::Undecided),
            ("fdatasync each", 0.8, Change::Undecided),
        ] {
            let row = row(&rows, title);
            assert!((row.ratio.value - ratio).abs() < 1e-3, "{row:?}");
            assert_eq!(row.change(), change, "{row:?}");
        }
        assert_eq!(rows.len(), 6, "bytes written are unknown: {rows:?}");
        let worse = compare_apart(&fast, &slow).unwrap();
        assert_eq!(row(&worse, "order throughput").change(), Change::Worse);
        assert_eq!(row(&worse, "order p99").change(), Change::Worse);
    }

    #[test]
    fn runs_in_turns_are_compared_in_pairs() {
        // The host gets slower by half; the ratio of each pair does not move.
        let hosts = [1.0, 0.9, 0.7, 0.5];
        let before = hosts.map(scaled).to_vec();
        let after = hosts.map(|host| scaled(host * 1.1)).to_vec();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sitting.json");
        Sitting::new(before, after).write(&path).unwrap();
        let rows = Sitting::read(&path).unwrap().unwrap().compare().unwrap();
        let throughput = row(&rows, "order throughput");
        assert!(
            (throughput.ratio.value - 1.1).abs() < 1e-3,
            "{throughput:?}"
        );
        assert!(throughput.ratio.uncertainty().unwrap() < 0.01);
        assert_eq!(row(&rows, "processor time each").change(), Change::Better);
    }

    #[test]
    fn different_scenarios_are_not_compared() {
        let other = RunResult { scenario: "search".to_owned(), ..sample() };
        let error = Sitting::new(vec![sample()], vec![other]).compare();
        assert!(error.unwrap_err().to_string().contains("orders, search"));
    }
}
