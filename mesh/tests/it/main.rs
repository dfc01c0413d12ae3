//! Tests of the mesh through its public API.
//!
//! `chaos` runs a whole shop through restarts, restored backups and a network that loses,
//! duplicates and reorders, by seed. `world` is that shop with its reference model, `node`
//! its source and followers, `effect` the handler of a follower, `network` the transport.
//! `follow` tests one follower, `trim` a log that loses its beginning, `listen` a listener without a store, and `transport` is the
//! suite that both transports pass.

mod chaos;
mod effect;
mod follow;
mod listen;
mod network;
mod node;
mod transport;
mod trim;
mod world;

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

/// Long enough for any machine; reached only when a test hangs.
const DEADLINE: Duration = Duration::from_secs(30);

/// The interval at which a condition without a wake-up is polled.
const POLL_EVERY: Duration = Duration::from_millis(2);

/// Awaits a future, and fails after the deadline instead of hanging.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} did not come within {DEADLINE:?}"))
}

/// Waits until `condition` holds, and fails after the deadline.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    soon(what, async {
        while !condition() {
            tokio::time::sleep(POLL_EVERY).await;
        }
    })
    .await;
}

/// A folder on a memory file system if there is one: these tests do not depend on the disk,
/// and a store's first segment has 4 MiB.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = tempfile::Builder::new()
        .prefix("mesh")
        .rand_bytes(6)
        .tempdir_in(memory);
    folder
        .or_else(|_| TempDir::new())
        .expect("a temporary folder")
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test has no configuration file"
)]
fn number_from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
