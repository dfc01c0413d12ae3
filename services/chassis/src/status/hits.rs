//! Hit counters of a cache, for the metrics and for `/v1/status`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use metrics::Counter;
use serde_json::{Value, json};

/// Hits and misses of a cache since the process started.
pub struct CacheHits {
    hits: Count,
    misses: Count,
}

/// A metric and its value, which cannot be read back from the metric.
struct Count(Counter, AtomicU64);

impl Count {
    fn add(&self) {
        self.0.increment(1);
        self.1.fetch_add(1, Relaxed);
    }
}

impl CacheHits {
    /// Counters with the metrics `NAME_hits_total` and `NAME_misses_total` of a service.
    pub fn new(service: &'static str, name: &str) -> Self {
        let count = |what: &str| {
            let counter = metrics::counter!(format!("{name}_{what}_total"), "service" => service);
            Count(counter, AtomicU64::new(0))
        };
        Self { hits: count("hits"), misses: count("misses") }
    }

    /// Counts a hit.
    pub fn hit(&self) {
        self.hits.add();
    }

    /// Counts a miss.
    pub fn miss(&self) {
        self.misses.add();
    }

    /// The status figure of a cache with entries of `bytes`.
    pub fn figure(&self, bytes: u64) -> Value {
        let (hits, misses) = (self.hits.1.load(Relaxed), self.misses.1.load(Relaxed));
        let all = hits + misses;
        let hit_rate = (all > 0).then(|| hits as f64 / all as f64);
        json!({ "hits": hits, "misses": misses, "hit_rate": hit_rate, "bytes": bytes })
    }
}
