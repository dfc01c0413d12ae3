//! The tables of a report: figures of loads, costs of processes, and ratios, as text.
//!
//! **Invariant:** a figure that was not measured is a dash.

use crate::compare::ratio_shown;
use crate::comparison::{ComparedFigure, ComparisonRow};
use crate::result::{Latency, LoadResult, ProcessCost, RunResult};

const LOAD_HEADINGS: [&str; 10] = [
    "operation",
    "arrivals",
    "connections",
    "a second",
    "failed",
    "p50",
    "p99",
    "p99.9",
    "maximum",
    "service p99",
];
const COST_HEADINGS: [&str; 6] = [
    "process",
    "processor time each",
    "fdatasync each",
    "written each",
    "resident memory",
    "page faults",
];
const RATIO_HEADINGS: [&str; 4] = ["figure", "before", "after", "ratio (95 % interval)"];
const UNKNOWN: &str = "–";

/// Rows of cells, the first of which names the row.
pub(super) struct FigureTable {
    pub(super) headings: &'static [&'static str],
    pub(super) rows: Vec<Vec<String>>,
}

impl FigureTable {
    /// The loads of runs; those of a sweep with the value they were measured at.
    pub(super) fn loads(runs: &[RunResult]) -> Self {
        let rows = runs.iter().flat_map(|run| {
            run.loads.iter().map(move |load| {
                let at = run.swept.as_ref();
                let at = at.map(|swept| format!(" at {} {}", swept.what, swept.value));
                let name = format!("{}{}", load.kind, at.unwrap_or_default());
                load_row(name, load, run.measured_seconds)
            })
        });
        Self { headings: &LOAD_HEADINGS, rows: rows.collect() }
    }

    /// What an operation of any kind cost each process; `None` where nothing is known.
    pub(super) fn costs(run: &RunResult) -> Option<Self> {
        let operations = run.operations();
        if run.costs.is_empty() || operations == 0 {
            return None;
        }
        let costs = run.costs.iter();
        let mut rows: Vec<_> = costs.map(|cost| cost_row(cost, operations)).collect();
        if let Some(used) = run.client.processor_us {
            let each = used as f64 / operations as f64;
            let mut row = vec![
                "this client".to_owned(),
                ComparedFigure::Processor.shown(each),
            ];
            row.resize(COST_HEADINGS.len(), UNKNOWN.to_owned());
            rows.push(row);
        }
        Some(Self { headings: &COST_HEADINGS, rows })
    }

    /// Both sides of a comparison, and the ratios.
    pub(super) fn comparison(rows: &[ComparisonRow]) -> Self {
        let cells = |row: &ComparisonRow| {
            let [before, after] = [row.before, row.after].map(|value| row.figure.shown(value));
            vec![row.title(), before, after, ratio_shown(row)]
        };
        let rows = rows.iter().map(cells).collect();
        Self { headings: &RATIO_HEADINGS, rows }
    }
}

fn load_row(name: String, load: &LoadResult, seconds: f64) -> Vec<String> {
    let Latency { p50_us, p99_us, p999_us, max_us, .. } = load.response;
    let latencies = [p50_us, p99_us, p999_us, max_us, load.service.p99_us];
    let mut row = vec![
        name,
        load.arrivals.clone(),
        load.connections.to_string(),
        format!("{:.0}", load.rate(seconds)),
        load.failed.to_string(),
    ];
    row.extend(latencies.map(latency_shown));
    row
}

fn cost_row(cost: &ProcessCost, operations: u64) -> Vec<String> {
    let shown = |figure: ComparedFigure, value: Option<f64>| {
        value.map_or_else(|| UNKNOWN.to_owned(), |value| figure.shown(value))
    };
    let processor = cost.processor_us_each(operations);
    vec![
        cost.name.clone(),
        shown(ComparedFigure::Processor, processor),
        shown(ComparedFigure::Syncs, cost.syncs_each(operations)),
        shown(ComparedFigure::Written, cost.written_bytes_each(operations)),
        mebibytes(cost.resident_bytes_max),
        (cost.minor_faults + cost.major_faults).to_string(),
    ]
}

/// A latency in the unit that suits it.
pub(super) fn latency_shown(us: f64) -> String {
    ComparedFigure::P50.shown(us)
}

/// A size of memory.
pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20))
}
