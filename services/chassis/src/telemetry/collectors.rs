//! Collectors: figures that are computed when the metrics are scraped.
//!
//! A counter costs its request an addition. A gauge such as the length of a queue would cost
//! every change of the queue, and the value between two scrapes is seen by nothing; so a
//! collector reads it at the scrape.
//!
//! ```
//! let collectors = chassis::Collectors::default();
//! collectors.add(|| metrics::gauge!("konbini_lamps", "service" => "hello").set(3.0));
//! collectors.collect();
//! ```
//!
//! **Invariant:** a collector reads counts that exist, and never scans a table.

use std::sync::Arc;

use parking_lot::Mutex;

type Collector = Arc<dyn Fn() + Send + Sync>;

/// The collectors of a process. Cheap to clone.
#[derive(Clone, Default)]
pub struct Collectors(Arc<Mutex<Vec<Collector>>>);

impl Collectors {
    /// Adds a collector, which sets its gauges each time it is called. It may block for as
    /// long as a file takes to read.
    pub fn add(&self, collect: impl Fn() + Send + Sync + 'static) {
        self.0.lock().push(Arc::new(collect));
    }

    /// Calls every collector. Blocks.
    pub fn collect(&self) {
        let all = self.0.lock().clone();
        all.iter().for_each(|collect| collect());
    }

    /// Drops all collectors, because the process ends: they hold stores, which are released
    /// only without them.
    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }
}
