//! The interface between a process and its supervisor, such as systemd: whether the process
//! makes progress, and reloading.
//!
//! A supervisor sees a process that ends, but not one that hangs. Each part that must go on
//! (the writer of a store, a follower, a worker thread) therefore registers a probe, and a
//! heartbeat is sent only after a round in which every probe has been answered. The watchdog
//! of the supervisor restarts a process without heartbeats.
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use std::time::Duration;
//!
//! let supervision = chassis::Supervision::default();
//! supervision.add_part("the clock", || async {});
//! supervision.add_part("the postman", std::future::pending);
//! let mut round = supervision.round();
//! assert_eq!(round.stalled(Duration::from_millis(5)).await, ["the postman"]);
//! # });
//! ```
//!
//! **Invariants:** a probe is answered by an idle part, too, and writes nothing. One round is
//! under way at a time, so a part that hangs costs one waiting future.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

type Probe = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;
type Reload = Arc<dyn Fn() + Send + Sync>;

/// The parts of a process that must make progress, and what it reloads. Cheap to clone.
#[derive(Clone, Default)]
pub struct Supervision(Arc<Mutex<Registered>>);

#[derive(Default)]
struct Registered {
    parts: Vec<(String, Probe)>,
    reloads: Vec<Reload>,
}

impl Supervision {
    /// Registers a part. The future of `probe` resolves once the part has made progress since
    /// the call, and never if the part is stuck.
    pub fn add_part<F>(
        &self,
        name: impl Into<String>,
        probe: impl Fn() -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let probe: Probe = Arc::new(move || Box::pin(probe()));
        self.0.lock().parts.push((name.into(), probe));
    }

    /// Registers what the process does when it is asked to reload.
    pub fn on_reload(&self, reload: impl Fn() + Send + Sync + 'static) {
        self.0.lock().reloads.push(Arc::new(reload));
    }

    /// Reloads; returns when everything is in effect.
    pub fn reload(&self) {
        let reloads = self.0.lock().reloads.clone();
        reloads.iter().for_each(|reload| reload());
    }

    /// Drops all parts and reloads, because the process ends: they hold what it is made of,
    /// such as stores, which are released only without them.
    pub(crate) fn clear(&self) {
        *self.0.lock() = Registered::default();
    }

    /// Probes every part.
    pub fn round(&self) -> Round {
        let parts = self.0.lock().parts.clone();
        let stalled = parts.iter().map(|(name, _)| name.clone()).collect();
        let probe = |(name, probe): (String, Probe)| -> BoxFuture<'static, String> {
            Box::pin(async move {
                probe().await;
                name
            })
        };
        Round { probes: parts.into_iter().map(probe).collect(), stalled }
    }

    /// Calls `beat` at once and then about every `interval`, but only after all parts have
    /// made progress; those that have not are logged. Runs until it is dropped.
    pub async fn heartbeat(&self, interval: Duration, beat: impl Fn()) {
        loop {
            let mut round = self.round();
            loop {
                let stalled = round.stalled(interval).await;
                if stalled.is_empty() {
                    break;
                }
                tracing::error!(
                    "no progress within {} s: {}; without it the watchdog restarts this process",
                    interval.as_secs_f32(),
                    stalled.join(", ")
                );
            }
            beat();
            tokio::time::sleep(interval).await;
        }
    }
}

/// One probe of every part.
pub struct Round {
    probes: FuturesUnordered<BoxFuture<'static, String>>,
    stalled: BTreeSet<String>,
}

impl Round {
    /// Waits until all parts have made progress, at most for `timeout`; returns the names of
    /// those that have not.
    pub async fn stalled(&mut self, timeout: Duration) -> Vec<&str> {
        let deadline = Instant::now() + timeout;
        while let Ok(Some(name)) = timeout_at(deadline, self.probes.next()).await {
            self.stalled.remove(&name);
        }
        self.stalled.iter().map(String::as_str).collect()
    }
}
