//! The watchdog's view of a service: which of its parts make progress.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use chassis::{Context, Opening};
use store::Store;
use testkit::{TestService, eventually};

use super::shelf;

/// The interval of heartbeats, and the wait for parts that are expected to be stuck.
const INTERVAL: Duration = Duration::from_millis(5);

static STORE: OnceLock<Store> = OnceLock::new();

fn open(ctx: Context, _: ()) -> Opening {
    let _ = STORE.set(ctx.store.clone());
    shelf::open(ctx, ())
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_heartbeat_while_the_writer_is_stuck() {
    let test = TestService::start(shelf::NAME, open, &[]).await;
    let supervision = &test.supervision;
    let mut idle = supervision.round();
    while !idle.stalled(INTERVAL).await.is_empty() {}

    let ((began, has_begun), (release, released)) = (mpsc::channel(), mpsc::channel::<()>());
    let writing = STORE.get().unwrap().clone();
    let stuck = tokio::spawn(async move {
        let blocking = writing.write(move |_| {
            began.send(()).unwrap();
            let _ = released.recv();
            Ok::<_, store::Error>(())
        });
        blocking.await
    });
    tokio::task::spawn_blocking(move || has_begun.recv().unwrap())
        .await
        .unwrap();
    let beats = Arc::new(AtomicUsize::new(0));
    let (supervised, counted) = (supervision.clone(), beats.clone());
    let heart = tokio::spawn(async move {
        let beat = || {
            counted.fetch_add(1, Ordering::Relaxed);
        };
        supervised.heartbeat(INTERVAL, beat).await;
    });
    let mut round = supervision.round();
    // The follower of users has nothing to apply, and answers.
    while round.stalled(INTERVAL).await != ["the writer of shelf"] {}
    assert_eq!(round.stalled(10 * INTERVAL).await, ["the writer of shelf"]);
    assert_eq!(beats.load(Ordering::Relaxed), 0);

    release.send(()).unwrap();
    stuck.await.unwrap().unwrap();
    while !round.stalled(INTERVAL).await.is_empty() {}
    eventually("the heart beats", || async {
        beats.load(Ordering::Relaxed) > 1
    })
    .await;
    heart.abort();
    test.finish().await;
}
