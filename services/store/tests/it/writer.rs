//! Failures at the writer: a full queue, a failing disk, a closure that refuses or panics.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use store::{Error, Options, Read, Store, Table, Tx};

use crate::{LEFT, RIGHT, hold, open, soon};

async fn put_both(store: &Store, key: u64) -> Result<(), Error> {
    store
        .write(move |tx| {
            tx.put(LEFT, &key, &key)?;
            tx.put(RIGHT, &key, &key)
        })
        .await
}

/// The present keys, which must be the same in both tables.
fn keys(store: &Store) -> Vec<u64> {
    let of = |table: Table<u64, u64>| -> Vec<u64> {
        let rows = store.scan(table.all()).unwrap();
        rows.map(|row| row.unwrap().0).collect()
    };
    assert_eq!(of(LEFT), of(RIGHT), "a torn transaction");
    of(LEFT)
}

#[tokio::test]
async fn a_full_queue_refuses_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { queue_max: 2, ..Options::default() };
    let store = Store::open(dir.path(), &options).unwrap();
    let release = hold(&store).await;

    let mut queued = tokio::task::JoinSet::new();
    for key in [1, 2] {
        let store = store.clone();
        queued.spawn(async move { put_both(&store, key).await });
    }
    soon("a full queue", async {
        while store.queue_len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let refused = put_both(&store, 3).await;
    assert!(matches!(refused, Err(Error::Busy)), "{refused:?}");

    // Background work waits for space in the queue instead.
    let patient = tokio::spawn({
        let store = store.clone();
        async move {
            store
                .write_when_free(|tx| {
                    tx.put(LEFT, &4, &4)?;
                    tx.put(RIGHT, &4, &4)
                })
                .await
        }
    });
    drop(release);
    for answer in soon("the queued answers", queued.join_all()).await {
        answer.unwrap();
    }
    soon("the patient answer", patient).await.unwrap().unwrap();
    put_both(&store, 5).await.unwrap();
    assert_eq!(keys(&store), [1, 2, 4, 5]);
    store.close();
    assert_eq!(keys(&open(dir.path())), [1, 2, 4, 5]);
}

static DISK_IS_GONE: AtomicBool = AtomicBool::new(false);

fn failing(file: &File) -> io::Result<()> {
    if DISK_IS_GONE.load(Ordering::Relaxed) {
        return Err(io::Error::other("the disk is gone"));
    }
    file.sync_data()
}

#[tokio::test]
async fn a_failed_sync_stops_the_store_and_reopening_recovers_it() {
    const NOTES: Table<u64, String> = Table::new("notes");
    let dir = tempfile::tempdir().unwrap();
    let options = Options { sync: failing, ..Options::default() };
    let store = Store::open(dir.path(), &options).unwrap();
    put_both(&store, 1).await.unwrap();

    // More than one batch, so that some transactions wait behind the failing one.
    let release = hold(&store).await;
    let mut waiting = tokio::task::JoinSet::new();
    for key in 100..200 {
        let store = store.clone();
        waiting.spawn(async move {
            store
                .write(move |tx| {
                    tx.put(NOTES, &key, &"x".repeat(30_000))?;
                    tx.put(LEFT, &key, &key)?;
                    tx.put(RIGHT, &key, &key)
                })
                .await
        });
    }
    soon("a hundred in the queue", async {
        while store.queue_len() < 100 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    DISK_IS_GONE.store(true, Ordering::Relaxed);
    drop(release);
    for answer in soon("every waiting answer", waiting.join_all()).await {
        assert!(matches!(answer, Err(Error::Poisoned(_))), "{answer:?}");
    }
    let failed = soon("the failure", store.failed()).await;
    assert!(failed.to_string().contains("the disk is gone"), "{failed}");
    let refused = soon("a refusal", put_both(&store, 2)).await;
    assert!(matches!(refused, Err(Error::Poisoned(_))), "{refused:?}");
    let patient = store.write_when_free(|tx| tx.put(LEFT, &3, &3));
    let refused = soon("a refusal", patient).await;
    assert!(matches!(refused, Err(Error::Poisoned(_))), "{refused:?}");
    store.close();

    let store = open(dir.path());
    let found = keys(&store);
    assert!(found.contains(&1), "what was acknowledged stays");
    assert!(
        !found.contains(&2) && !found.contains(&3),
        "nothing after the failure"
    );
    put_both(&store, 2).await.unwrap();
}

#[tokio::test]
async fn a_refusing_or_panicking_closure_writes_nothing_and_runs_no_hook() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let told: Arc<Mutex<Vec<u64>>> = Arc::default();
    let write = async |key: u64, end: fn() -> Result<(), Error>| {
        let told = told.clone();
        let before = store.get(LEFT, &key).unwrap();
        let answer = store
            .write(move |tx| {
                tx.put(LEFT, &key, &key)?;
                tx.put(RIGHT, &key, &key)?;
                assert_eq!(tx.get(LEFT, &key)?, Some(key));
                // A hook of a refused attempt is dropped with it.
                let hook = told.clone();
                let _ = tx.attempt(|tx| {
                    tx.on_durable(move || hook.lock().unwrap().push(999));
                    Err::<(), _>(())
                });
                tx.on_durable(move || told.lock().unwrap().push(key));
                end()
            })
            .await;
        if answer.is_err() {
            assert_eq!(store.get(LEFT, &key).unwrap(), before);
        }
        answer
    };

    write(1, || Ok(())).await.unwrap();
    assert_eq!(
        *told.lock().unwrap(),
        [1],
        "the hook runs before the answer"
    );
    assert!(matches!(
        write(2, || Err(Error::Busy)).await,
        Err(Error::Busy)
    ));
    let panicked = write(3, || panic!("on purpose")).await;
    assert!(
        matches!(&panicked, Err(Error::Panicked(why)) if why == "on purpose"),
        "{panicked:?}"
    );
    write(4, || Ok(())).await.unwrap();
    assert_eq!(*told.lock().unwrap(), [1, 4]);
    assert_eq!(keys(&store), [1, 4]);
}

/// A hook runs after the sync of its batch.
#[tokio::test]
async fn hooks_and_results_come_after_the_sync() {
    static SYNCS: AtomicU64 = AtomicU64::new(0);
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        sync: |file| {
            file.sync_data()?;
            SYNCS.fetch_add(1, Ordering::SeqCst);
            Ok(())
        },
        ..Options::default()
    };
    let store = Store::open(dir.path(), &options).unwrap();
    for key in 0..20 {
        let before = SYNCS.load(Ordering::SeqCst);
        let (hook, hooked) = std::sync::mpsc::channel();
        store
            .write(move |tx| {
                tx.on_durable(move || {
                    let _ = hook.send(SYNCS.load(Ordering::SeqCst));
                });
                tx.put(LEFT, &key, &key)
            })
            .await
            .unwrap();
        assert_eq!(hooked.try_recv(), Ok(before + 1));
    }
}

#[tokio::test]
async fn a_panicking_hook_stops_the_store_and_fails_every_caller() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let answer = store.write(|tx| {
        tx.on_durable(|| panic!("a careless hook"));
        tx.put(LEFT, &1, &1)
    });
    let answer = soon("an answer", answer).await;
    assert!(matches!(answer, Err(Error::Poisoned(_))), "{answer:?}");
    let failed = soon("the failure", store.failed()).await;
    assert!(failed.to_string().contains("a careless hook"), "{failed}");
    let refused = soon("a refusal", put_both(&store, 2)).await;
    assert!(matches!(refused, Err(Error::Poisoned(_))), "{refused:?}");
}

/// A write that the disk does not complete is seen while it lasts. A disk that fails while no
/// transaction is written is noticed by a probe.
#[tokio::test]
async fn a_stalled_disk_and_one_that_is_gone_are_seen() {
    static STALLED: AtomicBool = AtomicBool::new(false);
    static GONE: AtomicBool = AtomicBool::new(false);
    fn sync(file: &File) -> io::Result<()> {
        while STALLED.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        match GONE.load(Ordering::Relaxed) {
            true => Err(io::Error::other("the disk is gone")),
            false => file.sync_data(),
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &Options { sync, ..Options::default() }).unwrap();
    put_both(&store, 1).await.unwrap();
    assert_eq!(store.writing_for(), Duration::ZERO);
    STALLED.store(true, Ordering::Relaxed);
    let writing = tokio::spawn({
        let store = store.clone();
        async move { put_both(&store, 2).await }
    });
    let stalled = async {
        while store.writing_for() < Duration::from_millis(20) {
            tokio::task::yield_now().await;
        }
    };
    soon("the stalled write", stalled).await;
    STALLED.store(false, Ordering::Relaxed);
    soon("the write", writing).await.unwrap().unwrap();
    assert_eq!(store.writing_for(), Duration::ZERO);

    GONE.store(true, Ordering::Relaxed);
    store.probe();
    let failed = soon("the failure", store.failed()).await;
    assert!(failed.to_string().contains("the disk is gone"), "{failed}");
}

/// Transactions that nobody awaits share one sync: that of the next one that is awaited, or
/// their own a moment later. Until then they are visible, and a crash takes them back as a whole.
#[tokio::test]
async fn deferred_transactions_share_a_sync() {
    static SYNCS: AtomicU64 = AtomicU64::new(0);
    fn sync(file: &File) -> io::Result<()> {
        SYNCS.fetch_add(1, Ordering::SeqCst);
        file.sync_data()
    }
    let folder = tempfile::tempdir().unwrap();
    let (dir, crashed) = (folder.path().join("store"), folder.path().join("crashed"));
    let store = Store::open(&dir, &Options { sync, ..Options::default() }).unwrap();
    let (told, hooks) = std::sync::mpsc::channel();
    let both = |key: u64| {
        let told = told.clone();
        move |tx: &mut Tx<'_>| {
            tx.on_durable(move || told.send((key, SYNCS.load(Ordering::SeqCst))).unwrap());
            tx.put(LEFT, &key, &key)?;
            tx.put(RIGHT, &key, &key)
        }
    };
    let heard = |count: usize| -> Vec<_> { hooks.iter().take(count).collect() };

    // Alone. The batches before the first sync are as many as the machine has time for.
    let before = SYNCS.load(Ordering::SeqCst);
    for key in 1..=5 {
        store.write_deferred(both(key)).await.unwrap();
        assert_eq!(keys(&store).len() as u64, key);
    }
    let alone = heard(5);
    assert_eq!(
        alone.iter().map(|told| told.0).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5]
    );
    assert!(
        alone.iter().all(|told| told.1 > before),
        "{alone:?}, {before} before"
    );

    // Before one that is awaited, by its caller or by itself; and what a crash before leaves.
    for (awaited, by_itself) in [(7, false), (9, true)] {
        let before = SYNCS.load(Ordering::SeqCst);
        store.write_deferred(both(awaited - 1)).await.unwrap();
        let copied = testkit::damage::copy_folder(&dir, &crashed);
        let hurried = both(awaited);
        let written = match by_itself {
            false => store.write(hurried).await,
            true => {
                let hurried = move |tx: &mut Tx<'_>| {
                    tx.sync_now();
                    hurried(tx)
                };
                store.write_deferred(hurried).await
            }
        };
        written.unwrap();
        let told = heard(2);
        assert_eq!([told[0].0, told[1].0], [awaited - 1, awaited]);
        assert_eq!(
            told[1].1,
            SYNCS.load(Ordering::SeqCst),
            "it was answered after the sync"
        );
        copied.unwrap();
        // On a slow machine the deferred one was synced before it was copied.
        let was_synced = told[0].1 < told[1].1 || told[1].1 > before + 1;
        if !was_synced {
            let left = keys(&open(&crashed));
            assert_eq!(left.len() as u64, awaited - 2, "{left:?}");
        }
        std::fs::remove_dir_all(&crashed).unwrap();
    }

    // Closing awaits them, too.
    store.write_deferred(both(10)).await.unwrap();
    store.close();
    assert_eq!(heard(1)[0].0, 10);
    assert_eq!(keys(&open(&dir)).len(), 10);
}
