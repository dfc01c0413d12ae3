//! Reads at a steady rate, which measure how a shop serves everyone else under a load.
//!
//! **Invariant:** a read that failed is counted, never dropped.

use std::time::Duration;

use crate::load::{Arrivals, LoadPlan, LoadRequest, LoadTarget, Measured, Requests};
use crate::shop::AccountTokens;
use crate::table::ReportTable;

/// The p99 that a read must stay within under the load, in microseconds.
const P99_US_MAX: f64 = 20_000.0;
/// Reads of each kind a second.
const RATE_EACH: f64 = 100.0;
/// Reads in flight: those of two seconds, before one starts late.
const WORKERS: usize = 256;

/// One kind of read.
#[derive(Clone)]
pub(crate) struct SteadyRead {
    pub(crate) name: &'static str,
    pub(crate) path: String,
}

/// Reads of every kind in turns, by one account.
#[derive(Clone)]
pub(crate) struct SteadyReads {
    pub(crate) reads: Vec<SteadyRead>,
    pub(crate) reader: AccountTokens,
    /// The number of the next one.
    pub(crate) next: usize,
}

impl SteadyReads {
    /// The plan of so many seconds of them.
    pub(crate) fn plan(&self, target: LoadTarget, lasting: Duration) -> LoadPlan {
        LoadPlan {
            arrivals: Arrivals::Constant(RATE_EACH * self.reads.len() as f64),
            measured: Some(lasting),
            late_max: None,
            ..LoadPlan::closed(target, WORKERS)
        }
    }
}

impl Requests for SteadyReads {
    fn kinds(&self) -> Vec<String> {
        self.reads.iter().map(|read| read.name.to_owned()).collect()
    }

    fn next(&mut self, _worker: usize, request: &mut LoadRequest) -> Option<usize> {
        let kind = self.next % self.reads.len();
        self.next += 1;
        request
            .get(&self.reads[kind].path)
            .bearer(&self.reader.get(0));
        Some(kind)
    }
}

/// Adds a line for each kind of read, compared with the `calm` before the load.
pub(crate) fn lines(loaded: &Measured, calm: &Measured, table: &mut ReportTable) {
    for (loaded, calm) in loaded.loads.iter().zip(&calm.loads) {
        let (now, before) = (loaded.response.percentiles(), calm.response.percentiles());
        table.line(format_args!("{}: {now} (calm: {before})", loaded.kind));
    }
}

/// Adds the verdicts on both phases; whether all reads were in time and succeeded.
pub(crate) fn verdicts(loaded: &Measured, calm: &Measured, table: &mut ReportTable) -> bool {
    let late = loaded
        .loads
        .iter()
        .filter(|load| load.response.p99_us > P99_US_MAX);
    let (late, failed) = (late.count(), loaded.failed() + calm.failed());
    let text = format!(
        "{late} of {} reads took more than {} ms at p99",
        loaded.loads.len(),
        P99_US_MAX / 1e3
    );
    table
        .verdict(late == 0, &text)
        .verdict(failed == 0, &format!("{failed} reads failed"));
    late == 0 && failed == 0
}
