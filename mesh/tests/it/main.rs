//! The mesh as a service sees it: through its public calls only.
//!
//! `chaos` walks a whole shop through restarts, restored backups and a network
//! that loses, doubles and reorders, by seed. `world` is that shop and the model
//! it is held against; `node` the source and the followers in it, `effect` what
//! an event leaves in a follower, `network` what carries it there. `follow` looks
//! at one follower closely, `listen` at whoever keeps nothing, and `transport` is the
//! suite both transports pass.

mod chaos;
mod effect;
mod follow;
mod listen;
mod network;
mod node;
mod transport;
mod world;

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

/// Long enough for any machine; reached only when something never comes.
const DEADLINE: Duration = Duration::from_secs(30);

/// How often a condition that cannot wake anybody is looked at again.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Awaits what must come, and fails instead of hanging when it does not.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} did not come within {DEADLINE:?}"))
}

/// Waits until `condition` holds, and fails when it never does.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    soon(what, async {
        while !condition() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .await;
}

/// A folder in memory where there is one: the promises tested here do not rest
/// on the disk, and a store's first segment has 4 MiB.
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
