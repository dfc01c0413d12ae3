//! What became of the operations of a run, by kind and by second.
//!
//! Only operations whose intended start lies in the measured time are recorded, all of them:
//! those that end later count too. **Invariant:** both times are recorded of the same
//! operations.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::request::{Judgement, LoadOperation};
use crate::result::{LoadResult, Second};
use crate::series::Series;

/// The measured part of a run.
#[derive(Clone, Copy)]
pub(super) struct MeasuredSpan {
    pub(super) from: Instant,
    /// `None` where the scenario ends the run.
    pub(super) until: Option<Instant>,
}

impl MeasuredSpan {
    fn has(&self, instant: Instant) -> bool {
        instant >= self.from && self.until.is_none_or(|until| instant < until)
    }

    fn second(&self, instant: Instant) -> usize {
        instant.saturating_duration_since(self.from).as_secs() as usize
    }
}

/// The instants of an operation.
#[derive(Clone, Copy)]
pub(super) struct Instants {
    /// When its worker became free for it.
    pub(super) free: Instant,
    pub(super) due: Instant,
    pub(super) start: Instant,
    pub(super) end: Instant,
}

impl Instants {
    /// Whether every worker was busy when it was due. Workers take turns by how long they have
    /// been free, so the one that took it had been free longest.
    fn is_missed(&self) -> bool {
        self.free > self.due
    }
}

pub(super) struct Recorder {
    span: MeasuredSpan,
    kinds: Vec<KindRecord>,
    start_delay: Series,
    dropped: u64,
    /// Before the measured time.
    failed_before: u64,
    first_failure: Option<String>,
}

struct KindRecord {
    name: String,
    statuses: BTreeMap<u16, u64>,
    errors: BTreeMap<String, u64>,
    failed: u64,
    operations: u64,
    response: Series,
    service: Series,
    seconds: Vec<Second>,
    /// Response times of those that ended in the second `current`.
    latest: Series,
    current: usize,
}

/// The end of a recording.
pub(super) struct Recorded {
    pub(super) loads: Vec<LoadResult>,
    pub(super) missed: u64,
    pub(super) dropped: u64,
    pub(super) failed_before: u64,
    pub(super) first_failure: Option<String>,
    pub(super) start_delay: Series,
}

impl Recorder {
    pub(super) fn new(kinds: Vec<String>, span: MeasuredSpan) -> anyhow::Result<Self> {
        let kind = |name| {
            anyhow::Ok(KindRecord {
                name,
                statuses: BTreeMap::new(),
                errors: BTreeMap::new(),
                failed: 0,
                operations: 0,
                response: Series::new()?,
                service: Series::new()?,
                seconds: Vec::new(),
                latest: Series::new()?,
                current: 0,
            })
        };
        Ok(Self {
            span,
            kinds: kinds.into_iter().map(kind).collect::<anyhow::Result<_>>()?,
            start_delay: Series::new()?,
            dropped: 0,
            failed_before: 0,
            first_failure: None,
        })
    }

    /// Counts a start that was given up since it was too late.
    pub(super) fn drop_start(&mut self, due: Instant) {
        self.dropped += u64::from(self.span.has(due));
    }

    /// Records an operation that has ended.
    pub(super) fn record(
        &mut self,
        operation: &LoadOperation<'_>,
        at: Instants,
        judged: Judgement,
    ) {
        let is_failed = judged == Judgement::Failed;
        if is_failed {
            self.first_failure
                .get_or_insert_with(|| operation.describe());
        }
        if !self.span.has(at.due) {
            self.failed_before += u64::from(is_failed);
            return;
        }
        let delay = at.start.saturating_duration_since(at.due);
        self.start_delay.record_lasting(delay);
        let (due, end) = (self.span.second(at.due), self.span.second(at.end));
        let kind = &mut self.kinds[operation.kind];
        kind.operations += 1;
        kind.failed += u64::from(is_failed);
        match &operation.response {
            Ok(response) => *kind.statuses.entry(response.status).or_default() += 1,
            Err(error) => *kind.errors.entry(error.to_string()).or_default() += 1,
        }
        let second = kind.second(due);
        second.started += 1;
        second.missed += u64::from(at.is_missed());
        kind.second(end).finished += 1;
        if !is_failed {
            let response = at.end.saturating_duration_since(at.due);
            kind.response.record_lasting(response);
            kind.service
                .record_lasting(at.end.saturating_duration_since(at.start));
            if end != kind.current {
                kind.end_second();
                kind.current = end;
            }
            kind.latest.record_lasting(response);
        }
    }

    /// Ends the recording of a run with these arrivals.
    pub(super) fn end(self, arrivals: &str, connections: u32) -> anyhow::Result<Recorded> {
        let mut loads = Vec::new();
        for mut kind in self.kinds {
            kind.end_second();
            loads.push(kind.into_result(arrivals, connections)?);
        }
        let missed = loads.iter().flat_map(|load| &load.seconds);
        Ok(Recorded {
            missed: self.dropped + missed.map(|second| second.missed).sum::<u64>(),
            loads,
            dropped: self.dropped,
            failed_before: self.failed_before,
            first_failure: self.first_failure,
            start_delay: self.start_delay,
        })
    }
}

impl KindRecord {
    fn second(&mut self, second: usize) -> &mut Second {
        while self.seconds.len() <= second {
            self.seconds
                .push(Second { second: self.seconds.len() as u32, ..Second::default() });
        }
        &mut self.seconds[second]
    }

    /// Notes the quantiles of the current second.
    fn end_second(&mut self) {
        if self.latest.count() == 0 {
            return;
        }
        let us = |share| {
            let latency: Duration = self.latest.quantile(share);
            Some(latency.as_nanos() as f64 / 1e3)
        };
        let (p50_us, p99_us, max_us) = (us(0.5), us(0.99), us(1.0));
        let second = self.current;
        let second = self.second(second);
        (second.p50_us, second.p99_us, second.max_us) = (p50_us, p99_us, max_us);
        self.latest.clear();
    }

    fn into_result(self, arrivals: &str, connections: u32) -> anyhow::Result<LoadResult> {
        let statuses = self.statuses.into_iter();
        let statuses = statuses.map(|(status, count)| (status.to_string(), count));
        Ok(LoadResult {
            kind: self.name,
            arrivals: arrivals.to_owned(),
            connections,
            operations: self.operations,
            failed: self.failed,
            answers: statuses.chain(self.errors).collect(),
            response: self.response.latency()?,
            service: self.service.latency()?,
            seconds: self.seconds,
        })
    }
}
