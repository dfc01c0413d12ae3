//! Queries of other services: contacts of people from users, what was ordered from orders.
//!
//! **Invariant:** personal data is never stored here. Contacts are cached in memory for
//! minutes, and invalidated by users' events when the account changes or is erased; orders
//! are asked for each time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mesh::{Contact, ContactOf, Mesh, OrderDetails, OrderOf};
use model::{OrderId, Time, UserId};
use quick_cache::sync::Cache;

/// Capacity of the cache, at some 200 bytes per entry.
const CACHED_MAX: usize = 1024;

/// Time to live of an entry.
const AGE_MAX: Duration = Duration::from_secs(5 * 60);

/// Queries other services, users through a cache. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Queries {
    mesh: Mesh,
    contacts: Arc<Cache<UserId, (Instant, Option<Contact>)>>,
}

impl Queries {
    pub(crate) fn new(mesh: Mesh) -> Self {
        Self { mesh, contacts: Arc::new(Cache::new(CACHED_MAX)) }
    }

    /// The contact of a user: `None` when users does not answer within `timeout`,
    /// `Some(None)` when there is no such active account.
    pub(crate) async fn contact(&self, user: UserId, timeout: Duration) -> Option<Option<Contact>> {
        if let Some((asked_at, contact)) = self.contacts.get(&user)
            && asked_at.elapsed() < AGE_MAX
        {
            return Some(contact);
        }
        let asked_at = Instant::now();
        let contact = self.mesh.ask(&ContactOf { user_id: user }, timeout).await?;
        self.contacts.insert(user, (asked_at, contact.clone()));
        Some(contact)
    }

    /// Drops the cached contact of a user.
    pub(crate) fn invalidate_contact(&self, user: UserId) {
        self.contacts.remove(&user);
    }

    /// An order as it is now, with its change at `changed_at`: `None` when orders does not
    /// answer within `timeout`, `Some(None)` when there is no such order.
    pub(crate) async fn order(
        &self,
        order_id: OrderId,
        changed_at: Time,
        timeout: Duration,
    ) -> Option<Option<OrderDetails>> {
        let changed_at = Some(changed_at);
        self.mesh
            .ask(&OrderOf { order_id, changed_at }, timeout)
            .await
    }
}
