//! Request coalescing (single flight): concurrent misses for one key share one upstream
//! request (RFC 9111 §4, "collapse requests").
//!
//! **Invariant:** a request that arrives after a change never waits for a response that
//! was requested before it.

use std::collections::HashMap;
use std::sync::Arc;

use chassis::versions::Version;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::entry::CacheEntry;

/// The outcome of the leader's request.
#[derive(Clone)]
pub(super) enum LeaderOutcome {
    /// A response for every waiter.
    Shared(Arc<CacheEntry>),
    /// A response for the leader alone: every waiter sends its own request.
    Unshared,
    /// None, because the leader was cancelled: a waiter has to lead.
    Abandoned,
}

struct Pending {
    since: Version,
    outcome: watch::Receiver<Option<LeaderOutcome>>,
}

/// The pending request of each key; at most as many as there are requests.
#[derive(Default)]
pub(super) struct Coalescing(Mutex<HashMap<Box<str>, Pending>>);

/// The role of a request among coalesced ones.
pub(super) enum Role<'a> {
    /// Sends the upstream request.
    Lead(Leader<'a>),
    /// Waits for the leader's response.
    Wait(Waiter),
}

/// The request that is sent upstream.
pub(super) struct Leader<'a> {
    coalescing: &'a Coalescing,
    key: Box<str>,
    since: Version,
    outcome: watch::Sender<Option<LeaderOutcome>>,
}

/// A request that waits for the leader's outcome.
pub(super) struct Waiter(watch::Receiver<Option<LeaderOutcome>>);

impl Coalescing {
    /// Joins the pending request under `key`, if nothing has changed since it was sent.
    pub(super) fn join(&self, key: &str, now: Version) -> Role<'_> {
        let mut pending = self.0.lock();
        if let Some(known) = pending.get(key)
            && known.since == now
        {
            return Role::Wait(Waiter(known.outcome.clone()));
        }
        let (sender, outcome) = watch::channel(None);
        let key: Box<str> = key.into();
        pending.insert(key.clone(), Pending { since: now, outcome });
        Role::Lead(Leader { coalescing: self, key, since: now, outcome: sender })
    }
}

impl Leader<'_> {
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The version at which the request was sent.
    pub(super) fn since(&self) -> Version {
        self.since
    }

    /// Hands the outcome to every waiter.
    pub(super) fn finish(self, outcome: LeaderOutcome) {
        self.outcome.send_replace(Some(outcome));
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        let mut pending = self.coalescing.0.lock();
        // A newer request may have taken its place.
        if let Some(known) = pending.get(&self.key)
            && known.since == self.since
        {
            pending.remove(&self.key);
        }
    }
}

impl Waiter {
    /// Waits for the leader's outcome.
    pub(super) async fn outcome(mut self) -> LeaderOutcome {
        let outcome = self.0.wait_for(Option::is_some).await;
        outcome.map_or(LeaderOutcome::Abandoned, |outcome| {
            outcome.clone().unwrap_or(LeaderOutcome::Abandoned)
        })
    }
}
