//! The metrics that every service has, computed at a scrape: readiness, log, followers, dead
//! letters, store and disk.
//!
//! **Invariant:** the cardinality is bounded: services, their followers, and the states of a
//! follower.

use mesh::{FollowerState, Following};
use metrics::gauge;
use store::{Store, WriterMetrics};

use super::{ServiceStatus, bytes_below};

/// The states of a follower, as values of a label.
const STATES: [&str; 3] = ["waiting", "following", "stopped"];

/// The metrics of the writer of a service's store.
pub(crate) fn writer_metrics(service: &'static str) -> WriterMetrics {
    let counter = |name: &'static str| metrics::counter!(name, "service" => service);
    WriterMetrics {
        batches: counter("konbini_store_batches_total"),
        transactions: counter("konbini_store_transactions_total"),
        rows: counter("konbini_store_rows_total"),
        sync_seconds: metrics::histogram!("konbini_store_sync_seconds", "service" => service),
    }
}

/// Sets the gauges of a service and its store. Blocks while it reads sizes of files.
pub(crate) fn collect(status: &ServiceStatus, store: &Store) {
    let inner = &*status.0;
    let service = inner.service;
    let set = |name: &'static str, value: f64| gauge!(name, "service" => service).set(value);
    let is_ready = inner.health.missing().is_empty();
    set("konbini_ready", f64::from(u8::from(is_ready)));
    set("konbini_warnings", inner.health.warnings().len() as f64);
    set("konbini_log_tail", inner.log.tail().seq as f64);
    set("konbini_store_queue", store.queue_len() as f64);
    let bytes = bytes_below(&inner.data_dir.join("store"));
    set("konbini_store_bytes", bytes as f64);
    // A figure that cannot be had keeps its last value.
    if let Ok(free) = store.free_bytes() {
        set("konbini_disk_free_bytes", free as f64);
    }
    if let Ok(Some(letters)) = mesh::dead_letter_count(store) {
        set("konbini_dead_letters", letters as f64);
    }
    for following in status.followings() {
        follower(service, &following);
    }
}

fn follower(service: &'static str, following: &Following) {
    let (state, lag) = match following.state() {
        // How far it lags is not known before the source has answered.
        FollowerState::Waiting { .. } => ("waiting", f64::NAN),
        FollowerState::Following { cursor, tail } => {
            ("following", tail.seq.saturating_sub(cursor.seq) as f64)
        }
        FollowerState::Stopped { .. } => ("stopped", f64::NAN),
    };
    let labels = [
        ("service", service.to_owned()),
        ("follower", following.name().to_owned()),
        ("source", following.source().to_owned()),
    ];
    gauge!("konbini_follower_lag", &labels).set(lag);
    for one in STATES {
        let mut labels = labels.to_vec();
        labels.push(("state", one.to_owned()));
        let is_it = f64::from(u8::from(one == state));
        gauge!("konbini_follower_state", &labels).set(is_it);
    }
}
