//! Concurrent readers during checkpoints, while leaves of the database split and merge.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use store::{Error, Options, Read, Store, Table, Tx};
use tokio::task::spawn_blocking;

use crate::number_from_env;

const ROWS: Table<u64, String> = Table::new("rows");

/// Every so many keys there is a permanent one; those between, whole leaves of them, are
/// inserted and deleted.
const STEP: u64 = 64;
const KEYS: u64 = 16_000;
/// Transactions of [`TOUCHED`] keys each: enough for dozens of segments.
const TRANSACTIONS: usize = 600;
const TOUCHED: usize = 48;

/// The value of a permanent row contains its key, so that a reader notices a wrong row.
fn kept(key: u64) -> String {
    key.to_string()
}

fn stir(tx: &mut Tx<'_>, random: &mut StdRng) -> Result<(), Error> {
    // Adjacent keys, so that whole leaves become empty and fill again.
    let from = random.random_range(0..KEYS);
    let gone = random.random_bool(0.4);
    for key in (from..KEYS).filter(|key| key % STEP > 0).take(TOUCHED) {
        if gone {
            tx.delete(ROWS, &key)?;
        } else {
            let bytes = random.random_range(0..600);
            tx.put(ROWS, &key, &"x".repeat(bytes))?;
        }
    }
    Ok(())
}

/// Scans everything: no row twice, none out of order, and every permanent row.
fn look(store: &Store, newest_first: bool) {
    let all = ROWS.all();
    let all = if newest_first { all.newest_first() } else { all };
    let mut stayed = 0;
    let mut last: Option<u64> = None;
    for row in store.scan(all).unwrap() {
        let (key, value) = row.unwrap();
        if let Some(last) = last {
            assert!(
                (last < key) != newest_first && last != key,
                "{last}, then {key}"
            );
        }
        last = Some(key);
        if key % STEP == 0 {
            assert_eq!(value, kept(key), "at {key}");
            stayed += 1;
        }
    }
    assert_eq!(
        stayed,
        KEYS / STEP,
        "rows that stay, newest first: {newest_first}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_always_see_unchanged_rows_during_checkpoints() {
    let seed = number_from_env("KONBINI_SEED").unwrap_or_else(rand::random);
    println!("KONBINI_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let options = Options { cache_bytes: 1024 * 1024, ..Options::default() };
    let store = Store::open(dir.path(), &options).unwrap();
    for from in (0..KEYS).step_by(2_000) {
        let some = (from..from + 2_000).filter(|key| key % STEP == 0);
        let filled = store.write(move |tx| {
            let mut some = some;
            some.try_for_each(|key| tx.put(ROWS, &key, &kept(key)))
        });
        filled.await.unwrap();
    }

    let over = Arc::new(AtomicBool::new(false));
    let readers = [false, true].map(|newest_first| {
        let (store, over) = (store.clone(), over.clone());
        spawn_blocking(move || {
            let mut looks = 0;
            while !over.load(Ordering::Relaxed) {
                look(&store, newest_first);
                looks += 1;
            }
            looks
        })
    });
    for _ in 0..TRANSACTIONS {
        let mut own = StdRng::seed_from_u64(random.random());
        let stirred = store.write(move |tx| stir(tx, &mut own)).await;
        stirred.unwrap();
        let key = STEP * random.random_range(0..KEYS / STEP);
        assert_eq!(store.get(ROWS, &key).unwrap(), Some(kept(key)), "{key}");
    }
    over.store(true, Ordering::Relaxed);
    for reader in readers {
        let looks: u64 = reader
            .await
            .unwrap_or_else(|ended| panic!("KONBINI_SEED={seed}: {ended}"));
        assert!(looks > 0);
    }
}
