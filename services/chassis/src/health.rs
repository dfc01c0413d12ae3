//! Readiness: the conditions under which a service takes requests.
//!
//! Each part of a service adds its own condition, such as a follower that has to catch up;
//! `/readyz` returns 200 while all of them hold.
//!
//! ```
//! let health = chassis::Health::default();
//! health.add(|| Some("not caught up with users".into()));
//! health.add(|| None);
//! assert_eq!(health.missing(), ["not caught up with users"]);
//! ```
//!
//! **Invariant:** a condition is evaluated at each request and stores nothing, so readiness
//! is never stale; it must be cheap, because load balancers ask every second or so.

use std::sync::Arc;

use parking_lot::Mutex;

type Condition = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// The conditions of a service's readiness. Cheap to clone.
#[derive(Clone, Default)]
pub struct Health(Arc<Mutex<Vec<Condition>>>);

impl Health {
    /// Adds a condition: `None` while it holds, else the reason why not.
    pub fn add(&self, condition: impl Fn() -> Option<String> + Send + Sync + 'static) {
        self.0.lock().push(Box::new(condition));
    }

    /// The reasons of all conditions that do not hold.
    pub fn missing(&self) -> Vec<String> {
        let conditions = self.0.lock();
        conditions
            .iter()
            .filter_map(|condition| condition())
            .collect()
    }
}
