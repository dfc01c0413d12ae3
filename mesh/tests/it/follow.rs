//! One follower of one source: dead letters and retries, the operator's commands, and
//! catching up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use blake2::digest::consts::U16;
use blake2::{Blake2b, Digest};
use futures::FutureExt;
use mesh::store::{self, Options, Read, Record, Store, Table, Tx, VALUE_BYTES_MAX};
use mesh::{
    DeadLetter, Event, Follower, FollowerState, InProcessNetwork, Mark, Mesh, OnRefusal, Recorded,
    Refusal,
};
use model::{Fact, Time};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::node::{FollowerNode, SOURCE, SourceNode, copy, draft};
use crate::{scratch, soon, until};

/// The number of the event handled at each position.
const HANDLED: Table<u64, i64> = Table::new("handled");
const NOTES: Table<u64, String> = Table::new("notes");
/// The table of dead letters.
const DEAD_LETTERS: Table<(String, u64), DeadLetter> = Table::new("parked");

const ANNOUNCE_EVERY: Duration = Duration::from_millis(5);

/// A failure of the handler, for the event of a given number.
#[derive(Clone, Copy)]
enum Failure {
    Refuses,
    Panics,
    /// Writes a value over the limit of a record.
    Overflows,
}

#[derive(Default)]
struct Handler {
    failures: BTreeMap<i64, Failure>,
    tries: u64,
    unknown: Vec<String>,
    /// The numbers of the discarded events, as passed to the handler's replacement.
    instead: Vec<i64>,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Handler>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Handler> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes before it refuses or panics, so that an incomplete rollback shows.
    fn handle(&self, tx: &mut Tx<'_>, event: &Event) -> Result<(), Refusal> {
        let Some(Fact::StockAdjusted { reserved: number, .. }) = event.fact else {
            self.lock().unknown.push(event.kind.clone());
            return Ok(());
        };
        let place = tx.scan(HANDLED.all())?.count() as u64;
        tx.put(HANDLED, &place, &number)?;
        self.lock().tries += 1;
        let failure = self.lock().failures.get(&number).copied();
        match failure {
            None => Ok(()),
            Some(Failure::Refuses) => Err(Refusal::Never("not while it is closed".into())),
            Some(Failure::Panics) => panic!("a handler's own mistake"),
            Some(Failure::Overflows) => {
                Ok(tx.put(NOTES, &place, &"x".repeat(VALUE_BYTES_MAX + 1))?)
            }
        }
    }
}

struct Shop {
    root: TempDir,
    mesh: Mesh,
    source: Option<SourceNode>,
    follower: FollowerNode,
    handler: Shared,
}

async fn follow(
    root: &TempDir,
    mesh: &Mesh,
    handler: &Shared,
    on_refusal: OnRefusal,
) -> FollowerNode {
    let (mesh, handler, discarded) = (mesh.clone(), handler.clone(), handler.clone());
    let folder = root.path().join("follower");
    FollowerNode::start(&folder, move |store| Follower {
        on_refusal,
        instead: Arc::new(move |_, event| {
            let number = event.seq.cast_signed();
            discarded.lock().instead.push(number);
            Ok(())
        }),
        ..Follower::new("test", SOURCE, store, mesh, move |tx, event| {
            handler.handle(tx, event)
        })
    })
    .await
}

impl Shop {
    /// A follower whose source has not started.
    async fn without_source(on_refusal: OnRefusal, failures: &[(i64, Failure)]) -> Self {
        let root = scratch();
        let mesh = Mesh::new(Arc::new(InProcessNetwork::reliable()), "shop");
        let handler = Shared::default();
        handler.lock().failures.extend(failures.iter().copied());
        let follower = follow(&root, &mesh, &handler, on_refusal).await;
        Self { root, mesh, source: None, follower, handler }
    }

    async fn open(on_refusal: OnRefusal, failures: &[(i64, Failure)]) -> Self {
        let mut shop = Self::without_source(on_refusal, failures).await;
        shop.start_source().await;
        shop
    }

    async fn start_source(&mut self) {
        let node = SourceNode::open(&self.root.path().join("source"), Time(1)).await;
        node.serve(self.mesh.clone(), ANNOUNCE_EVERY).await;
        self.source = Some(node);
    }

    async fn stop_source(&mut self) {
        let node = self.source.take().expect("the source runs");
        node.stop().await;
    }

    /// Appends one event per key, numbered by its position.
    async fn append(&self, keys: &[&str]) {
        let source = self.source.as_ref().expect("the source runs");
        for key in keys {
            let number = source.log.tail().seq + 1;
            source.append(draft(key, 0, number.cast_signed())).await;
        }
    }

    async fn caught_up(&self) {
        let tail = self.source.as_ref().expect("the source runs").log.tail();
        until("the log's end", || {
            matches!(self.follower.following.state(), FollowerState::Following { cursor, .. } if cursor == tail)
        })
        .await;
    }

    fn handled(&self) -> Vec<i64> {
        let rows = self.follower.store().scan(HANDLED.all()).expect("readable");
        rows.map(|row| row.expect("readable").1).collect()
    }

    /// The positions of the dead letters, and their reasons.
    fn dead_letters(&self) -> Vec<(u64, String)> {
        let lane = format!("test/{SOURCE}");
        let rows = self
            .follower
            .store()
            .scan(DEAD_LETTERS.prefix(&lane))
            .expect("readable");
        rows.map(|row| row.expect("readable"))
            .map(|((_, seq), parked)| (seq, parked.reason))
            .collect()
    }

    fn dead_letter_seqs(&self) -> Vec<u64> {
        self.dead_letters()
            .into_iter()
            .map(|(seq, _)| seq)
            .collect()
    }

    fn accept(&self, number: i64) {
        self.handler.lock().failures.remove(&number);
    }

    async fn retry(&self, seq: u64) -> Result<(), Refusal> {
        soon("a retry", self.follower.following.retry(seq)).await
    }

    async fn discard(&self, seq: u64) -> Result<(), Refusal> {
        soon("a discard", self.follower.following.discard(seq)).await
    }
}

#[tokio::test]
async fn a_refused_event_becomes_a_dead_letter_and_its_key_waits_behind_it() {
    let shop = Shop::open(
        OnRefusal::DeadLetter,
        &[(1, Failure::Refuses), (5, Failure::Refuses)],
    )
    .await;
    shop.append(&["a", "b", "a", "b", "a"]).await;
    shop.caught_up().await;
    assert_eq!(shop.handled(), [2, 4]);
    assert_eq!(shop.dead_letter_seqs(), [1, 3, 5]);
    assert_eq!(shop.dead_letters()[0].1, "not while it is closed");

    assert!(shop.retry(3).await.is_err(), "the oldest is refused again");
    assert_eq!(
        (shop.handled(), shop.dead_letter_seqs()),
        (vec![2, 4], vec![1, 3, 5])
    );

    shop.accept(1);
    shop.retry(3).await.unwrap();
    assert_eq!(
        (shop.handled(), shop.dead_letter_seqs()),
        (vec![2, 4, 1, 3], vec![5])
    );
    shop.append(&["a"]).await;
    shop.caught_up().await;
    assert_eq!(shop.dead_letter_seqs(), [5, 6], "the key is not free yet");

    shop.accept(5);
    shop.retry(5).await.unwrap();
    shop.append(&["a"]).await;
    shop.caught_up().await;
    assert_eq!(shop.handled(), [2, 4, 1, 3, 5, 6, 7]);
    assert!(
        shop.retry(5).await.is_err(),
        "there is no dead letter any more"
    );
}

#[tokio::test]
async fn an_idle_follower_makes_progress_and_one_that_has_ended_none() {
    let root = scratch();
    let mesh = Mesh::new(Arc::new(InProcessNetwork::reliable()), "shop");
    let store = Store::open(root.path(), &Options::default()).unwrap();
    let follower = Follower::new("test", SOURCE, store, mesh, |_, _| Ok(()));
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let following = follower.start(&tasks, stop.clone()).await.unwrap();
    following.progress().await;
    following.progress().await;
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    assert_eq!(following.progress().now_or_never(), None);
}

#[tokio::test]
async fn discarding_a_dead_letter_unblocks_its_key() {
    let shop = Shop::open(
        OnRefusal::DeadLetter,
        &[(1, Failure::Refuses), (2, Failure::Refuses)],
    )
    .await;
    shop.append(&["a", "b"]).await;
    shop.caught_up().await;
    shop.discard(1).await.unwrap();
    assert!(shop.discard(1).await.is_err(), "it is gone");
    assert_eq!(shop.handler.lock().instead, [1], "once, and nobody else's");
    shop.append(&["a", "b"]).await;
    shop.caught_up().await;
    assert_eq!(
        (shop.handled(), shop.dead_letter_seqs()),
        (vec![3], vec![2, 4])
    );
    // Dead letters behind a discarded event can still be retried.
    shop.discard(2).await.unwrap();
    shop.retry(4).await.unwrap();
    assert_eq!(
        (shop.handled(), shop.dead_letter_seqs()),
        (vec![3, 4], vec![])
    );
}

/// An operator's commands do not need the source, whose data may be the broken part.
#[tokio::test]
async fn dead_letters_are_retried_while_the_source_is_absent() {
    let mut shop = Shop::open(
        OnRefusal::DeadLetter,
        &[(1, Failure::Refuses), (2, Failure::Refuses)],
    )
    .await;
    shop.append(&["a", "b"]).await;
    shop.caught_up().await;
    shop.stop_source().await;
    shop.follower.stop().await;
    shop.follower = follow(&shop.root, &shop.mesh, &shop.handler, OnRefusal::DeadLetter).await;
    shop.accept(1);
    shop.retry(1).await.unwrap();
    shop.discard(2).await.unwrap();
    assert_eq!((shop.handled(), shop.dead_letter_seqs()), (vec![1], vec![]));
}

#[tokio::test]
async fn a_panic_or_overflow_of_the_handler_makes_a_dead_letter() {
    let shop = Shop::open(
        OnRefusal::DeadLetter,
        &[(1, Failure::Panics), (2, Failure::Overflows)],
    )
    .await;
    shop.append(&["a", "b", "c", "a"]).await;
    shop.caught_up().await;
    assert_eq!(
        (shop.handled(), shop.dead_letter_seqs()),
        (vec![3], vec![1, 2, 4])
    );
    let reasons = shop.dead_letters();
    assert!(reasons[0].1.contains("panicked"), "{reasons:?}");
    assert!(reasons[1].1.contains("limit"), "{reasons:?}");
}

#[tokio::test]
async fn an_event_that_must_not_be_skipped_is_retried() {
    let shop = Shop::open(
        OnRefusal::Retry,
        &[(2, Failure::Refuses), (4, Failure::Panics)],
    )
    .await;
    shop.append(&["a", "a", "b", "b", "c"]).await;
    for (number, before) in [(2, vec![1]), (4, vec![1, 2, 3])] {
        let tries = shop.handler.lock().tries;
        until("more tries", || shop.handler.lock().tries > tries + 4).await;
        assert_eq!((shop.handled(), shop.dead_letter_seqs()), (before, vec![]));
        shop.accept(number);
    }
    shop.caught_up().await;
    assert_eq!(
        (shop.handled(), shop.dead_letter_seqs()),
        (vec![1, 2, 3, 4, 5], vec![])
    );
}

#[tokio::test]
async fn catching_up_applies_every_event_before_it() {
    let mut shop = Shop::open(OnRefusal::DeadLetter, &[]).await;
    for place in 1..=50 {
        shop.append(&["a"]).await;
        let following = &shop.follower.following;
        assert!(soon("catching up", following.catch_up(Duration::from_secs(10))).await);
        assert_eq!(shop.handled().len(), place);
    }
    shop.stop_source().await;
    let timeout = Duration::from_millis(200);
    let caught_up = tokio::time::timeout(10 * timeout, shop.follower.following.catch_up(timeout));
    assert!(!caught_up.await.expect("within its timeout"));
}

#[tokio::test]
async fn a_follower_may_start_before_its_source() {
    let mut shop = Shop::without_source(OnRefusal::DeadLetter, &[]).await;
    assert!(
        !shop
            .follower
            .following
            .catch_up(Duration::from_millis(100))
            .await
    );
    assert!(matches!(
        shop.follower.following.state(),
        FollowerState::Waiting { .. }
    ));
    shop.start_source().await;
    shop.append(&["a", "b"]).await;
    shop.caught_up().await;
    assert_eq!(shop.handled(), [1, 2]);
}

/// The same event, made again after a fork, is not the one that was lost.
#[tokio::test]
async fn a_follower_stops_at_a_forked_log() {
    let mut shop = Shop::open(OnRefusal::DeadLetter, &[]).await;
    let (folder, backup) = (
        shop.root.path().join("source"),
        shop.root.path().join("backup"),
    );
    shop.append(&["a", "a"]).await;
    shop.stop_source().await;
    copy(&folder, &backup);
    shop.start_source().await;
    shop.append(&["a"]).await;
    shop.caught_up().await;
    shop.stop_source().await;

    let restored = SourceNode::open(&backup, Time(2_000_000)).await;
    restored.log.fork(Time(2_000_000)).await.unwrap();
    restored.serve(shop.mesh.clone(), ANNOUNCE_EVERY).await;
    shop.source = Some(restored);
    shop.append(&["a", "a"]).await;
    let stopped = || {
        matches!(
            shop.follower.following.state(),
            FollowerState::Stopped { .. }
        )
    };
    until("a stop", stopped).await;
    assert_eq!(shop.handled(), [1, 2, 3]);
}

/// A source that lost its last event sells on before the loss is noticed.
#[tokio::test]
async fn an_accepted_rollback_lets_followers_go_on() {
    let mut shop = Shop::open(OnRefusal::DeadLetter, &[(3, Failure::Refuses)]).await;
    let (folder, backup) = (
        shop.root.path().join("source"),
        shop.root.path().join("backup"),
    );
    shop.append(&["a", "a"]).await;
    shop.stop_source().await;
    copy(&folder, &backup);
    shop.start_source().await;
    shop.append(&["a", "b"]).await;
    shop.caught_up().await;
    let dead_letters = shop.follower.following.dead_letters(9).unwrap();
    assert_eq!((shop.handled(), dead_letters.len()), (vec![1, 2, 4], 1));
    shop.stop_source().await;

    let restored = SourceNode::open(&backup, Time(5_000_000)).await;
    restored.serve(shop.mesh.clone(), ANNOUNCE_EVERY).await;
    shop.source = Some(restored);
    shop.handler.lock().failures.clear();
    shop.append(&["a", "a", "b"]).await;
    let stopped = || {
        matches!(
            shop.follower.following.state(),
            FollowerState::Stopped { .. }
        )
    };
    until("a stop", stopped).await;
    let source = shop.source.as_ref().unwrap();
    source.log.accept_rollback(Time(6_000_000)).await.unwrap();
    shop.append(&["c"]).await;
    shop.caught_up().await;
    // 3 and 4 are those of the restored log.
    assert_eq!(shop.handled(), [1, 2, 4, 3, 4, 5, 6]);
    let dead_letters = shop.follower.following.dead_letters(9).unwrap();
    assert!(dead_letters.is_empty(), "of an event that is gone");
    let faults = shop.source.as_ref().unwrap().log.verify(|| ()).unwrap();
    assert_eq!(faults, Vec::<String>::new());
}

/// The tables of the log, to write rows that this version would not.
const LOG: Table<u64, Recorded> = Table::new("log");
const HEAD: Table<String, Head> = Table::new("log_head");

#[derive(Serialize, Deserialize)]
struct Head {
    epoch: u64,
    mark: Mark,
}

impl Record for Head {}

#[derive(Serialize)]
struct Body<'a> {
    source: &'a str,
    epoch: u64,
    seq: u64,
    key: &'a str,
    kind: &'a str,
    at: Time,
    data: BTreeMap<&'a str, u64>,
}

/// Logs an event whose fact this version cannot decode.
fn append_strange(tx: &mut Tx<'_>, key: &str, kind: &str) -> Result<(), store::Error> {
    let Head { epoch, mark } = tx
        .get(HEAD, &SOURCE.to_owned())?
        .expect("the log was opened");
    let (seq, data) = (mark.seq + 1, BTreeMap::from([(kind, 7)]));
    let body = Body { source: SOURCE, epoch, seq, key, kind, at: Time(0), data };
    let body = rmp_serde::to_vec_named(&body).expect("numbers and strings encode");
    let hash = Blake2b::<U16>::new()
        .chain_update(mark.hash)
        .chain_update(&body)
        .finalize();
    let recorded = Recorded { seq, body, hash: hash.into() };
    tx.put(LOG, &seq, &recorded)?;
    tx.put(
        HEAD,
        &SOURCE.to_owned(),
        &Head { epoch, mark: recorded.mark() },
    )
}

/// A kind from a newer version is passed without a fact; a known kind that cannot be
/// decoded becomes a dead letter, and later events of its key wait behind it.
#[tokio::test]
async fn an_unknown_kind_is_skipped_and_an_unreadable_fact_is_a_dead_letter() {
    let mut shop = Shop::open(OnRefusal::DeadLetter, &[]).await;
    shop.append(&["a"]).await;
    let store = shop.source.as_ref().unwrap().store();
    let strange = store.write(|tx| {
        append_strange(tx, "a", "stock.weighed")?;
        append_strange(tx, "b", "stock.adjusted")
    });
    strange.await.unwrap();
    shop.stop_source().await;
    shop.start_source().await;
    shop.append(&["a", "b"]).await;
    shop.caught_up().await;
    assert_eq!(
        (shop.handled(), shop.dead_letter_seqs()),
        (vec![1, 4], vec![3, 5])
    );
    assert_eq!(shop.handler.lock().unknown, ["stock.weighed"]);
}
