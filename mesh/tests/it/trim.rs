//! Trimming: what holds it back, a log without its beginning, and new followers of it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh::store::{Options, Read, Store, Table, Tx};
use mesh::{
    Event, Follower, FollowerState, InProcessNetwork, LogError, Mark, Mesh, Recorded, Refusal,
    StatePage,
};
use model::{Fact, Id, Time, kinds};
use tempfile::TempDir;
use uuid::Uuid;

use crate::node::{FollowerNode, SOURCE, SourceNode, draft};
use crate::{scratch, until};

const LOG: Table<u64, Recorded> = Table::new("log");
const BEGINNINGS: Table<String, Mark> = Table::new("log_beginning");
const SEEN: Table<u64, ()> = Table::new("seen");

type StateHandler = dyn Fn(&mut Tx<'_>, &Event) -> Result<(), Refusal> + Send + Sync;

const FOLLOWERS: [&str; 2] = ["orders/main", "gateway/main"];
const ANNOUNCE_EVERY: Duration = Duration::from_millis(5);

/// After the time of every event.
const LATER: Time = Time(1);

struct Shop {
    root: TempDir,
    mesh: Mesh,
    source: SourceNode,
}

impl Shop {
    /// A source with events, which serves its log.
    async fn open(events: u64) -> Self {
        let root = scratch();
        let mesh = Mesh::new(Arc::new(InProcessNetwork::reliable()), "shop");
        let source = SourceNode::open(&root.path().join("source"), Time(1)).await;
        source.serve(mesh.clone(), ANNOUNCE_EVERY).await;
        let shop = Self { root, mesh, source };
        shop.append(events).await;
        shop
    }

    async fn append(&self, events: u64) {
        for _ in 0..events {
            let number = self.source.log.tail().seq + 1;
            self.source
                .append(draft("a", 0, number.cast_signed()))
                .await;
        }
    }

    /// Trims all batches; the first event that is left.
    async fn trim(&self, until: Time) -> u64 {
        loop {
            let log = self.source.log.clone();
            let trimmed = self
                .source
                .store()
                .write(move |tx| log.trim(tx, &FOLLOWERS, until));
            if !trimmed.await.expect("the store takes it") {
                return self.source.log.beginning().expect("readable").seq + 1;
            }
        }
    }

    async fn follow(&self, service: &'static str) -> FollowerNode {
        self.follow_with(service, None).await
    }

    /// Follows with a handler of the source's state.
    async fn follow_with(
        &self,
        service: &'static str,
        state: Option<Arc<StateHandler>>,
    ) -> FollowerNode {
        let mesh = self.mesh.clone();
        FollowerNode::start(&self.root.path().join(service), move |store| Follower {
            service: Some(service),
            state,
            ..Follower::new(
                "main",
                SOURCE,
                store,
                mesh,
                |tx: &mut Tx<'_>, event: &Event| Ok(tx.put(SEEN, &event.seq, &())?),
            )
        })
        .await
    }

    /// Waits until the follower has applied everything and has said so.
    async fn caught_up(&self, node: &FollowerNode) {
        let tail = self.source.log.tail();
        until("the log's end", || {
            matches!(node.following.state(), FollowerState::Following { cursor, .. } if cursor == tail)
        })
        .await;
        assert!(node.following.catch_up(crate::DEADLINE).await);
    }

    async fn stop(self) -> TempDir {
        self.source.stop().await;
        self.root
    }
}

#[tokio::test]
async fn a_log_is_trimmed_only_behind_every_follower() {
    let shop = Shop::open(200).await;
    let orders = shop.follow("orders").await;
    shop.caught_up(&orders).await;
    assert_eq!(shop.trim(LATER).await, 1, "gateway has not been heard of");
    let gateway = shop.follow("gateway").await;
    shop.caught_up(&gateway).await;
    assert_eq!(shop.trim(Time(0)).await, 1, "no event is old enough");
    gateway.stop().await;
    shop.append(100).await;
    shop.caught_up(&orders).await;
    assert_eq!(shop.trim(LATER).await, 200, "gateway is at 200 and away");
    let gateway = shop.follow("gateway").await;
    shop.caught_up(&gateway).await;
    assert_eq!(shop.trim(LATER).await, 300, "the newest event stays");
    shop.append(1).await;
    shop.caught_up(&orders).await;
    for node in [orders, gateway] {
        let seen = node.store().scan(SEEN.all()).expect("readable").count();
        assert_eq!(seen as u64, node.following.applied().expect("readable"));
        node.stop().await;
    }
    shop.stop().await;
}

#[tokio::test]
async fn a_follower_that_lacks_trimmed_events_stops_and_says_so() {
    let shop = Shop::open(10).await;
    for follower in FOLLOWERS {
        shop.source.log.note_follower(follower, 8);
    }
    assert_eq!(shop.trim(LATER).await, 8);
    let orders = shop.follow("orders").await;
    let said = || match orders.following.state() {
        FollowerState::Stopped { why } => Some(why),
        _ => None,
    };
    until("a stop", || said().is_some()).await;
    let why = said().expect("it has stopped");
    assert!(
        why.contains("trimmed") && why.contains("begins at 8"),
        "{why}"
    );
    assert_eq!(shop.trim(LATER).await, 8, "it is not known any more");
    orders.stop().await;
    shop.stop().await;
}

#[tokio::test]
async fn a_trimmed_log_reads_from_its_beginning_and_verifies() {
    let shop = Shop::open(300).await;
    for follower in FOLLOWERS {
        shop.source.log.note_follower(follower, 40);
    }
    assert_eq!(shop.trim(LATER).await, 40);
    let root = shop.stop().await;
    let reopened = SourceNode::open(&root.path().join("source"), Time(2)).await;
    let log = &reopened.log;
    assert!(matches!(log.read(10), Err(LogError::Trimmed { first: 40 })));
    let first = log.after(10).expect("the store reads").next();
    assert!(matches!(first, Some(Err(LogError::Trimmed { first: 40 }))));
    let page = log.read(39).expect("the log has them");
    assert_eq!(page.first().map(|event| event.seq), Some(40));
    let beginning = log.beginning().expect("readable");
    assert!(log.has(&beginning).expect("readable") && log.has(&page[0].mark()).expect("readable"));
    assert!(!log.has(&Mark::default()).expect("readable"));
    assert_eq!(log.verify(|| ()).expect("readable"), Vec::<String>::new());
    for wrong in [
        Mark { seq: 38, ..beginning },
        Mark { seq: 40, ..beginning },
        Mark { hash: [7; 16], ..beginning },
    ] {
        let moved = reopened
            .store()
            .write(move |tx| tx.put(BEGINNINGS, &SOURCE.to_owned(), &wrong));
        moved.await.expect("the store takes it");
        let faults = log.verify(|| ()).expect("readable");
        assert!(!faults.is_empty(), "begins at {wrong:?}");
    }
    reopened.stop().await;
}

/// A state of three pages, whose second is refused once: what is applied then is applied
/// again, and the cursor is where the first attempt began.
#[tokio::test]
async fn a_new_follower_of_a_trimmed_log_takes_the_state_and_goes_on() {
    let shop = Shop::open(10).await;
    for follower in FOLLOWERS {
        shop.source.log.note_follower(follower, 8);
    }
    assert_eq!(shop.trim(LATER).await, 8);
    let applied = Arc::new(Mutex::new(Vec::new()));
    let (seen, may_go_on) = (applied.clone(), Arc::new(AtomicBool::new(false)));
    let goes_on = may_go_on.clone();
    let take = move |_: &mut Tx<'_>, event: &Event| {
        let Some(Fact::StockAdjusted { on_hand, .. }) = event.fact else {
            return Err(Refusal::Never("no fact".into()));
        };
        seen.lock().unwrap().push(on_hand);
        match on_hand {
            20 if !goes_on.load(Relaxed) => Err(Refusal::Never("not yet".into())),
            _ => Ok(()),
        }
    };
    let orders = shop.follow_with("orders", Some(Arc::new(take))).await;
    assert!(
        !orders.following.catch_up(Duration::from_millis(50)).await,
        "no state yet"
    );
    shop.source.log.set_state(|_, place| {
        let number = place.map_or(1, |place| i64::from(place[0]));
        let fact = |number| Fact::StockAdjusted {
            product_id: Id::<kinds::Product>::from_uuid(Uuid::nil()),
            on_hand: number,
            reserved: 0,
        };
        let next = (number < 3).then(|| vec![u8::try_from(number + 1).expect("small")]);
        let facts = [1, 10].map(|factor| ("a".to_owned(), fact(number * factor)));
        Ok(StatePage { facts: facts.into(), next })
    });
    until("a refusal", || applied.lock().unwrap().contains(&20)).await;
    // Below the end of the log at the second attempt, above that at the first.
    shop.append(1).await;
    may_go_on.store(true, Relaxed);
    shop.caught_up(&orders).await;
    let applied = applied.lock().unwrap().clone();
    assert_eq!(
        applied[applied.len() - 6..],
        [1, 10, 2, 20, 3, 30],
        "{applied:?}"
    );
    let seen: Vec<u64> = orders
        .store()
        .scan(SEEN.all())
        .expect("readable")
        .map(|row| row.expect("readable").0)
        .collect();
    assert_eq!(seen, [11], "what came after the first page was read");
    orders.stop().await;
    shop.stop().await;
}

/// Salvage keeps a log that begins late, whether or not its beginning reads.
#[tokio::test]
async fn a_trimmed_log_is_salvaged() {
    for (loses_beginning, first) in [(false, 8), (true, 9)] {
        let shop = Shop::open(20).await;
        for follower in FOLLOWERS {
            shop.source.log.note_follower(follower, 8);
        }
        assert_eq!(shop.trim(LATER).await, 8);
        if loses_beginning {
            let lost = shop
                .source
                .store()
                .write(|tx| tx.delete(BEGINNINGS, &SOURCE.to_owned()));
            lost.await.expect("the store takes it");
        }
        let root = shop.stop().await;
        let (from, into) = (root.path().join("source"), root.path().join("salvaged"));
        let salvaged = mesh::salvage(SOURCE, &from, &into, &Options::default(), |_, _| ());
        let salvaged = salvaged.expect("all of it reads");
        assert_eq!((salvaged.log_end, salvaged.events_deleted), (20, 0));
        let store = Store::open(&into, &Options::default()).expect("it opens");
        let events: Vec<u64> = store
            .scan(LOG.all())
            .expect("readable")
            .map(|row| row.expect("readable").0)
            .collect();
        assert_eq!(events, (first..=20).collect::<Vec<_>>());
        store.close();
    }
}
