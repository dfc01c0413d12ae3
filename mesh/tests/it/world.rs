//! One shop: a source, three followers, a network, and the model of the source's log.
//!
//! **Invariant checked:** the events that a follower applied are, in order, a prefix of a
//! history that the source really had. A follower settles in one of two states: at the tail
//! of the present history, with all of its events applied, or stopped, if the applied events
//! are not a prefix of the present history.

use std::ops::AddAssign;
use std::path::PathBuf;
use std::time::Duration;

use futures::future::join_all;
use mesh::store::{self, Read, Table, Tx};
use mesh::{Event, Follower, FollowerState};
use model::Time;
use tempfile::TempDir;

use crate::effect::{self, Effect, Hesitation};
use crate::network::Network;
use crate::node::{self, FollowerNode, SourceNode, copy, draft};
use crate::{scratch, until};

/// The number of events of each key, in the source's store.
const COUNTERS: Table<String, i64> = Table::new("counters");

const ANNOUNCE_EVERY: Duration = Duration::from_millis(5);
const POLL_EVERY: Duration = Duration::from_millis(20);
/// Timeout of catching up in these tests.
const TIMEOUT: Duration = Duration::from_millis(50);

/// A copy of the source's folder, and the model at that moment.
struct Backup {
    folder: PathBuf,
    history: Vec<Effect>,
    number: i64,
}

/// A follower, and the parts needed to start it again.
struct Place {
    folder: PathBuf,
    backup: Option<PathBuf>,
    hesitation: Hesitation,
    node: Option<FollowerNode>,
}

/// The states of followers whenever a shop had settled.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Ends {
    /// The number of events in the source's logs.
    pub(crate) events: usize,
    pub(crate) at_tail: usize,
    pub(crate) stopped: usize,
}

impl AddAssign for Ends {
    fn add_assign(&mut self, more: Self) {
        self.events += more.events;
        self.at_tail += more.at_tail;
        self.stopped += more.stopped;
    }
}

pub(crate) struct World {
    root: TempDir,
    network: Network,
    clock: i64,
    /// The number of the last event; a restored backup continues from its own, so that the
    /// same event may be made again.
    number: i64,
    folders: usize,
    source: Option<SourceNode>,
    source_folder: PathBuf,
    history: Vec<Effect>,
    past: Vec<Vec<Effect>>,
    backups: Vec<Backup>,
    followers: Vec<Place>,
}

impl World {
    pub(crate) async fn new(network: Network, followers: usize) -> Self {
        let root = scratch();
        let mut world = Self {
            source_folder: root.path().join("source"),
            root,
            network,
            clock: 1,
            number: 0,
            folders: 0,
            source: None,
            history: Vec::new(),
            past: Vec::new(),
            backups: Vec::new(),
            followers: Vec::new(),
        };
        world.start_source().await;
        for _ in 0..followers {
            let folder = world.fresh_folder();
            let hesitation = Hesitation::default();
            world
                .followers
                .push(Place { folder, backup: None, hesitation, node: None });
            world.start_follower(world.followers.len() - 1).await;
        }
        world
    }

    pub(crate) fn behave(&self, well: bool) {
        self.network.behave(well);
    }

    fn fresh_folder(&mut self) -> PathBuf {
        self.folders += 1;
        self.root.path().join(self.folders.to_string())
    }

    fn now(&mut self) -> Time {
        self.clock += 1;
        Time(self.clock)
    }

    async fn start_source(&mut self) {
        let now = self.now();
        let node = SourceNode::open(&self.source_folder, now).await;
        assert_eq!(
            node.log.tail().seq,
            self.history.len() as u64,
            "the log's durable end"
        );
        let mesh = self.network.of_source().await;
        node.serve(mesh, ANNOUNCE_EVERY).await;
        self.source = Some(node);
    }

    async fn stop_source(&mut self) {
        if let Some(node) = self.source.take() {
            node.stop().await;
            self.network.source_ended().await;
        }
    }

    async fn start_follower(&mut self, which: usize) {
        let mesh = self.network.of_followers();
        let place = &mut self.followers[which];
        let hesitation = place.hesitation.clone();
        let handler = move |tx: &mut Tx<'_>, event: &Event| effect::apply(tx, event, &hesitation);
        let node = FollowerNode::start(&place.folder, move |store| Follower {
            poll_every: POLL_EVERY,
            ..Follower::new("effects", node::SOURCE, store, mesh, handler)
        });
        place.node = Some(node.await);
    }

    async fn stop_follower(&mut self, which: usize) {
        if let Some(node) = self.followers[which].node.take() {
            node.stop().await;
        }
    }

    /// Appends several transactions concurrently, each of one or more events; those marked as
    /// refused append like the others and are then rolled back. The log then contains exactly
    /// the committed ones, in the order of submission.
    pub(crate) async fn append(&mut self, transactions: Vec<(Vec<&'static str>, bool)>) {
        let node = self.source.as_ref().expect("the source runs between steps");
        let mut made = Vec::new();
        let mut writes = Vec::new();
        for (keys, refuses) in transactions {
            let log = node.log.clone();
            let numbers = self.number + 1..;
            self.number += keys.len() as i64;
            if !refuses {
                made.extend(numbers.clone().take(keys.len()));
            }
            writes.push(node.store().write(move |tx: &mut Tx<'_>| {
                for (key, number) in keys.into_iter().zip(numbers) {
                    let counter = tx.get(COUNTERS, &key.to_owned())?.unwrap_or(0) + 1;
                    tx.put(COUNTERS, &key.to_owned(), &counter)?;
                    log.append(tx, draft(key, counter, number))?;
                }
                if refuses { Err(store::Error::Busy) } else { Ok(()) }
            }));
        }
        join_all(writes).await;
        let before = self.history.len();
        self.read_back();
        let logged = self.history[before..].iter().map(|effect| effect.number);
        assert_eq!(logged.collect::<Vec<_>>(), made, "logged after {before}");
    }

    /// Adds the appended events to the model, and checks that they have no gaps.
    fn read_back(&mut self) {
        let log = &self
            .source
            .as_ref()
            .expect("the source runs between steps")
            .log;
        let tail = log.tail().seq;
        while (self.history.len() as u64) < tail {
            let last = self.history.len() as u64;
            let page = log.read(last).expect("the log is readable");
            assert!(!page.is_empty(), "nothing between {last} and {tail}");
            for recorded in page {
                let event = Event::decode(&recorded.body).expect("an event");
                let last = self.history.len() as u64;
                assert_eq!(event.seq, last + 1, "the log has a gap");
                let effect = Effect::of(&event);
                let of_key = self.history.iter().filter(|one| one.key == effect.key);
                assert_eq!(effect.counter, of_key.count() as i64 + 1, "{effect:?}");
                self.history.push(effect);
            }
        }
    }

    pub(crate) async fn restart_source(&mut self) {
        self.stop_source().await;
        self.start_source().await;
    }

    pub(crate) async fn back_up_source(&mut self) {
        self.stop_source().await;
        let folder = self.fresh_folder();
        copy(&self.source_folder, &folder);
        let (history, number) = (self.history.clone(), self.number);
        self.backups.push(Backup { folder, history, number });
        self.start_source().await;
    }

    /// Replaces the source's data by a backup; `forked` declares a new epoch, as an operator
    /// should. Does nothing without a backup.
    pub(crate) async fn restore_source(&mut self, which: usize, forked: bool) {
        if self.backups.is_empty() {
            return;
        }
        self.stop_source().await;
        let Backup { folder, history, number } = &self.backups[which % self.backups.len()];
        std::fs::remove_dir_all(&self.source_folder).expect("the folder goes");
        copy(folder, &self.source_folder);
        self.number = *number;
        self.past
            .push(std::mem::replace(&mut self.history, history.clone()));
        if forked {
            let now = self.now();
            let node = SourceNode::open(&self.source_folder, now).await;
            node.log.fork(now).await.expect("the log forks");
            node.stop().await;
        }
        self.start_source().await;
    }

    /// Replaces the source by an empty one.
    pub(crate) async fn replace_source(&mut self) {
        self.stop_source().await;
        std::fs::remove_dir_all(&self.source_folder).expect("the folder goes");
        self.past.push(std::mem::take(&mut self.history));
        self.start_source().await;
    }

    pub(crate) async fn restart_follower(&mut self, which: usize) {
        self.stop_follower(which).await;
        self.start_follower(which).await;
    }

    /// Copies a follower's folder, or restores the copy, with its cursor and its effects.
    pub(crate) async fn back_up_or_restore_follower(&mut self, which: usize) {
        self.stop_follower(which).await;
        let fresh = self.fresh_folder();
        let place = &mut self.followers[which];
        if let Some(backup) = place.backup.take() {
            std::fs::remove_dir_all(&place.folder).expect("the folder goes");
            place.folder = backup;
        } else {
            copy(&place.folder, &fresh);
            place.backup = Some(fresh);
        }
        self.start_follower(which).await;
    }

    /// Starts stopped followers from the beginning, as an operator would.
    pub(crate) async fn reseed_stopped_followers(&mut self) {
        for which in 0..self.followers.len() {
            if !matches!(self.state(which), FollowerState::Stopped { .. }) {
                continue;
            }
            self.stop_follower(which).await;
            let fresh = self.fresh_folder();
            let place = &mut self.followers[which];
            std::fs::remove_dir_all(&place.folder).expect("the folder goes");
            (place.folder, place.backup) = (fresh, None);
            self.start_follower(which).await;
        }
    }

    /// Checks that a follower which reports that it caught up has every event.
    pub(crate) async fn catch_up(&self, which: usize) {
        if self.node(which).following.catch_up(TIMEOUT).await {
            assert_eq!(
                self.applied(which),
                self.history,
                "follower {which} caught up"
            );
        }
    }

    fn node(&self, which: usize) -> &FollowerNode {
        let node = self.followers[which].node.as_ref();
        node.expect("followers run between steps")
    }

    fn state(&self, which: usize) -> FollowerState {
        self.node(which).following.state()
    }

    fn applied(&self, which: usize) -> Vec<Effect> {
        effect::applied(self.node(which).store())
    }

    /// Waits until every follower has settled, and checks its effects. The network must be
    /// reliable by now.
    pub(crate) async fn settle(&mut self) -> Ends {
        // Messages still in flight cannot continue any follower after this event.
        self.append(vec![(vec!["closing"], false)]).await;
        let tail = self.source.as_ref().map(|node| node.log.tail());
        let mut ends = Ends { events: self.history.len(), ..Ends::default() };
        for which in 0..self.followers.len() {
            let mut diverged = false;
            let what = format!("follower {which}'s end, of {} events,", self.history.len());
            until(&what, || match self.state(which) {
                FollowerState::Following { cursor, .. } => Some(cursor) == tail,
                FollowerState::Waiting { .. } => false,
                FollowerState::Stopped { .. } => {
                    diverged = !self.history.starts_with(&self.applied(which));
                    diverged
                }
            })
            .await;
            let applied = self.applied(which);
            if diverged {
                ends.stopped += 1;
                let real = self.past.iter().any(|past| past.starts_with(&applied));
                assert!(
                    real,
                    "follower {which} applied what never was one history: {applied:?}"
                );
            } else {
                ends.at_tail += 1;
                assert_eq!(applied, self.history, "follower {which} at the end");
            }
        }
        ends
    }

    pub(crate) async fn end(mut self) {
        for which in 0..self.followers.len() {
            self.stop_follower(which).await;
        }
        self.stop_source().await;
        self.network.end().await;
    }
}
