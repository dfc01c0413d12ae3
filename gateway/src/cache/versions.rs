//! What changed when: by this an answer that was kept is known to be true still.
//!
//! Nothing is looked for when something changes. An answer remembers the version at
//! which it was asked for, and counts only while nothing that it depends on changed
//! after that; so a change costs the same whatever is kept, and an answer that was
//! on its way meanwhile is never true in the first place.
//!
//! **Invariant:** who reads [`Versions::now`] after [`Versions::changed`] has returned
//! and asks then, gets an answer from after the change; an answer asked for before
//! that does not hold.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

/// Things that may change share one of so many places. A shared place only means
/// that an answer is asked for again without need.
const STRIPES: usize = 1024;

/// A moment, counted in changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u64);

/// Where changes of a thing are noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stripe(usize);

impl Stripe {
    /// The place of what is called `tag`.
    pub(super) fn of(tag: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        tag.hash(&mut hasher);
        Self(hasher.finish() as usize % STRIPES)
    }
}

/// The last change of everything.
pub(super) struct Versions {
    now: AtomicU64,
    all: AtomicU64,
    stripes: Box<[AtomicU64]>,
}

impl Versions {
    /// Nothing has changed yet.
    pub(super) fn new() -> Self {
        let stripes = (0..STRIPES).map(|_| AtomicU64::new(0)).collect();
        Self { now: AtomicU64::new(0), all: AtomicU64::new(0), stripes }
    }

    /// What an answer that is asked for now may be true since.
    pub(super) fn now(&self) -> Version {
        Version(self.now.load(Ordering::SeqCst))
    }

    /// The thing there is another one now.
    pub(super) fn changed(&self, stripe: Stripe) {
        self.note(&self.stripes[stripe.0]);
    }

    /// Anything may be another one now.
    pub(super) fn all_changed(&self) {
        self.note(&self.all);
    }

    fn note(&self, place: &AtomicU64) {
        let version = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        // Of two changes at once the later one counts, whoever notes it first.
        place.fetch_max(version, Ordering::SeqCst);
    }

    /// Whether what was asked for at `since` and depends on these things is still so.
    pub(super) fn hold(&self, since: Version, stripes: &[Stripe]) -> bool {
        let is_older = |place: &AtomicU64| place.load(Ordering::SeqCst) <= since.0;
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
    fn what_was_asked_for_before_a_change_does_not_hold() {
        let versions = Versions::new();
        let (lamp, chair) = (Stripe::of("lamp"), Stripe::of("chair"));
        assert_ne!(lamp, chair);
        let before = versions.now();
        versions.changed(lamp);
        let after = versions.now();
        assert!(!versions.hold(before, &[chair, lamp]));
        assert!(versions.hold(before, &[chair]) && versions.hold(after, &[lamp]));
        versions.all_changed();
        assert!(!versions.hold(after, &[chair]) && versions.hold(versions.now(), &[chair]));
    }
}
