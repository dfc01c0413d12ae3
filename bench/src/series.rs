//! Latency histograms of one kind of work, and its rate.
//!
//! **Invariant:** the bounds of a histogram are fixed; one that grows would clamp what it
//! saturates.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::result::{Latency, RawSyncs};
use crate::table::ReportTable;

/// Ten minutes, above any call's timeout and its retries; slower work counts as this.
const LATENCY_NS_MAX: u64 = 600_000_000_000;

/// Bytes appended before each raw sync.
const PAGE_BYTES: usize = 4096;
/// How long raw syncs are measured beside a load.
const RAW_LASTING: Duration = Duration::from_millis(750);

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

    /// Empties it.
    pub(crate) fn clear(&mut self) {
        self.latency_ns.reset();
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

    /// Appends a page to a file in `dir` and syncs it, for a while.
    pub(crate) async fn with_raw_syncs(mut self, dir: PathBuf) -> anyhow::Result<Self> {
        let syncing = tokio::task::spawn_blocking(move || {
            let file = tempfile::tempfile_in(&dir);
            let mut file =
                file.with_context(|| format!("cannot make a file in {}", dir.display()))?;
            self.record_raw_syncs(&mut file, &[7; PAGE_BYTES], RAW_LASTING)?;
            anyhow::Ok(self)
        });
        syncing.await.context("the raw syncs stopped")?
    }

    /// The latencies for a result file.
    pub(crate) fn latency(&self) -> anyhow::Result<Latency> {
        Latency::new(&self.latency_ns)
    }

    /// The quantiles of raw syncs for a result file.
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
        percentiles(micros(0.50), micros(0.99))
    }
}

fn percentiles(p50_us: f64, p99_us: f64) -> String {
    if p50_us < 1_000.0 {
        format!("p50 {p50_us:.0} µs, p99 {p99_us:.0} µs")
    } else {
        let (p50, p99) = (p50_us / 1_000.0, p99_us / 1_000.0);
        format!("p50 {p50:.2} ms, p99 {p99:.2} ms")
    }
}

impl Latency {
    /// The quantiles of a report.
    pub(crate) fn quantiles(&self) -> QuantilesMs {
        let Self { p50_us, p90_us, p99_us, max_us, .. } = self;
        let [p50, p90, p99, max] = [p50_us, p90_us, p99_us, max_us].map(|us| us / 1e3);
        QuantilesMs { p50, p90, p99, max }
    }

    /// p50 and p99 as people read them.
    pub(crate) fn percentiles(&self) -> String {
        percentiles(self.p50_us, self.p99_us)
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
