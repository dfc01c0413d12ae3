//! How many requests, how long, by route and status.
//!
//! A pair's counters are looked up in the recorder once and kept: there are ten
//! routes and as many statuses as services use.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use http::StatusCode;
use metrics::{Counter, Histogram};

type Pair = (Counter, Histogram);

/// The gateway's own metrics.
#[derive(Default)]
pub(crate) struct Metrics(RwLock<HashMap<(&'static str, StatusCode), Pair>>);

impl Metrics {
    /// Counts one answer; `elapsed` is the time to its head.
    pub(crate) fn record(&self, route: &'static str, status: StatusCode, elapsed: Duration) {
        let key = (route, status);
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((requests, seconds)) = known.get(&key) {
            requests.increment(1);
            seconds.record(elapsed);
            return;
        }
        drop(known);
        let labels = [
            ("route", route.to_owned()),
            ("status", status.as_str().to_owned()),
        ];
        let pair = (
            metrics::counter!("konbini_gateway_requests_total", &labels),
            metrics::histogram!("konbini_gateway_request_seconds", &labels),
        );
        pair.0.increment(1);
        pair.1.record(elapsed);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(key, pair);
    }
}
