//! What a torture found, as a table for people or as JSON for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::HumanCount;
use serde::Serialize;

use super::verification::PromiseVerdict;
use super::workload::Workload;
use crate::table::ReportTable;

const FINDINGS_SHOWN_MAX: usize = 10;

/// Everything that a torture prints.
#[derive(Serialize)]
pub(super) struct TortureReport {
    seed: u64,
    seconds: f64,
    /// How often each process was killed.
    killed: BTreeMap<&'static str, u64>,
    /// Operations by kind and status, such as `place 201`.
    decided: BTreeMap<String, u64>,
    /// Requests for all of these, until each was decided.
    requests: u64,
    verdicts: Vec<PromiseVerdict>,
    /// Faults that people met before the audit.
    faults: Vec<String>,
}

impl TortureReport {
    pub(super) fn new(
        seed: u64,
        killed: &BTreeMap<&'static str, u64>,
        workload: &Workload,
        took: Duration,
        verdicts: Vec<PromiseVerdict>,
        faults: Vec<String>,
    ) -> Self {
        let mut decided = BTreeMap::new();
        for entry in workload.decided() {
            let what = format!(
                "{} {}",
                entry.operation.action.name(),
                entry.decision.status
            );
            *decided.entry(what).or_default() += 1;
        }
        Self {
            seed,
            seconds: took.as_secs_f64(),
            killed: killed.clone(),
            decided,
            requests: workload.tries().sent,
            verdicts,
            faults,
        }
    }

    /// Nothing lost, doubled or oversold, no notification sent twice.
    pub(super) fn passed(&self) -> bool {
        let is_clean = |verdict: &PromiseVerdict| verdict.findings.is_empty();
        self.faults.is_empty() && self.verdicts.iter().all(is_clean)
    }

    pub(super) fn table(&self) -> ReportTable {
        let mut table = ReportTable::default();
        table
            .section(&format!("Tortured by seed {}", self.seed))
            .row("seconds", format_args!("{:.1}", self.seconds));
        table.section("Killed with SIGKILL");
        for (process, &times) in &self.killed {
            table.count(process, times);
        }
        table.section("Asked and decided");
        for (what, &times) in &self.decided {
            table.count(what, times);
        }
        table.count("requests until all were decided", self.requests);
        table.section("Verdict");
        for PromiseVerdict { promise, looked_at, findings } in &self.verdicts {
            let is_kept = findings.is_empty();
            let broken = if is_kept {
                String::new()
            } else {
                format!(": {} broken", findings.len())
            };
            let text = format!("{promise} ({}{broken})", HumanCount(*looked_at));
            table.verdict(is_kept, &text);
            show(&mut table, findings);
        }
        let faults = self.faults.len();
        match faults {
            0 => table.kept("nothing else was seen amiss"),
            _ => table.broken(&format!("{faults} things were seen amiss on the way")),
        };
        show(&mut table, &self.faults);
        table
    }
}

fn show(table: &mut ReportTable, findings: &[String]) {
    for finding in findings.iter().take(FINDINGS_SHOWN_MAX) {
        table.line(finding);
    }
    if let Some(more) = findings.len().checked_sub(FINDINGS_SHOWN_MAX + 1) {
        table.line(format_args!("and {} more", more + 1));
    }
}
