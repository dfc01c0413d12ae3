//! Test support that every crate shares: services and shops under test, people who use
//! them, crashes, and waiting for eventual effects.
//!
//! | module | holds |
//! | --- | --- |
//! | `service` | one service on port 0 in a temporary folder, its peers played by their logs |
//! | `person` | HTTP clients with the tokens of a role |
//! | `shop` | the binary's processes in a temporary folder, started, killed and restarted |
//! | `crash` | a store's write load that is killed, and the audit of what it leaves |
//!
//! **Invariant:** only tests, benches and the load generator link this crate; it knows no
//! service, which each test brings as its `open` function.

pub mod crash;
pub mod person;
pub mod service;
pub mod shop;

use std::time::Duration;

use tokio::time::Instant;

pub use person::{Person, TestResponse, send};
pub use service::{OtherService, TestService, claims};

/// The longest time for a condition to become true on a busy machine.
pub const TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Polls `condition` until it holds.
///
/// # Panics
/// When it does not hold within [`TIMEOUT`].
pub async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let deadline = Instant::now() + TIMEOUT;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {TIMEOUT:?}: {what}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
