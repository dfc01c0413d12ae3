//! Striped version counters, which validate cached responses: those of the gateway, and
//! the products that their service caches.
//!
//! Invalidation searches no entries. A response keeps the version at which it was
//! requested, and is current only while none of its cache tags was invalidated after
//! that. An invalidation therefore costs the same however full the cache is, and a
//! response that was in flight meanwhile is never current in the first place.
//!
//! **Invariant:** a request that reads [`Versions::now`] after [`Versions::invalidate`]
//! has returned receives a response from after the change; a response that was
//! requested before that is not current.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of stripes. Tags that share a stripe are invalidated together, which costs
/// a needless upstream request and nothing else.
const STRIPES: usize = 1024;

/// A logical time: the number of invalidations before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u64);

/// The counter that a cache tag belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stripe(usize);

impl Stripe {
    /// The stripe of a cache tag, or of a key.
    pub fn of<T: Hash + ?Sized>(tag: &T) -> Self {
        let mut hasher = DefaultHasher::new();
        tag.hash(&mut hasher);
        Self(hasher.finish() as usize % STRIPES)
    }
}

/// The version of the last invalidation of each stripe, and of all of them.
#[derive(Debug)]
pub struct Versions {
    now: AtomicU64,
    all: AtomicU64,
    stripes: Box<[AtomicU64]>,
}

impl Default for Versions {
    /// Counters without any invalidation.
    fn default() -> Self {
        let stripes = (0..STRIPES).map(|_| AtomicU64::new(0)).collect();
        Self { now: AtomicU64::new(0), all: AtomicU64::new(0), stripes }
    }
}

impl Versions {
    /// The present version; a response that is requested now is current from it on.
    pub fn now(&self) -> Version {
        Version(self.now.load(Ordering::SeqCst))
    }

    /// Invalidates every response with a tag in this stripe.
    pub fn invalidate(&self, stripe: Stripe) {
        self.advance(&self.stripes[stripe.0]);
    }

    /// Invalidates every response.
    pub fn invalidate_all(&self) {
        self.advance(&self.all);
    }

    fn advance(&self, counter: &AtomicU64) {
        let version = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        // Of two concurrent invalidations the later version stays, whatever their order here.
        counter.fetch_max(version, Ordering::SeqCst);
    }

    /// Whether a response that was requested at `since` and has tags in these stripes is
    /// still current.
    pub fn is_current(&self, since: Version, stripes: &[Stripe]) -> bool {
        let is_older = |counter: &AtomicU64| counter.load(Ordering::SeqCst) <= since.0;
        is_older(&self.all)
            && stripes
                .iter()
                .all(|stripe| is_older(&self.stripes[stripe.0]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_requested_before_an_invalidation_is_not_current() {
        let versions = Versions::default();
        let (lamp, chair) = (Stripe::of("lamp"), Stripe::of("chair"));
        assert_ne!(lamp, chair);
        let before = versions.now();
        versions.invalidate(lamp);
        let after = versions.now();
        assert!(!versions.is_current(before, &[chair, lamp]));
        assert!(versions.is_current(before, &[chair]) && versions.is_current(after, &[lamp]));
        versions.invalidate_all();
        assert!(!versions.is_current(after, &[chair]));
        assert!(versions.is_current(versions.now(), &[chair]));
    }
}
