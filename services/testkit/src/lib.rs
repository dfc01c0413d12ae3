//! Test support that every crate shares: services and shops under test, people who use
//! them, crashes, and waiting for eventual effects.
//!
//! | module | holds |
//! | --- | --- |
//! | `service` | one service on port 0 in a temporary folder, its peers played by their logs |
//! | `person` | HTTP clients with the tokens of a role |
//! | `shop` | the binary's processes in a temporary folder, started, killed and restarted |
//! | `damage` | files damaged at rest, and copies of folders |
//! | `crash` | a store's write load that is killed, and the audit of what it leaves |
//!
//! **Invariant:** only tests, benches and the load generator link this crate; it knows no
//! service, which each test brings as its `open` function.

pub mod crash;
pub mod damage;
pub mod person;
pub mod service;
pub mod shop;

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{Index, select};
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

/// Bytes near well-formed examples: one of them with a few bytes exchanged anywhere.
pub fn mutated<T: AsRef<[u8]>>(
    examples: impl IntoIterator<Item = T>,
) -> impl Strategy<Value = Vec<u8>> {
    let examples: Vec<Vec<u8>> = examples
        .into_iter()
        .map(|it| it.as_ref().to_vec())
        .collect();
    let inserted = proptest::collection::vec(any::<u8>(), 0..8);
    let mutation = (select(examples), any::<Index>(), 0usize..8, inserted);
    mutation.prop_map(|(mut bytes, place, removed, inserted)| {
        let from = place.index(bytes.len() + 1);
        let to = bytes.len().min(from + removed);
        bytes.splice(from..to, inserted);
        bytes
    })
}
