//! The connection pool of one instance, last in first out: connections below the
//! low-water mark of an interval were not needed in it and are closed.
//!
//! Each worker has its own part: a connection is read on the thread that opened it.
//!
//! **Invariants:** a pooled connection has been read to the clean end of its last response
//! and can take a request; a worker pools at most [`IDLE_MAX`], none for longer than two
//! intervals of [`IDLE_TIMEOUT`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::link::Link;
use crate::workers;

/// The most idle connections of a worker to one instance. More at once are opened and
/// closed afterwards.
pub(super) const IDLE_MAX: usize = 64;

/// The interval at whose end unneeded connections are closed.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// An instance's idle connections, by worker, and its requests in flight.
pub(super) struct Pool {
    idle: Box<[Mutex<Idle>]>,
    in_flight: AtomicUsize,
}

/// One request in flight, until it is dropped.
pub(super) struct Lease(Arc<Pool>);

impl Lease {
    /// Counts one more request.
    pub(super) fn new(pool: &Arc<Pool>) -> Self {
        pool.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(pool.clone())
    }

    /// Returns the connection that the request was sent over.
    pub(super) fn give_back(self, link: Link) {
        self.0.put(link);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Idle {
    links: Vec<Link>,
    /// The low-water mark of the interval.
    unneeded: usize,
}

impl Pool {
    /// An empty pool.
    pub(super) fn new() -> Self {
        let idle = (0..workers::count()).map(|_| Mutex::default()).collect();
        Self { idle, in_flight: AtomicUsize::new(0) }
    }

    /// The number of requests whose response has not ended.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The connection that was returned last.
    pub(super) fn take(&self) -> Option<Link> {
        let mut idle = self.here();
        let link = idle.links.pop()?;
        idle.unneeded = idle.unneeded.min(idle.links.len());
        Some(link)
    }

    /// Pools a connection that can take a request, or closes it when there are enough.
    pub(super) fn put(&self, link: Link) {
        let mut idle = self.here();
        if idle.links.len() < IDLE_MAX {
            idle.links.push(link);
        } else {
            drop(idle);
            drop(link);
        }
    }

    /// Ends an interval: closes the connections below its low-water mark.
    pub(super) fn close_idle(&self) {
        for idle in &self.idle {
            let mut idle = idle.lock();
            let unneeded = idle.unneeded;
            let closed: Vec<_> = idle.links.drain(..unneeded).collect();
            idle.unneeded = idle.links.len();
            drop(idle);
            drop(closed);
        }
    }

    /// The number of idle connections.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.idle.iter().map(|idle| idle.lock().links.len()).sum()
    }

    fn here(&self) -> MutexGuard<'_, Idle> {
        self.idle[workers::here() % self.idle.len()].lock()
    }
}
