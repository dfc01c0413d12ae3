//! Readiness: the conditions under which a service takes requests.
//!
//! Each part of a service adds its own condition, such as a follower that has to catch up;
//! `/readyz` returns 200 while all of them hold. A warning is a condition of another kind:
//! the service takes requests without it, but the operator has to look.
//!
//! ```
//! let health = chassis::Health::default();
//! health.add(|| Some("not caught up with users".into()));
//! health.add(|| None);
//! health.warn(|| Some("the last backup failed".into()));
//! assert_eq!(health.missing(), ["not caught up with users"]);
//! assert_eq!(health.warnings(), ["the last backup failed"]);
//! ```
//!
//! **Invariant:** a condition is evaluated at each request and stores nothing, so readiness
//! is never stale; it must be cheap, because load balancers ask every second or so.

use std::sync::Arc;

use parking_lot::Mutex;

type Condition = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// The conditions of a service's readiness, and those of warnings. Cheap to clone.
#[derive(Clone, Default)]
pub struct Health(Arc<Conditions>);

#[derive(Default)]
struct Conditions {
    of_readiness: Mutex<Vec<Condition>>,
    of_warnings: Mutex<Vec<Condition>>,
}

impl Health {
    /// Adds a condition: `None` while it holds, else the reason why not.
    pub fn add(&self, condition: impl Fn() -> Option<String> + Send + Sync + 'static) {
        self.0.of_readiness.lock().push(Box::new(condition));
    }

    /// Adds a warning: `None` while all is well, else what the operator has to look at. Its text
    /// is for admins.
    pub fn warn(&self, condition: impl Fn() -> Option<String> + Send + Sync + 'static) {
        self.0.of_warnings.lock().push(Box::new(condition));
    }

    /// The reasons of all conditions that do not hold.
    pub fn missing(&self) -> Vec<String> {
        evaluate(&self.0.of_readiness)
    }

    /// The warnings that hold.
    pub fn warnings(&self) -> Vec<String> {
        evaluate(&self.0.of_warnings)
    }
}

fn evaluate(conditions: &Mutex<Vec<Condition>>) -> Vec<String> {
    let conditions = conditions.lock();
    conditions
        .iter()
        .filter_map(|condition| condition())
        .collect()
}
