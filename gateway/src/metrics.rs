//! The gateway's own metrics: requests by route and status, and by service and outcome; and
//! the age of backups.
//!
//! No request looks a counter up by its labels: each route holds its counters by status,
//! which are registered when the status first occurs.
//!
//! **Invariant:** the cardinality of labels is bounded, whatever clients and services send:
//! routes are those of the static table, and a status outside `STATUSES` counts as `other`.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use chassis::config::BackupConfig;
use chassis::{Folder, backup_state};
use http::StatusCode;
use metrics::{Counter, Histogram, counter, gauge, histogram};

/// The statuses that services and the gateway respond with, the usual ones first.
const STATUSES: [u16; 34] = [
    200, 304, 201, 204, 401, 404, 400, 429, 503, 202, 206, 301, 302, 303, 307, 308, 402, 403, 405,
    406, 408, 409, 410, 411, 412, 413, 414, 415, 416, 422, 428, 500, 502, 504,
];

/// The outcomes of a request to a service, as labels.
const OUTCOMES: [&str; 6] = [
    "answered",
    "absent",
    "unreachable",
    "broken",
    "late",
    "body",
];

/// The gateway's own metrics.
pub(crate) struct Metrics(HashMap<&'static str, Meter>);

struct Meter {
    route: &'static str,
    by_status: [OnceLock<(Counter, Histogram)>; STATUSES.len() + 1],
}

impl Metrics {
    /// Prepares the counters of these routes.
    pub(crate) fn new(routes: impl Iterator<Item = &'static str>) -> Self {
        let meter = |route| {
            (
                route,
                Meter { route, by_status: [const { OnceLock::new() }; _] },
            )
        };
        Self(routes.map(meter).collect())
    }

    /// Counts one response; `elapsed` is the time to its head.
    pub(crate) fn record(&self, route: &'static str, status: StatusCode, elapsed: Duration) {
        if let Some(meter) = self.0.get(route) {
            meter.record(status, elapsed);
        }
    }
}

impl Meter {
    fn record(&self, status: StatusCode, elapsed: Duration) {
        let index = STATUSES.iter().position(|known| *known == status.as_u16());
        let index = index.unwrap_or(STATUSES.len());
        let (requests, seconds) = self.by_status[index].get_or_init(|| {
            let status = STATUSES
                .get(index)
                .map_or("other".to_owned(), ToString::to_string);
            let labels = [
                ("service", "gateway".to_owned()),
                ("route", self.route.to_owned()),
                ("status", status),
            ];
            (
                counter!("konbini_gateway_requests_total", &labels),
                histogram!("konbini_gateway_request_seconds", &labels),
            )
        });
        requests.increment(1);
        seconds.record(elapsed);
    }
}

/// Counts a request that was refused unparsed, so that it has no route.
pub(crate) fn refused_unread(status: StatusCode) {
    let status = status.as_u16().to_string();
    counter!(
        "konbini_gateway_requests_total",
        "service" => "gateway", "route" => "none", "status" => status
    )
    .increment(1);
}

/// A collector of the state of backups: when the last one succeeded, in seconds since 1970,
/// or 0 without one; whether the last attempt failed; and the age in seconds from which on
/// one is overdue, or 0 if none is expected.
pub(crate) fn backup_collector(
    folder: &Folder,
    expected: &BackupConfig,
) -> impl Fn() + Send + Sync + 'static {
    let folder = folder.clone();
    let age_max = expected.age_max().map_or(0.0, |age| age.as_secs_f64());
    move || {
        let state = backup_state::read(&folder);
        let set = |name: &'static str, value: f64| gauge!(name, "service" => "gateway").set(value);
        let seconds = state.succeeded_at.map_or(0.0, |at| at.0 as f64 / 1_000.0);
        set("konbini_backup_last_success_seconds", seconds);
        let failed = f64::from(u8::from(state.failed_at.is_some()));
        set("konbini_backup_failed", failed);
        set("konbini_backup_expected_seconds", age_max);
    }
}

/// The metrics of one service as an upstream.
pub(crate) struct Upstream {
    seconds: [Histogram; OUTCOMES.len()],
    repeated: Counter,
    repetitions_refused: Counter,
    connected: Counter,
}

impl Upstream {
    /// Registers the metrics of a service.
    pub(crate) fn new(service: &'static str) -> Self {
        let seconds = OUTCOMES.map(|outcome| {
            histogram!(
                "konbini_gateway_upstream_seconds",
                "service" => service, "outcome" => outcome
            )
        });
        Self {
            seconds,
            repeated: counter!("konbini_gateway_repeated_total", "service" => service),
            repetitions_refused: counter!(
                "konbini_gateway_repetitions_refused_total", "service" => service
            ),
            connected: counter!("konbini_gateway_connected_total", "service" => service),
        }
    }

    /// Records the outcome of a request; `elapsed` is the time to the response's head,
    /// including a repetition.
    pub(crate) fn record(&self, outcome: &'static str, elapsed: Duration) {
        let index = OUTCOMES.iter().position(|known| *known == outcome);
        if let Some(seconds) = index.and_then(|index| self.seconds.get(index)) {
            seconds.record(elapsed);
        }
    }

    /// Counts a request that was sent a second time.
    pub(crate) fn repeated(&self) {
        self.repeated.increment(1);
    }

    /// Counts a request that could have been sent a second time, but the budget was spent.
    pub(crate) fn repetition_refused(&self) {
        self.repetitions_refused.increment(1);
    }

    /// Counts an opened connection.
    pub(crate) fn connected(&self) {
        self.connected.increment(1);
    }
}
