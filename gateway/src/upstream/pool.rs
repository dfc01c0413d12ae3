//! The warm connections to one instance that nobody uses at the moment.
//!
//! The one that came back last is taken first, so a quiet time shows at the other
//! end: what lay below the lowest level of a whole interval was not needed in it.
//!
//! Each worker has its own: a connection is read on the thread that opened it.
//!
//! **Invariants:** every connection here has been read to the clean end of its last
//! answer and can take a request; at most [`IDLE_MAX`] of a worker's are here, and
//! none for longer than two intervals of [`IDLE_TIMEOUT`].

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::link::Link;
use crate::workers;

/// Connections that a worker keeps warm to one instance. More at once are opened for
/// it and closed afterwards.
pub(super) const IDLE_MAX: usize = 64;

/// How long a connection that is not needed is kept.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// An instance's idle connections, by worker.
pub(super) struct Pool(Box<[Mutex<Idle>]>);

#[derive(Default)]
struct Idle {
    links: Vec<Link>,
    /// The fewest that were here since the interval began.
    unneeded: usize,
}

impl Pool {
    /// None yet.
    pub(super) fn new() -> Self {
        Self((0..workers::count()).map(|_| Mutex::default()).collect())
    }

    /// The warmest connection.
    pub(super) fn take(&self) -> Option<Link> {
        let mut idle = self.here();
        let link = idle.links.pop()?;
        idle.unneeded = idle.unneeded.min(idle.links.len());
        Some(link)
    }

    /// Keeps a connection that can take a request, or closes it when there are
    /// enough.
    pub(super) fn put(&self, link: Link) {
        let mut idle = self.here();
        if idle.links.len() < IDLE_MAX {
            idle.links.push(link);
        } else {
            drop(idle);
            drop(link);
        }
    }

    /// Ends an interval: closes what it did not need.
    pub(super) fn tidy(&self) {
        for idle in &self.0 {
            let mut idle = held(idle);
            let unneeded = idle.unneeded;
            let closed: Vec<_> = idle.links.drain(..unneeded).collect();
            idle.unneeded = idle.links.len();
            drop(idle);
            drop(closed);
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|idle| held(idle).links.len()).sum()
    }

    fn here(&self) -> MutexGuard<'_, Idle> {
        held(&self.0[workers::here() % self.0.len()])
    }
}

fn held(idle: &Mutex<Idle>) -> MutexGuard<'_, Idle> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}
