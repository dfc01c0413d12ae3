//! Compaction: the same rows in a smaller store, whatever cuts it off.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use store::{Error, Options, Read, Store, Table, compact};
use testkit::damage::copy_folder;

use crate::{number_from_env, open};

const ROWS: Table<u64, String> = Table::new("rows");
const COUNTS: Table<u64, u64> = Table::new("counts");

/// The rows of the store, and how often each was written.
const COUNT: u64 = 3_000;
const ROUNDS: u64 = 4;

/// The number of kills; `KONBINI_KILLS` overrides it.
const KILLS: u64 = 20;

/// The variable that makes the test binary the victim; its value is not used.
const VICTIM: &str = "KONBINI_COMPACTING";

fn text(id: u64) -> String {
    format!("{id}:").repeat(1 + usize::try_from(id % 60).unwrap())
}

/// Fills a store at random places, and half of it again; leaves it open.
async fn fill(dir: &Path) -> Store {
    let store = open(dir);
    for round in 1..=ROUNDS {
        for chunk in 0..COUNT / 100 {
            let write = store.write(move |tx| {
                for number in chunk * 100..chunk * 100 + 100 {
                    let id = number * 7_919 % COUNT;
                    let is_last = round == ROUNDS;
                    let value = if is_last { text(id) } else { "x".repeat(900) };
                    tx.put(ROWS, &id, &value)?;
                    tx.put(COUNTS, &(id % 7), &id)?;
                }
                tx.delete(ROWS, &(chunk * 7_919 % COUNT))
            });
            write.await.unwrap();
        }
    }
    store
}

/// All rows of the store, which must open and verify.
fn rows(dir: &Path) -> Vec<(u64, String)> {
    let store = open(dir);
    let rows = store
        .scan(ROWS.all())
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(store.scan(COUNTS.all()).unwrap().count(), 7);
    assert_eq!(store.verify().unwrap(), Vec::<String>::new());
    store.close();
    rows
}

fn beside(dir: &Path) -> PathBuf {
    dir.with_file_name(format!("{}.compacted", dir.file_name().unwrap().display()))
}

/// Compacts, and retries while the folder is locked, as [`open`] does.
fn compacted(dir: &Path) -> store::Compacted {
    loop {
        match compact(dir, &Options::default(), |_, _| ()) {
            Err(Error::Locked(_)) => std::thread::yield_now(),
            compacted => return compacted.unwrap(),
        }
    }
}

#[tokio::test]
async fn a_compacted_store_has_every_row_and_less_weight() {
    let folder = tempfile::tempdir().unwrap();
    let (closed, killed) = (folder.path().join("closed"), folder.path().join("killed"));
    let store = fill(&closed).await;
    // What a kill leaves, with the last rows in the journal only; no write is running.
    copy_folder(&closed, &killed).unwrap();
    store.close();
    let before = rows(&closed);
    for dir in [closed, killed] {
        let store::Compacted { rows: copied, bytes_before, bytes_after } = compacted(&dir);
        assert_eq!(copied, before.len() as u64 + 7);
        assert!(
            bytes_after < bytes_before,
            "{bytes_before} to {bytes_after}"
        );
        assert!(!beside(&dir).exists());
        assert!(rows(&dir) == before);
        let store = open(&dir);
        store.write(|tx| tx.put(COUNTS, &0, &0)).await.unwrap();
        store.close();
    }
}

#[tokio::test]
async fn a_store_that_is_open_or_has_no_room_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("store");
    let store = fill(&dir).await;
    assert!(store::is_open(&dir).unwrap());
    let refused = compact(&dir, &Options::default(), |_, _| ()).unwrap_err();
    assert!(matches!(refused, Error::Locked(_)), "{refused}");
    store.close();
    let before = rows(&dir);
    let full = Options { free_bytes: |_| Ok(70 << 20), ..Options::default() };
    let refused = compact(&dir, &full, |_, _| ()).unwrap_err();
    assert!(
        matches!(refused, Error::Io { kind: ErrorKind::StorageFull, .. }),
        "{refused}"
    );
    assert!(!beside(&dir).exists());
    assert!(rows(&dir) == before);
}

/// Not a test: the process that is killed while it compacts the store in its own folder.
#[test]
#[ignore = "the victim of the kill test, started by it"]
fn victim() {
    if number_from_env(VICTIM).is_some() {
        loop {
            compacted(Path::new("store"));
        }
    }
}

#[tokio::test]
async fn a_kill_leaves_the_old_store_or_the_new_one() {
    let kills = number_from_env("KONBINI_KILLS").unwrap_or(KILLS);
    let seed = number_from_env("KONBINI_SEED").unwrap_or_else(rand::random);
    println!("KONBINI_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("store");
    fill(&dir).await.close();
    let before = rows(&dir);
    let mut left_over = 0;
    for kill in 0..kills {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "compact::victim"])
            .current_dir(folder.path())
            .env(VICTIM, "1")
            .spawn()
            .unwrap();
        // The moment of the kill is the subject of the test, hence a sleep.
        std::thread::sleep(Duration::from_micros(random.random_range(0..400_000)));
        victim.kill().unwrap();
        victim.wait().unwrap();
        left_over += u64::from(beside(&dir).exists());
        assert!(rows(&dir) == before, "kill {kill}, KONBINI_SEED={seed}");
        assert!(!beside(&dir).exists(), "kill {kill}, KONBINI_SEED={seed}");
    }
    println!("{kills} kills, {left_over} of them left something beside the store");
}
