//! The disk reserve: on a full disk batches are refused, nothing is lost, and no restart is
//! needed afterwards.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use store::{Error, Options, Read, Store, Table};

use crate::{hold, open};

const ROWS: Table<u64, String> = Table::new("rows");
const PLENTY: u64 = 1 << 40;

async fn put(store: &Store, row: u64) -> Result<(), Error> {
    let text = row.to_string().repeat(5000);
    store.write(move |tx| tx.put(ROWS, &row, &text)).await
}

async fn put_deferred(store: &Store, row: u64) -> Result<(), Error> {
    let text = row.to_string().repeat(5000);
    store
        .write_deferred(move |tx| tx.put(ROWS, &row, &text))
        .await
}

fn rows(store: &Store) -> Vec<u64> {
    let rows = store.scan(ROWS.all()).unwrap();
    rows.map(|row| row.unwrap().0).collect()
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_nothing_else() {
    static FREE_BYTES: AtomicU64 = AtomicU64::new(PLENTY);
    let dir = tempfile::tempdir().unwrap();
    let free_bytes = |_: &Path| Ok(FREE_BYTES.load(Ordering::Relaxed));
    let options = Options { free_bytes, ..Options::default() };
    let store = Store::open(dir.path(), &options).unwrap();
    put(&store, 1).await.unwrap();

    FREE_BYTES.store(0, Ordering::Relaxed);
    for row in 2..5 {
        let refused = put(&store, row).await;
        assert!(matches!(refused, Err(Error::Full(_))), "{refused:?}");
    }
    assert_eq!(rows(&store), [1]);
    let only_reads = store.write(|tx| tx.contains(ROWS, &1)).await;
    assert!(only_reads.unwrap());

    // A transaction that may use the reserve has room, until that is full, too; one beside it
    // in the same batch has none.
    for (free_mib, has_room) in [(63, true), (31, false)] {
        FREE_BYTES.store(free_mib << 20, Ordering::Relaxed);
        let held = hold(&store).await;
        let ordinary = put(&store, 6);
        let urgent = store.write(move |tx| {
            tx.use_reserve();
            tx.put(ROWS, &free_mib, &"urgent".into())
        });
        let release = async { drop(held) };
        let (ordinary, urgent, ()) = tokio::join!(ordinary, urgent, release);
        assert!(matches!(ordinary, Err(Error::Full(_))), "{ordinary:?}");
        assert_eq!(urgent.is_ok(), has_room, "{free_mib} MiB: {urgent:?}");
    }
    assert_eq!(rows(&store), [1, 63]);

    FREE_BYTES.store(PLENTY, Ordering::Relaxed);
    put(&store, 5).await.unwrap();
    store.close();
    assert_eq!(rows(&open(dir.path())), [1, 5, 63]);
}

/// The journal takes batches while a segment is free, then refuses them until the disk has
/// space for a checkpoint.
#[tokio::test]
async fn a_full_disk_delays_checkpoints_until_there_is_space() {
    static FREE_BYTES: AtomicU64 = AtomicU64::new(0);
    fn free_bytes(_: &Path) -> io::Result<u64> {
        // Only checkpoints see a full disk.
        let is_checkpoint = std::thread::current().name() == Some("store-checkpoint");
        Ok(if is_checkpoint {
            FREE_BYTES.load(Ordering::Relaxed)
        } else {
            PLENTY
        })
    }
    let dir = tempfile::tempdir().unwrap();
    let options = Options { free_bytes, ..Options::default() };
    let store = Store::open(dir.path(), &options).unwrap();
    let mut written = Vec::new();
    let refused = loop {
        let row = written.len() as u64;
        // One that is put off reaches the database only after the journal has it.
        let outcome = match row % 2 {
            0 => put(&store, row).await,
            _ => put_deferred(&store, row).await,
        };
        match outcome {
            Ok(()) => written.push(row),
            Err(error) => break error,
        }
        assert!(row < 1000, "the journal is unbounded");
    };
    assert!(matches!(refused, Error::Full(_)), "{refused}");
    assert!(
        written.len() > 30,
        "both segments fill up: {}",
        written.len()
    );
    assert_eq!(rows(&store), written);

    FREE_BYTES.store(PLENTY, Ordering::Relaxed);
    for row in 1000..1100 {
        put(&store, row).await.unwrap();
        written.push(row);
    }
    assert_eq!(rows(&store), written);

    // The store closes on a full disk, so opening replays the journal.
    FREE_BYTES.store(0, Ordering::Relaxed);
    store.close();
    assert_eq!(rows(&open(dir.path())), written);
}
