//! The delivery queue with a delivery that fails as often as its row says.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::*;

/// Failures left per delivery; a delivery that holds its permit blocks.
struct Fake {
    store: Store,
    sent: Mutex<Vec<(u16, u16)>>,
    in_flight: AtomicUsize,
    peak: AtomicUsize,
}

const QUEUE: Table<(u16, Time, u16), u64> = Table::new("queue");

impl Delivery for Fake {
    type Partition = u16;
    type DeliveryId = u16;
    type Row = u64;
    const QUEUE: Table<(u16, Time, u16), u64> = QUEUE;
    const METRICS: QueueMetrics = QueueMetrics {
        service: "fake",
        waiting: "fake_queue",
        given_up: "fake_total",
    };
    const IN_FLIGHT_MAX: usize = 3;
    const PARTITION_IN_FLIGHT_MAX: usize = 2;

    fn store(&self) -> &Store {
        &self.store
    }

    fn partitions(&self) -> Result<Vec<u16>, StoreError> {
        Ok(vec![0, 1])
    }

    async fn deliver(self: Arc<Self>, key: (u16, Time, u16)) -> Result<(), StoreError> {
        let running = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(running, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.sent.lock().push((key.0, key.2));
        let write = move |tx: &mut ::store::Tx<'_>| {
            let failures = tx.get(QUEUE, &key)?.unwrap_or_default();
            tx.delete(QUEUE, &key)?;
            if failures > 0 {
                let later = model::now().after(Duration::from_millis(20));
                tx.put(QUEUE, &(key.0, later, key.2), &(failures - 1))?;
            }
            Ok(())
        };
        self.store.write(write).await
    }
}

async fn queue(rows: Vec<((u16, Time, u16), u64)>) -> (tempfile::TempDir, Arc<Fake>) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), &::store::Options::default()).unwrap();
    let put = store.write(move |tx| {
        rows.iter()
            .try_for_each(|(key, failures)| tx.put(QUEUE, key, failures))
    });
    put.await.unwrap();
    let fake = Fake {
        store,
        sent: Mutex::default(),
        in_flight: AtomicUsize::new(0),
        peak: AtomicUsize::new(0),
    };
    (folder, Arc::new(fake))
}

#[tokio::test]
async fn a_scan_respects_time_limits_and_what_is_in_flight() {
    let rows = [
        (0, 5, 1),
        (0, 6, 2),
        (0, 7, 3),
        (0, 20, 4),
        (1, 1, 5),
        (1, 2, 6),
        (1, 15, 7),
    ];
    let rows = rows.map(|(partition, due, id)| ((partition, Time(due), id), 0));
    let (_folder, fake) = queue(rows.to_vec()).await;
    let ids = |in_flight: &[(u16, u16)], now| {
        let due = scan(&*fake, in_flight.iter(), Time(now)).unwrap();
        let ids: Vec<_> = due.now.into_iter().map(|key| key.2).collect();
        (ids, due.next)
    };
    assert_eq!(ids(&[], 0), (vec![], Some(Time(1))));
    assert_eq!(ids(&[], 5), (vec![1, 5, 6], Some(Time(6))), "three in all");
    assert_eq!(ids(&[(0, 1)], 10).0, [2, 5], "two per partition");
    assert_eq!(ids(&[(0, 1), (0, 2)], 10).0, [5]);
    assert_eq!(ids(&[(0, 1), (0, 2), (1, 5)], 10).0, [0; 0]);
    assert_eq!(ids(&[(0, 2)], 6).0, [1, 5]);
}

#[tokio::test]
async fn deliveries_are_retried_until_they_succeed() {
    let start = model::now();
    let rows = (0..8).map(|id| ((id % 2, start, id), u64::from(id % 3)));
    let (_folder, fake) = queue(rows.collect()).await;
    let wake_up = Arc::new(Notify::new());
    let worker = tokio::spawn(run(fake.clone(), wake_up));
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while fake.store.scan(QUEUE.all()).unwrap().count() > 0 {
        assert!(
            std::time::Instant::now() < deadline,
            "the queue is not empty"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    worker.abort();
    let sent = fake.sent.lock();
    for id in 0..8 {
        let attempts = sent.iter().filter(|key| **key == (id % 2, id)).count();
        assert_eq!(attempts, usize::from(id % 3) + 1, "{id}");
    }
    assert!(fake.peak.load(Ordering::SeqCst) <= Fake::IN_FLIGHT_MAX);
}

/// The whole schedule of a mail, at both extremes of jitter.
#[test]
fn pauses_double_and_end() {
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let backoff = Backoff {
        first: minutes(1),
        pause_max: minutes(240),
        give_up_after: minutes(48 * 60),
    };
    for (jitter, attempts) in [(0.0, 8..=30), (1.0, 8..=20)] {
        let (mut now, mut failed) = (Time(0), 1);
        let mut pauses = Vec::new();
        while let Some(next) = backoff.next(Time(0), failed, now, jitter) {
            pauses.push(next.since(now).as_secs_f64() / 60.0);
            (now, failed) = (next, failed + 1);
        }
        let scale = 0.8 + 0.4 * jitter;
        assert!((pauses[0] - scale).abs() < 0.01, "{pauses:?}");
        assert!((pauses[3] - 8.0 * scale).abs() < 0.01, "{pauses:?}");
        assert!((pauses[12] - 240.0 * scale).abs() < 0.01, "{pauses:?}");
        assert!(attempts.contains(&failed), "{failed} attempts");
        assert!(now.since(Time(0)) <= backoff.give_up_after);
    }
    assert!(backoff.next(Time(0), u32::MAX, Time(0), 0.5).is_some());
}
