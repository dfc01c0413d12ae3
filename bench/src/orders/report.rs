//! What a run showed, for people or for programs, and whether it is enough.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::load::Measured;
use crate::series::Series;
use crate::table::ReportTable;

/// One client waits at most this many raw syncs, and so much longer.
const P50_RAW_SYNCS_MAX: f64 = 4.0;
const P50_MS_BESIDE: f64 = 1.0;

/// From so many clients on, throughput has a target.
const CROWD: u16 = 64;
const CROWD_ORDERS_MIN: f64 = 2_500.0;
const CROWD_P99_MS_MAX: f64 = 30.0;

/// Everything that is printed. Latencies in milliseconds.
#[derive(Serialize)]
pub(super) struct OrdersReport {
    clients: u16,
    seconds: f64,
    confirmed: u64,
    answers: BTreeMap<String, u64>,
    orders_per_second: f64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// Of 4 KiB appended and `fdatasync`ed.
    raw_sync_p50_ms: f64,
    raw_sync_p99_ms: f64,
    /// Processor time for each confirmed order, in microseconds.
    shop_cpu_us: Option<f64>,
    client_cpu_us: Option<f64>,
}

impl OrdersReport {
    pub(super) fn new(clients: u16, outcome: &Measured, raw: &Series) -> Self {
        let Measured { confirmed, answers, shop, client } = outcome;
        let orders = confirmed.count();
        let ms = |latency: Duration| latency.as_secs_f64() * 1e3;
        let each = |used: Duration| used.as_secs_f64() * 1e6 / (orders.max(1) as f64);
        let rate = confirmed.rate();
        Self {
            clients,
            seconds: orders as f64 / rate.max(f64::EPSILON),
            confirmed: orders,
            answers: answers.clone(),
            orders_per_second: rate,
            p50_ms: ms(confirmed.quantile(0.5)),
            p90_ms: ms(confirmed.quantile(0.9)),
            p99_ms: ms(confirmed.quantile(0.99)),
            max_ms: ms(confirmed.quantile(1.0)),
            raw_sync_p50_ms: ms(raw.quantile(0.5)),
            raw_sync_p99_ms: ms(raw.quantile(0.99)),
            shop_cpu_us: shop.map(each),
            client_cpu_us: client.map(each),
        }
    }

    /// Every order was confirmed, and quickly enough for so many clients.
    pub(super) fn passed(&self) -> bool {
        self.all_confirmed() && self.is_quick().unwrap_or(true)
    }

    fn all_confirmed(&self) -> bool {
        self.confirmed > 0 && self.answers.keys().all(|answer| answer == "201")
    }

    /// `None` where nothing was promised.
    fn is_quick(&self) -> Option<bool> {
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
        table.section(&format!("Orders of {} clients", self.clients));
        for (answer, &count) in &self.answers {
            table.count(answer, count);
        }
        table.row("orders/s", format_args!("{:.0}", self.orders_per_second));
        for (what, ms) in [
            ("p50 ms", self.p50_ms),
            ("p90 ms", self.p90_ms),
            ("p99 ms", self.p99_ms),
            ("max ms", self.max_ms),
            ("raw append and fdatasync, p50 ms", self.raw_sync_p50_ms),
            ("raw append and fdatasync, p99 ms", self.raw_sync_p99_ms),
        ] {
            table.row(what, format_args!("{ms:.3}"));
        }
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
        table.section("Verdict");
        let all = self.all_confirmed();
        table.verdict(
            all,
            if all {
                "every order was confirmed"
            } else {
                "not every order was confirmed"
            },
        );
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
