//! Latency histograms of one kind of work, and its rate.
//!
//! **Invariant:** the bounds of a histogram are fixed; one that grows would clamp what it
//! saturates.

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::result::{Latency, RawSyncs};
use crate::table::ReportTable;

/// Ten minutes, above any call's timeout and its retries; slower work counts as this.
const LATENCY_NS_MAX: u64 = 600_000_000_000;

/// Durations of the same work, pooled over rounds and clients.
#[derive(Clone)]
pub(crate) struct Series {
    latency_ns: Histogram<u64>,
    elapsed: Duration,
}

impl Series {
    /// Nothing measured yet.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let latency_ns =
            Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).context("cannot build a histogram")?;
        Ok(Self { latency_ns, elapsed: Duration::ZERO })
    }

    /// Counts work that began at `start` and ended now.
    pub(crate) fn record(&mut self, start: Instant) {
        self.record_lasting(start.elapsed());
    }

    /// Counts work that took so long.
    pub(crate) fn record_lasting(&mut self, lasting: Duration) {
        let nanos = u64::try_from(lasting.as_nanos()).unwrap_or(u64::MAX);
        self.latency_ns.saturating_record(nanos);
    }

    /// Adds what another measured, over the same time or another.
    pub(crate) fn add(&mut self, other: &Self) {
        self.latency_ns += &other.latency_ns;
    }

    /// Adds wall-clock time in which the recorded work was done.
    pub(crate) fn add_elapsed(&mut self, elapsed: Duration) {
        self.elapsed += elapsed;
    }

    /// How often the work was done.
    pub(crate) fn count(&self) -> u64 {
        self.latency_ns.len()
    }

    /// Times a second, over the elapsed time that was added.
    pub(crate) fn rate(&self) -> f64 {
        self.count() as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// The latency that this share (0 to 1) of the work stayed within.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        Duration::from_nanos(self.latency_ns.value_at_quantile(share))
    }

    /// Appends `bytes` to `file` and syncs it, again and again for a while.
    pub(crate) fn record_raw_syncs(
        &mut self,
        file: &mut File,
        bytes: &[u8],
        lasting: Duration,
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < lasting {
            let start = Instant::now();
            file.write_all(bytes)?;
            file.sync_data()?;
            self.record(start);
        }
        self.add_elapsed(begun.elapsed());
        Ok(())
    }

    /// The latencies for a result file.
    #[allow(dead_code, reason = "of what writes result files")]
    pub(crate) fn latency(&self) -> anyhow::Result<Latency> {
        Latency::new(&self.latency_ns)
    }

    /// The quantiles of raw syncs for a result file.
    #[allow(dead_code, reason = "of what writes result files")]
    pub(crate) fn raw_syncs(&self) -> RawSyncs {
        let us = |share| self.quantile(share).as_nanos() as f64 / 1e3;
        RawSyncs { p50_us: us(0.5), p99_us: us(0.99) }
    }

    /// The quantiles of a report.
    pub(crate) fn quantiles(&self) -> QuantilesMs {
        let at = |share| self.quantile(share).as_secs_f64() * 1_000.0;
        QuantilesMs { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1.0) }
    }

    /// p50 and p99 as people read them.
    pub(crate) fn percentiles(&self) -> String {
        let micros = |share| self.quantile(share).as_nanos() as f64 / 1_000.0;
        let (p50, p99) = (micros(0.50), micros(0.99));
        if p50 < 1_000.0 {
            format!("p50 {p50:.0} µs, p99 {p99:.0} µs")
        } else {
            format!("p50 {:.2} ms, p99 {:.2} ms", p50 / 1_000.0, p99 / 1_000.0)
        }
    }
}

/// Quantiles of a latency in milliseconds.
#[derive(Serialize)]
pub(crate) struct QuantilesMs {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl QuantilesMs {
    /// Adds one row a quantile.
    pub(crate) fn rows(&self, table: &mut ReportTable) {
        let Self { p50, p90, p99, max } = self;
        for (quantile, ms) in [("p50", p50), ("p90", p90), ("p99", p99), ("max", max)] {
            table.row(&format!("{quantile} ms"), format_args!("{ms:.2}"));
        }
    }
}
