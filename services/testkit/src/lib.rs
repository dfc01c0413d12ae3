//! Test support that every crate shares: services and shops under test, people who use
//! them, crashes, and waiting for eventual effects.
//!
//! | module | holds |
//! | --- | --- |
//! | `service` | one service on port 0 in a temporary folder, its peers played by their logs |
//! | `person` | HTTP clients with the tokens of a role |
//! | `provider` | payment providers that are played: their API, and what goes wrong with it |
//! | `shop` | the binary's processes in a temporary folder, started, killed and restarted |
//! | `cgroup` | a control group, which bounds what processes use |
//! | `damage` | files damaged at rest, and copies of folders |
//! | `crash` | a store's write load that is killed, and the audit of what it leaves |
//!
//! **Invariant:** only tests, benches and the load generator link this crate; it knows no
//! service, which each test brings as its `open` function.

pub mod cgroup;
pub mod crash;
pub mod damage;
pub mod person;
pub mod provider;
pub mod service;
pub mod shop;

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use tokio::time::Instant;

pub use person::{Person, TestResponse, send};
pub use provider::{PlayedKind, PlayedProvider};
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

/// The code that an authenticator app shows for a secret in base 32, so many steps of 30 s from
/// now. A service accepts one step either way and none twice, so a test has the codes of 0 and
/// 1, in this order, whenever the step ends; what it needs beyond are recovery codes.
///
/// # Panics
/// When the secret is not 160 bits in base 32.
pub fn totp_code(secret: &str, steps_ahead: u64) -> String {
    let secret = data_encoding::BASE32_NOPAD.decode(secret.as_bytes());
    let secret = secret.expect("the secret is base 32");
    let secret: [u8; 20] = secret.try_into().expect("the secret has 160 bits");
    let totp = totp_rs::Builder::new().with_secret(totp_rs::Secret::new_stack(secret));
    let totp = totp.build().expect("the defaults are those of apps");
    let seconds = u64::try_from(model::now().0 / 1000).expect("the clock is after 1970");
    totp.generate(seconds + steps_ahead * 30).to_string()
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
