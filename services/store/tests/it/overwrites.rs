//! Overwrites: the database's file must not grow with the number of writes, since sled
//! collects garbage only while it writes.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use store::{Options, Store, Table};

use crate::number_from_env;

/// The number of overwritten rows; `KONBINI_OVERWRITES` overrides it.
const OVERWRITES: u64 = 100_000;

/// The rows that are overwritten at random, and those between them that are written once.
const HOT_ROWS: u64 = 4_000;
const COLD_ROWS: u64 = 4_000;

const BATCH_ROWS: u64 = 200;

/// The step in which the file grows.
const SEGMENT_KIB: u64 = 4 * 1024;

const ROWS: Table<u64, String> = Table::new("rows");

fn value(random: &mut StdRng) -> String {
    let digits = random.random_range(1..30);
    (0..digits)
        .map(|_| format!("{:016x}", random.random::<u64>()))
        .collect()
}

#[tokio::test]
async fn overwritten_rows_do_not_grow_the_file() {
    let overwrites = number_from_env("KONBINI_OVERWRITES").unwrap_or(OVERWRITES);
    let seed = number_from_env("KONBINI_SEED").unwrap_or_else(rand::random);
    println!("KONBINI_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    // The disk's durability is not the subject.
    let options = Options { sync: |_| Ok(()), ..Options::default() };
    let store = Store::open(dir.path(), &options).unwrap();
    let keys: Vec<u64> = (0..HOT_ROWS + COLD_ROWS).collect();
    write(&store, keys, &mut random).await;

    let mut sizes = Vec::new();
    for tenth in 1..=10 {
        for _ in 0..overwrites / 10 / BATCH_ROWS {
            let hot = |_| random.random_range(0..HOT_ROWS) * 2;
            let keys = (0..BATCH_ROWS).map(hot).collect();
            write(&store, keys, &mut random).await;
        }
        sizes.push(store.disk_bytes().unwrap() / 1024);
        // Whatever lies in memtables and in a checkpoint at this moment.
        let counted = store.row_count(ROWS).unwrap();
        assert!(
            counted.is_none_or(|rows| rows == HOT_ROWS + COLD_ROWS),
            "{counted:?}"
        );
        println!(
            "{} overwrites: {} KiB",
            overwrites / 10 * tenth,
            sizes[sizes.len() - 1]
        );
    }
    let (first, second) = sizes.split_at(5);
    let most = |sizes: &[u64]| sizes.iter().max().copied().unwrap();
    // The file grows by segments; one more is chance.
    assert!(most(second) <= most(first) + SEGMENT_KIB, "{sizes:?}");
}

async fn write(store: &Store, keys: Vec<u64>, random: &mut StdRng) {
    let rows: Vec<_> = keys.into_iter().map(|key| (key, value(random))).collect();
    let written = store.write(move |tx| {
        for (key, value) in &rows {
            tx.put(ROWS, key, value)?;
        }
        Ok::<_, store::Error>(())
    });
    written.await.unwrap();
}
