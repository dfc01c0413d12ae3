//! What a run showed, for people or for programs, and whether it is enough.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::load::{Arrivals, LoadPlan, Measured};
use crate::result::{ProcessCost, RawSyncs};
use crate::series::Series;
use crate::table::ReportTable;

/// One client waits at most this many raw syncs, and so much longer.
const P50_RAW_SYNCS_MAX: f64 = 4.0;
const P50_MS_BESIDE: f64 = 1.0;

/// From so many clients on, throughput has a target.
const CROWD: usize = 64;
const CROWD_ORDERS_MIN: f64 = 2_500.0;
const CROWD_P99_MS_MAX: f64 = 30.0;

/// Everything that is printed. Latencies in milliseconds, from the intended start.
#[derive(Serialize)]
pub(super) struct OrdersReport {
    clients: usize,
    arrivals: String,
    seconds: f64,
    confirmed: u64,
    answers: BTreeMap<String, u64>,
    orders_per_second: f64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// From the actual start.
    service_p99_ms: f64,
    /// Starts at which every connection was busy.
    missed_starts: u64,
    /// Of 4 KiB appended and `fdatasync`ed.
    raw_sync_p50_ms: f64,
    raw_sync_p99_ms: f64,
    /// Processor time for each confirmed order, in microseconds.
    shop_cpu_us: Option<f64>,
    client_cpu_us: Option<f64>,
    /// For each confirmed order, of all processes whose figures could be read.
    syncs: Option<f64>,
    written_bytes: Option<f64>,
    failed: u64,
    first_failure: Option<String>,
}

impl OrdersReport {
    pub(super) fn new(plan: &LoadPlan, measured: &Measured, raw: &Series) -> Self {
        let load = &measured.loads[0];
        let confirmed = load.operations - load.failed;
        let each = |total: u64| total as f64 / confirmed.max(1) as f64;
        let sum = |of: fn(&ProcessCost) -> Option<u64>| {
            let figures: Vec<u64> = measured.costs.iter().filter_map(of).collect();
            (!figures.is_empty()).then(|| each(figures.iter().sum()))
        };
        let seconds = measured.lasting.as_secs_f64();
        let RawSyncs { p50_us: raw_p50, p99_us: raw_p99 } = raw.raw_syncs();
        Self {
            clients: plan.workers,
            arrivals: plan.arrivals.to_string(),
            seconds,
            confirmed,
            answers: load.answers.clone(),
            orders_per_second: confirmed as f64 / seconds,
            p50_ms: load.response.p50_us / 1e3,
            p90_ms: load.response.p90_us / 1e3,
            p99_ms: load.response.p99_us / 1e3,
            max_ms: load.response.max_us / 1e3,
            service_p99_ms: load.service.p99_us / 1e3,
            missed_starts: measured.client.missed_starts,
            raw_sync_p50_ms: raw_p50 / 1e3,
            raw_sync_p99_ms: raw_p99 / 1e3,
            shop_cpu_us: measured.shop_processor_us().map(each),
            client_cpu_us: measured.client.processor_us.map(each),
            syncs: sum(|cost| cost.syncs),
            written_bytes: sum(|cost| cost.written_bytes),
            failed: measured.failed(),
            first_failure: measured.first_failure.clone(),
        }
    }

    /// Every order was confirmed, and quickly enough for so many clients.
    pub(super) fn passed(&self) -> bool {
        self.all_confirmed() && self.is_quick().unwrap_or(true)
    }

    fn all_confirmed(&self) -> bool {
        self.confirmed > 0 && self.failed == 0
    }

    /// `None` where nothing was promised.
    fn is_quick(&self) -> Option<bool> {
        if self.arrivals != Arrivals::Closed.to_string() {
            return None;
        }
        match self.clients {
            1 => Some(self.p50_ms <= self.p50_ms_max()),
            CROWD.. => {
                Some(self.orders_per_second >= CROWD_ORDERS_MIN && self.p99_ms < CROWD_P99_MS_MAX)
            }
            _ => None,
        }
    }

    fn p50_ms_max(&self) -> f64 {
        P50_RAW_SYNCS_MAX * self.raw_sync_p50_ms + P50_MS_BESIDE
    }

    pub(super) fn table(&self) -> ReportTable {
        let mut table = ReportTable::default();
        let Self { clients, arrivals, .. } = self;
        table.section(&format!("Orders of {clients} clients, arrivals {arrivals}"));
        for (answer, &count) in &self.answers {
            table.count(answer, count);
        }
        table.row("orders/s", format_args!("{:.0}", self.orders_per_second));
        for (what, ms) in [
            ("p50 ms", self.p50_ms),
            ("p90 ms", self.p90_ms),
            ("p99 ms", self.p99_ms),
            ("max ms", self.max_ms),
            ("p99 from the actual start, ms", self.service_p99_ms),
            ("raw append and fdatasync, p50 ms", self.raw_sync_p50_ms),
            ("raw append and fdatasync, p99 ms", self.raw_sync_p99_ms),
        ] {
            table.row(what, format_args!("{ms:.3}"));
        }
        table.count("starts with every connection busy", self.missed_starts);
        for (what, us) in [
            ("processor time an order, shop, µs", self.shop_cpu_us),
            (
                "processor time an order, this client, µs",
                self.client_cpu_us,
            ),
        ] {
            match us {
                Some(us) => table.row(what, format_args!("{us:.0}")),
                None => table.row(what, "unknown"),
            };
        }
        for (what, figure) in [
            ("fdatasync calls an order", self.syncs),
            (
                "KiB written an order",
                self.written_bytes.map(|bytes| bytes / 1024.0),
            ),
        ] {
            match figure {
                Some(figure) => table.row(what, format_args!("{figure:.2}")),
                None => table.row(what, "unknown"),
            };
        }
        table.section("Verdict");
        match &self.first_failure {
            _ if self.all_confirmed() => table.kept("every order was confirmed"),
            Some(failure) => table.broken(&format!("not every order was confirmed: {failure}")),
            None => table.broken("no order was confirmed"),
        };
        if let Some(quick) = self.is_quick() {
            table.verdict(quick, &self.promise());
        }
        table
    }

    fn promise(&self) -> String {
        if self.clients == 1 {
            let most = self.p50_ms_max();
            format!(
                "p50 {:.2} ms, at most {most:.2}: {P50_RAW_SYNCS_MAX} raw syncs and {P50_MS_BESIDE} ms",
                self.p50_ms
            )
        } else {
            format!(
                "{:.0} orders/s (at least {CROWD_ORDERS_MIN}), p99 {:.1} ms (below {CROWD_P99_MS_MAX})",
                self.orders_per_second, self.p99_ms
            )
        }
    }
}
