//! A source and a follower as services run them, each with a store of its own.
//!
//! **Invariant:** a stopped node has released its folder, which can then be opened, copied
//! or replaced.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mesh::store::{Options, Store, Tx};
use mesh::{Cause, Draft, Follower, Following, Log, Mesh, Source};
use model::{Fact, Id, Time, kinds};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::{soon, until};

/// The service that is followed.
pub(crate) const SOURCE: &str = "products";

/// The parts of every node: a folder, its store, and tasks.
struct Home {
    folder: PathBuf,
    store: Store,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Home {
    fn open(folder: &Path) -> Self {
        let options = Options { cache_bytes: 1024 * 1024, ..Options::default() };
        Self {
            folder: folder.to_owned(),
            store: Store::open(folder, &options).expect("the store opens"),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    async fn leave(self) {
        self.stop.cancel();
        self.tasks.close();
        soon("the end of a node's tasks", self.tasks.wait()).await;
        self.store.close();
        // The engine's threads may hold the lock a moment longer.
        until("the folder's release", || {
            let file = File::open(self.folder.join("db")).expect("the database file");
            file.try_lock().is_ok()
        })
        .await;
    }
}

/// A service that publishes its log.
pub(crate) struct SourceNode {
    pub(crate) log: Log,
    home: Home,
}

impl SourceNode {
    /// Opens the store in `folder`; a new log has the epoch `now`.
    pub(crate) async fn open(folder: &Path, now: Time) -> Self {
        let home = Home::open(folder);
        let log = Log::open(home.store.clone(), SOURCE, now).await;
        Self { log: log.expect("the log opens"), home }
    }

    /// Starts to publish the log and to serve queries.
    pub(crate) async fn serve(&self, mesh: Mesh, announce_every: Duration) {
        let source = Source { announce_every, ..Source::new(self.log.clone(), mesh) };
        let started = source.start(&self.home.tasks, self.home.stop.clone());
        started.await.expect("the source starts");
    }

    pub(crate) fn store(&self) -> &Store {
        &self.home.store
    }

    /// Appends in a transaction of its own.
    pub(crate) async fn append(&self, draft: Draft) {
        let log = self.log.clone();
        let place = self
            .store()
            .write(move |tx: &mut Tx<'_>| log.append(tx, draft));
        place.await.expect("an event is appended");
    }

    pub(crate) async fn stop(self) {
        drop(self.log);
        self.home.leave().await;
    }
}

/// An event with its number among those of its key, and among all.
pub(crate) fn draft(key: &str, counter: i64, number: i64) -> Draft {
    let fact = Fact::StockAdjusted {
        product_id: Id::<kinds::Product>::from_uuid(Uuid::nil()),
        on_hand: counter,
        reserved: number,
    };
    Draft { key: key.into(), fact, cause: Cause::own(Time(0)) }
}

/// A service that follows.
pub(crate) struct FollowerNode {
    pub(crate) following: Following,
    home: Home,
}

impl FollowerNode {
    /// Opens the store in `folder` and starts its follower.
    pub(crate) async fn start(folder: &Path, follower: impl FnOnce(Store) -> Follower) -> Self {
        let home = Home::open(folder);
        let started = follower(home.store.clone()).start(&home.tasks, home.stop.clone());
        let following = started.await.expect("the follower starts");
        Self { following, home }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.home.store
    }

    pub(crate) async fn stop(self) {
        drop(self.following);
        self.home.leave().await;
    }
}

/// Copies the folder of a stopped node.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a readable folder") {
        let entry = entry.expect("a readable folder");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("a copy");
        }
    }
}
