//! Cache of contacts: addresses and languages of people, queried from users.
//!
//! **Invariant:** personal data is never stored here. Answers are cached in memory for
//! minutes, and invalidated by users' events when the account changes or is erased.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mesh::{Contact, ContactOf, Mesh};
use model::UserId;
use quick_cache::sync::Cache;

/// Capacity of the cache, at some 200 bytes per entry.
const CACHED_MAX: usize = 1024;

/// Time to live of an entry.
const AGE_MAX: Duration = Duration::from_secs(5 * 60);

/// Queries users through a cache. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Contacts {
    mesh: Mesh,
    cache: Arc<Cache<UserId, (Instant, Option<Contact>)>>,
}

impl Contacts {
    pub(crate) fn new(mesh: Mesh) -> Self {
        Self { mesh, cache: Arc::new(Cache::new(CACHED_MAX)) }
    }

    /// The contact of a user: `None` when users does not answer within `timeout`,
    /// `Some(None)` when there is no such active account.
    pub(crate) async fn of(&self, user: UserId, timeout: Duration) -> Option<Option<Contact>> {
        if let Some((asked_at, contact)) = self.cache.get(&user)
            && asked_at.elapsed() < AGE_MAX
        {
            return Some(contact);
        }
        let asked_at = Instant::now();
        let contact = self.mesh.ask(&ContactOf { user_id: user }, timeout).await?;
        self.cache.insert(user, (asked_at, contact.clone()));
        Some(contact)
    }

    /// Drops the cached contact of a user.
    pub(crate) fn invalidate(&self, user: UserId) {
        self.cache.remove(&user);
    }
}
