//! Where people are reached and what they read: asked of users, who knows.
//!
//! **Invariant:** personal data is never written here. What was answered is kept
//! in memory, for minutes, and dropped as soon as users says that it changed or
//! that the person is forgotten.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mesh::{Contact, ContactOf, Mesh};
use quick_cache::sync::Cache;

use crate::domain::UserId;

/// How many people's answers are kept, at some 200 bytes each.
const KEPT_MAX: usize = 1024;

/// For how long an answer is believed.
const AGE_MAX: Duration = Duration::from_secs(5 * 60);

/// Asks users, and remembers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Contacts {
    mesh: Mesh,
    kept: Arc<Cache<UserId, (Instant, Option<Contact>)>>,
}

impl Contacts {
    pub(crate) fn new(mesh: Mesh) -> Self {
        Self { mesh, kept: Arc::new(Cache::new(KEPT_MAX)) }
    }

    /// How to reach somebody: `None` when users does not say so within `timeout`,
    /// `Some(None)` for nobody.
    pub(crate) async fn of(&self, user: UserId, timeout: Duration) -> Option<Option<Contact>> {
        if let Some((asked_at, contact)) = self.kept.get(&user)
            && asked_at.elapsed() < AGE_MAX
        {
            return Some(contact);
        }
        let asked_at = Instant::now();
        let contact = self.mesh.ask(&ContactOf { user_id: user }, timeout).await?;
        self.kept.insert(user, (asked_at, contact.clone()));
        Some(contact)
    }

    /// Forgets what is known of somebody.
    pub(crate) fn drop(&self, user: UserId) {
        self.kept.remove(&user);
    }
}
