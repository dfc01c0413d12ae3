//! The store as a service sees it: through its public calls only.
//!
//! `model` walks random transactions against an ordered map, `writer` makes the
//! queue, the disk and the closures fail, `folder` opens what others left behind,
//! `readers` looks on while rows move, `caps` fills values to the limit, `room` the
//! disk, and `kill` ends a loaded process with SIGKILL.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report")]

mod caps;
mod disk_reserve;
mod folder;
mod kill;
mod model;
mod readers;
mod writer;

use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use store::{Error, Options, Store, Table};

/// Long enough for any machine; reached only when something never comes.
const DEADLINE: Duration = Duration::from_secs(30);

const LEFT: Table<u64, u64> = Table::new("left");
const RIGHT: Table<u64, u64> = Table::new("right");

/// A run's parameters from the environment: its seed and its size.
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no configuration file"
)]
fn number_from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Opens the folder. The kill test forks this process, and until its child execs,
/// that child holds the descriptors, and so the locks, of stores closed meanwhile.
fn open(dir: &Path) -> Store {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match Store::open(dir, &Options::default()) {
            Err(Error::Locked(_)) if Instant::now() < deadline => std::thread::yield_now(),
            opened => return opened.expect("the store opens"),
        }
    }
}

/// Awaits what must come, and fails instead of hanging when it does not.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} did not come within {DEADLINE:?}"))
}

/// Holds the writer inside a closure, so that what is sent meanwhile queues up
/// and shares a batch. Returns once the writer is held; dropping lets go.
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
