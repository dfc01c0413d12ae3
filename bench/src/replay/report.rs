//! What a replay found, as a table for people or as JSON for programs.

use std::collections::BTreeMap;

use serde::Serialize;

use super::checkout::Tally;
use super::invoice::Skipped;
use super::shelf::{Audit, Finding};
use crate::client::Faults;
use crate::table::Table;

const FINDINGS_SHOWN_MAX: usize = 10;

/// Everything that a replay prints.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) run_id: String,
    pub(super) invoices: u64,
    pub(super) skipped: Skipped,
    pub(super) customers: u64,
    pub(super) orders: u64,
    pub(super) confirmed: u64,
    pub(super) unknown: u64,
    pub(super) replayed: u64,
    /// Orders by answer, such as `201 confirmed`.
    pub(super) outcomes: BTreeMap<String, u64>,
    pub(super) seconds: f64,
    pub(super) orders_per_second: f64,
    pub(super) latency_ms: Latency,
    /// Every 5xx of the run, to whatever call.
    pub(super) server_errors: Faults,
    pub(super) audit: Audit,
}

/// Of the answer to a checkout, in milliseconds.
#[derive(Serialize)]
pub(crate) struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

impl Latency {
    pub(crate) fn of(tally: &Tally) -> Self {
        let ms = |micros: u64| micros as f64 / 1_000.0;
        let at = |quantile| ms(tally.latency_us.value_at_quantile(quantile));
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: ms(tally.latency_us.max()),
        }
    }

    /// One row a quantile.
    pub(crate) fn show(&self, table: &mut Table) {
        let Self { p50, p90, p99, max } = self;
        for (quantile, ms) in [("p50", p50), ("p90", p90), ("p99", p99), ("max", max)] {
            table.row(&format!("{quantile} ms"), format_args!("{ms:.2}"));
        }
    }
}

impl Report {
    /// No 5xx, nothing oversold, nothing held that the orders do not explain.
    pub(super) fn passed(&self) -> bool {
        self.server_errors.count == 0 && self.audit.findings.is_empty()
    }

    pub(super) fn table(&self) -> Table {
        let mut table = Table::default();
        table
            .section(&format!("Replayed as run {}", self.run_id))
            .count("invoices", self.invoices)
            .count("customers", self.customers)
            .count("orders sent", self.orders);
        table.section("Skipped");
        let skipped = &self.skipped;
        table
            .count("cancellations", skipped.invoices_cancelling)
            .count("adjustments", skipped.invoices_adjusting)
            .count("invoices left without lines", skipped.invoices_emptied)
            .count("lines of no pieces", skipped.lines_without_pieces)
            .count("lines without a product", skipped.lines_without_product)
            .count("lines above 1,000 pieces", skipped.lines_above_1000_pieces);
        table.section("Answers");
        for (outcome, &orders) in &self.outcomes {
            table.count(outcome, orders);
        }
        table
            .section("Pace")
            .row("seconds", format_args!("{:.1}", self.seconds))
            .row("orders/s", format_args!("{:.1}", self.orders_per_second));
        self.latency_ms.show(&mut table);
        self.judge(&mut table);
        table
    }

    fn judge(&self, table: &mut Table) {
        table.section("Verdict");
        let Faults { count, first } = &self.server_errors;
        match count {
            0 => table.verdict(true, "no 5xx"),
            _ => table.verdict(false, &format!("{count} answers were 5xx")),
        };
        for fault in first {
            table.line(fault);
        }
        let Audit { products, oversold, unexplained, .. } = self.audit;
        match oversold {
            0 => table.verdict(true, &format!("no oversell ({products} products)")),
            _ => table.verdict(
                false,
                &format!("{oversold} of {products} products oversold"),
            ),
        };
        match unexplained {
            0 => table.verdict(true, "reserved stock is that of the confirmed orders"),
            _ => table.verdict(
                false,
                &format!("{unexplained} products hold other stock than the orders explain"),
            ),
        };
        for finding in self.audit.findings.iter().take(FINDINGS_SHOWN_MAX) {
            let Finding { product, on_hand, reserved, explained: (least, most) } = finding;
            table.line(format_args!(
                "{product}: {on_hand} on hand, {reserved} reserved, {least} to {most} explained"
            ));
        }
        self.remark(table);
    }

    fn remark(&self, table: &mut Table) {
        let before = self.audit.reserved_before;
        if before != 0 {
            table.line(format_args!(
                "note: the shop was not fresh: {before} pieces were reserved before, and the \
                 audit starts from there"
            ));
        }
        if self.replayed > 0 {
            table.line(format_args!(
                "note: {} answers repeat those of an earlier run {}",
                self.replayed, self.run_id
            ));
        }
        if self.unknown > 0 {
            table.line(format_args!(
                "note: {} orders have no known outcome; the audit lets them hold stock or not",
                self.unknown
            ));
        }
    }
}
