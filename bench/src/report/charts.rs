//! What is drawn of runs: percentile curves, latency over time, the knee of a sweep, and
//! the ratios of a comparison.

use anyhow::Context;
use hdrhistogram::Histogram;

use super::plot::{Axis, AxisScale, Chart, ChartLine, PointMarks};
use crate::comparison::{Change, ComparisonRow};
use crate::result::{Latency, LoadResult, RunResult, Second};

/// Up to the 99.99th percentile.
const CURVE_END: f64 = 1e4;
/// Points of a percentile curve in each factor of ten.
const CURVE_POINTS: f64 = 20.0;

/// Response times by percentile, of several loads of one kind.
pub(super) fn percentiles(
    title: String,
    named: &[(String, Histogram<u64>)],
) -> anyhow::Result<String> {
    let labels = [
        (1.0, "0 %"),
        (1e1, "90 %"),
        (1e2, "99 %"),
        (1e3, "99.9 %"),
        (CURVE_END, "99.99 %"),
    ];
    let labels = labels.map(|(value, label)| (value, label.to_owned()));
    let lines = named
        .iter()
        .enumerate()
        .map(|(colour, (name, nanos))| ChartLine {
            name: name.clone(),
            colour,
            marks: PointMarks::None,
            points: curve(nanos),
        });
    let chart = Chart {
        title,
        x: Axis {
            title: "percentile".to_owned(),
            scale: AxisScale::Labelled(1.0..CURVE_END, labels.to_vec()),
        },
        y: Axis {
            title: "response time, ms".to_owned(),
            scale: AxisScale::Logarithmic,
        },
        lines: lines.collect(),
        reference: None,
    };
    chart.svg()
}

/// The latencies in milliseconds over `1 / (1 - quantile)`, as far as operations reach.
fn curve(nanos: &Histogram<u64>) -> Vec<(f64, f64)> {
    let points = (0u32..)
        .map(|point| 10f64.powf(f64::from(point) / CURVE_POINTS))
        .take_while(|place| *place <= CURVE_END && *place <= (nanos.len() as f64).max(1.0));
    points
        .map(|place| {
            let nanos = nanos.value_at_quantile(1.0 - 1.0 / place);
            (place, nanos as f64 / 1e6)
        })
        .collect()
}

/// The histograms of several loads as one.
pub(super) fn merged<'a>(
    mut latencies: impl Iterator<Item = &'a Latency>,
) -> anyhow::Result<Histogram<u64>> {
    let first = latencies.next().context("no run to draw")?;
    let mut merged = first.histogram()?;
    for latency in latencies {
        merged
            .add(latency.histogram()?)
            .context("histograms of different bounds")?;
    }
    Ok(merged)
}

/// Response times of each second.
pub(super) fn over_time(title: String, load: &LoadResult) -> anyhow::Result<String> {
    type OfSecond = fn(&Second) -> Option<f64>;
    let figures: [(&str, OfSecond); 3] = [
        ("p50", |second| second.p50_us),
        ("p99", |second| second.p99_us),
        ("maximum", |second| second.max_us),
    ];
    let lines = figures
        .into_iter()
        .enumerate()
        .map(|(colour, (name, figure))| {
            let seconds = load.seconds.iter();
            let points = seconds
                .filter_map(|second| Some((f64::from(second.second), figure(second)? / 1e3)));
            let points = points.collect();
            ChartLine {
                name: name.to_owned(),
                colour,
                marks: PointMarks::Few,
                points,
            }
        });
    let chart = Chart {
        title,
        x: Axis { title: "second".to_owned(), scale: AxisScale::Linear },
        y: Axis {
            title: "response time, ms".to_owned(),
            scale: AxisScale::Logarithmic,
        },
        lines: lines.filter(|line| !line.points.is_empty()).collect(),
        reference: None,
    };
    chart.svg()
}

/// Response times of the runs of a sweep by the swept value.
pub(super) fn knee(
    title: String,
    what: String,
    runs: &[RunResult],
    kind: &str,
) -> anyhow::Result<String> {
    type OfLatency = fn(&Latency) -> f64;
    let figures: [(&str, OfLatency); 3] = [
        ("p50", |latency| latency.p50_us),
        ("p99", |latency| latency.p99_us),
        ("p99.9", |latency| latency.p999_us),
    ];
    let lines = figures
        .into_iter()
        .enumerate()
        .map(|(colour, (name, figure))| {
            let mut points: Vec<(f64, f64)> = runs
                .iter()
                .filter_map(|run| {
                    let load = run.loads.iter().find(|load| load.kind == kind)?;
                    Some((run.swept.as_ref()?.value, figure(&load.response) / 1e3))
                })
                .collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            ChartLine {
                name: name.to_owned(),
                colour,
                marks: PointMarks::Few,
                points,
            }
        });
    let chart = Chart {
        title,
        x: Axis { title: what, scale: AxisScale::Linear },
        y: Axis {
            title: "response time, ms".to_owned(),
            scale: AxisScale::Logarithmic,
        },
        lines: lines.collect(),
        reference: None,
    };
    chart.svg()
}

/// The throughput of either side in each pair of a sitting.
pub(super) fn rounds(title: String, sides: Vec<(&str, Vec<f64>)>) -> anyhow::Result<String> {
    let lines = sides
        .into_iter()
        .enumerate()
        .map(|(colour, (name, rates))| ChartLine {
            name: name.to_owned(),
            colour,
            marks: PointMarks::Few,
            points: (1u32..).map(f64::from).zip(rates).collect(),
        });
    let chart = Chart {
        title,
        x: Axis { title: "pair".to_owned(), scale: AxisScale::Linear },
        y: Axis { title: "a second".to_owned(), scale: AxisScale::Linear },
        lines: lines.collect(),
        reference: None,
    };
    chart.svg()
}

/// The ratios of a comparison with their intervals, one a row, around 1.
pub(super) fn ratios(title: String, rows: &[ComparisonRow]) -> anyhow::Result<String> {
    let placed = (0u32..).map(f64::from).zip(rows);
    let lines = placed.flat_map(|(place, row)| {
        let colour = match row.change() {
            Change::Better => ChartLine::BETTER,
            Change::Worse => ChartLine::WORSE,
            Change::Undecided => ChartLine::NEUTRAL,
        };
        let line = |marks, points| ChartLine { name: String::new(), colour, marks, points };
        let interval = row.ratio.interval;
        let interval = interval.map(|ends| {
            line(
                PointMarks::None,
                vec![(ends.low, place), (ends.high, place)],
            )
        });
        interval
            .into_iter()
            .chain([line(PointMarks::Few, vec![(row.ratio.value, place)])])
    });
    let chart = Chart {
        title,
        x: Axis {
            title: "after in multiples of before".to_owned(),
            scale: AxisScale::Logarithmic,
        },
        y: Axis {
            title: String::new(),
            scale: AxisScale::Rows(rows.iter().map(ComparisonRow::title).collect()),
        },
        lines: lines.collect(),
        reference: Some(1.0),
    };
    chart.svg()
}
