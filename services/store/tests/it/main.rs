//! Tests of the store through its public API.
//!
//! `model` compares random transactions with an ordered map, `writer` makes the queue, the
//! disk and the closures fail, `folder` opens folders left behind, `readers` reads during
//! checkpoints, `snapshot` copies a store under writes, `caps` tests the size limits, `disk_reserve` a full disk, `kill` crashes
//! of a loaded process, `compact` stores that are written anew, and `damage` files that were
//! damaged at rest.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report")]

mod caps;
mod compact;
mod damage;
mod disk_reserve;
mod folder;
mod kill;
mod model;
mod overwrites;
mod readers;
mod snapshot;
mod writer;

use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use store::{Error, Options, Store, Table};

/// Long enough for any machine; reached only when a test hangs.
const DEADLINE: Duration = Duration::from_secs(30);

const LEFT: Table<u64, u64> = Table::new("left");
const RIGHT: Table<u64, u64> = Table::new("right");

/// Reads a parameter of a run, such as its seed or its size, from the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no configuration file"
)]
fn number_from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Opens the folder, and retries while it is locked: the kill test forks this process, and
/// until the child's exec it holds the descriptors, and so the locks, of closed stores.
fn open(dir: &Path) -> Store {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match Store::open(dir, &Options::default()) {
            Err(Error::Locked(_)) if Instant::now() < deadline => std::thread::yield_now(),
            opened => return opened.expect("the store opens"),
        }
    }
}

/// Awaits a future, and fails after the deadline instead of hanging.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} did not come within {DEADLINE:?}"))
}

/// Blocks the writer inside a closure, so that later transactions queue up and share a
/// batch. Returns once the writer is blocked; dropping the sender releases it.
async fn hold(store: &Store) -> std::sync::mpsc::Sender<()> {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (entered, inside) = tokio::sync::oneshot::channel();
    let store = store.clone();
    tokio::spawn(async move {
        store
            .write(move |_| {
                let _ = entered.send(());
                let _ = released.recv();
                Ok::<_, store::Error>(())
            })
            .await
    });
    soon("the writer", inside)
        .await
        .expect("the holding closure runs");
    release
}
