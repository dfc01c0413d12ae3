//! What a replay found, as a table for people or as JSON for programs.

use std::collections::BTreeMap;

use serde::Serialize;

use super::invoice::Skipped;
use super::shelf::{StockAudit, StockMismatch};
use crate::client::ServerErrors;
use crate::series::QuantilesMs;
use crate::table::ReportTable;

const FINDINGS_SHOWN_MAX: usize = 10;

/// Everything that a replay prints.
#[derive(Serialize)]
pub(super) struct ReplayReport {
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
    /// From the intended start.
    pub(super) latency_ms: QuantilesMs,
    /// Orders that were due when so many were under way already.
    pub(super) missed_starts: u64,
    /// Every 5xx of the run, to whatever call.
    pub(super) server_errors: ServerErrors,
    pub(super) audit: StockAudit,
}

impl ReplayReport {
    /// No 5xx, nothing oversold, nothing held that the orders do not explain.
    pub(super) fn passed(&self) -> bool {
        self.server_errors.count == 0 && self.audit.findings.is_empty()
    }

    pub(super) fn table(&self) -> ReportTable {
        let mut table = ReportTable::default();
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
        self.latency_ms.rows(&mut table);
        table.count("started late, others being under way", self.missed_starts);
        self.verify(&mut table);
        table
    }

    fn verify(&self, table: &mut ReportTable) {
        table.section("Verdict");
        let ServerErrors { count, first } = &self.server_errors;
        match count {
            0 => table.kept("no 5xx"),
            _ => table.broken(&format!("{count} answers were 5xx")),
        };
        for fault in first {
            table.line(fault);
        }
        let StockAudit { products, oversold, unexplained, .. } = self.audit;
        match oversold {
            0 => table.kept(&format!("no oversell ({products} products)")),
            _ => table.broken(&format!("{oversold} of {products} products oversold")),
        };
        match unexplained {
            0 => table.kept("reserved stock is that of the confirmed orders"),
            _ => table.broken(&format!(
                "{unexplained} products hold other stock than the orders explain"
            )),
        };
        for finding in self.audit.findings.iter().take(FINDINGS_SHOWN_MAX) {
            let StockMismatch { product, on_hand, reserved, explained: (least, most) } = finding;
            table.line(format_args!(
                "{product}: {on_hand} on hand, {reserved} reserved, {least} to {most} explained"
            ));
        }
        self.remark(table);
    }

    fn remark(&self, table: &mut ReportTable) {
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
