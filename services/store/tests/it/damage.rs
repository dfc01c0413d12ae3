//! Damage at rest: each file of a store is cut, zeroed, flipped, emptied, removed or
//! swapped with an older copy. The store then has every acknowledged row, or it says that it
//! does not: at opening, at reading, or when it is verified. What reads of it can be salvaged.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use store::{Error, Options, Read, Store, Table, salvage};
use tempfile::TempDir;
use testkit::damage::{Damage, copy_folder};

use crate::{number_from_env, open};

/// The number of damages; `KONBINI_DAMAGES` overrides it.
const DAMAGES: u64 = 120;

/// How long the folder of a store that was dropped may stay locked.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

const ROWS: Table<u64, String> = Table::new("rows");
const COUNTS: Table<u64, u64> = Table::new("counts");

type Rows = BTreeMap<u64, String>;

/// What a damaged store did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Every row was there.
    Intact,
    /// It did not open.
    Refused,
    /// It opened, and reading a row failed.
    Unreadable,
    /// It opened and read, and verifying it named what is missing.
    Named,
    /// Rows were missing or old, and nothing said so.
    Silent,
}

/// A store's folder at two moments, and the rows it had acknowledged at the later one.
struct Specimen {
    earlier: TempDir,
    later: TempDir,
    rows: Rows,
}

/// Writes rows over `ids`, about 1 KiB each, and a second table beside them.
async fn fill(store: &Store, rows: &mut Rows, ids: std::ops::Range<u64>, round: u64) {
    for id in ids {
        let text = format!("{round}:{id}:").repeat(200);
        rows.insert(id, text.clone());
        let write = store.write(move |tx| {
            tx.put(ROWS, &id, &text)?;
            tx.put(COUNTS, &(id % 7), &id)
        });
        write.await.unwrap();
    }
}

/// A store that was written to, copied, written to again, and then closed or killed.
async fn specimen(is_closed: bool) -> Specimen {
    let [live, earlier, later] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let mut rows = Rows::new();
    let store = open(live.path());
    fill(&store, &mut rows, 0..700, 1).await;
    store.close();
    copy_folder(live.path(), earlier.path()).unwrap();
    let store = open(live.path());
    fill(&store, &mut rows, 500..1_300, 2).await;
    if is_closed {
        store.close();
        copy_folder(live.path(), later.path()).unwrap();
    } else {
        // What a kill leaves; no write is running.
        copy_folder(live.path(), later.path()).unwrap();
        store.close();
    }
    Specimen { earlier, later, rows }
}

/// The kind of a file: snapshots have a number in their name.
fn kind(name: &str) -> &str {
    if name.starts_with("snap.") { "snap" } else { name }
}

/// The older version of a file: snapshots have another number in their name.
fn older(earlier: &Path, name: &str) -> Option<PathBuf> {
    let mut files = std::fs::read_dir(earlier).unwrap();
    files.find_map(|entry| {
        let entry = entry.unwrap();
        (kind(&entry.file_name().to_string_lossy()) == kind(name)).then(|| entry.path())
    })
}

fn outcome(dir: &Path, rows: &Rows) -> Outcome {
    let read = || {
        let Ok(store) = Store::open(dir, &Options::default()) else {
            return Outcome::Refused;
        };
        let Ok(found) = store
            .scan(ROWS.all())
            .and_then(Iterator::collect::<Result<Rows, _>>)
        else {
            return Outcome::Unreadable;
        };
        let counts = store
            .scan(COUNTS.all())
            .and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let Ok(counts) = counts else {
            return Outcome::Unreadable;
        };
        let counts_well =
            counts.len() == 7 && counts.iter().all(|(of, id)| id % 7 == *of && *id >= 1_293);
        if found == *rows && counts_well {
            return Outcome::Intact;
        }
        match store.verify() {
            Ok(faults) if faults.is_empty() => Outcome::Silent,
            _ => Outcome::Named,
        }
    };
    catch_unwind(AssertUnwindSafe(read)).unwrap_or(Outcome::Unreadable)
}

/// Salvages a damaged store and returns the number of acknowledged rows in the new one;
/// `None` if the database does not open at all.
fn salvaged(dir: &Path, rows: &Rows) -> Option<usize> {
    let into = tempfile::tempdir().unwrap();
    let deadline = Instant::now() + LOCK_TIMEOUT;
    let salvaged = loop {
        match salvage(dir, into.path(), &Options::default(), |_, _| ()) {
            Err(Error::Damaged { .. }) => return None,
            // The threads of a store that was dropped may still be ending.
            Err(Error::Locked(_)) if Instant::now() < deadline => std::thread::yield_now(),
            salvaged => break salvaged.unwrap(),
        }
    };
    let store = open(into.path());
    assert_eq!(store.verify().unwrap(), Vec::<String>::new());
    let found: Rows = store
        .scan(ROWS.all())
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let written = |id: &u64, round: u64| format!("{round}:{id}:").repeat(200);
    for (id, text) in &found {
        let is_own = (1..=2).any(|round| *text == written(id, round));
        assert!(is_own, "row {id} was never written");
    }
    let is_named =
        !salvaged.journal_faults.is_empty() || salvaged.tables.iter().any(|table| !table.is_whole);
    assert!(
        found == *rows || is_named,
        "rows are missing and not named: {salvaged:?}"
    );
    Some(
        found
            .iter()
            .filter(|(id, text)| rows.get(id) == Some(text))
            .count(),
    )
}

/// The number of outcomes by file and damage.
#[derive(Default)]
struct Outcomes(BTreeMap<(String, Damage, Outcome), u64>);

impl fmt::Display for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((file, damage, outcome), count) in &self.0 {
            writeln!(f, "{file:<10} {damage:<10?} {outcome:<10?} {count}")?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_damage_is_served_in_silence() {
    let damages = number_from_env("KONBINI_DAMAGES").unwrap_or(DAMAGES);
    let seed = number_from_env("KONBINI_SEED").unwrap_or_else(rand::random);
    println!("KONBINI_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let specimens = [specimen(true).await, specimen(false).await];
    let mut outcomes = Outcomes::default();
    let mut silent = Vec::new();
    let (mut without_rows, mut saved) = (0, Vec::new());
    for number in 0..damages {
        let specimen = specimens.choose(&mut random).unwrap();
        let names: Vec<String> = std::fs::read_dir(specimen.later.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !matches!(name.as_str(), "lock" | "blobs"))
            .collect();
        let name = names.choose(&mut random).unwrap();
        let damage = *Damage::ALL.choose(&mut random).unwrap();
        let dir = tempfile::tempdir().unwrap();
        copy_folder(specimen.later.path(), dir.path()).unwrap();
        let file = dir.path().join(name);
        let older = older(specimen.earlier.path(), name);
        damage.apply(&mut random, &file, older.as_deref()).unwrap();
        let rows = &specimen.rows;
        let outcome = tokio::task::block_in_place(|| outcome(dir.path(), rows));
        if !matches!(outcome, Outcome::Intact | Outcome::Silent) {
            match tokio::task::block_in_place(|| salvaged(dir.path(), rows)) {
                Some(count) => saved.push(count * 100 / rows.len()),
                None => without_rows += 1,
            }
        }
        if outcome == Outcome::Silent {
            silent.push(format!("{number}: {damage:?} of {name}"));
        }
        let key = (kind(name).to_owned(), damage, outcome);
        *outcomes.0.entry(key).or_default() += 1;
    }
    println!("{outcomes}");
    saved.sort_unstable();
    println!(
        "salvaged: {} with {:?} % of the rows in the median, {without_rows} do not open",
        saved.len(),
        saved.get(saved.len() / 2)
    );
    assert!(silent.is_empty(), "KONBINI_SEED={seed}: {silent:#?}");
}

/// A database that is opened without its snapshot loses what does not read of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_takes_nothing_from_salvage() {
    let Specimen { later, rows, .. } = specimen(true).await;
    let [tried, untried] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    for dir in [&tried, &untried] {
        copy_folder(later.path(), dir.path()).unwrap();
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            if kind(&path.file_name().unwrap().to_string_lossy()) == "snap" {
                std::fs::write(path, b"not a snapshot").unwrap();
            }
        }
        let mut database = std::fs::read(dir.path().join("db")).unwrap();
        let middle = database.len() / 2;
        database[middle..middle + 64].fill(0xff);
        std::fs::write(dir.path().join("db"), database).unwrap();
    }
    let (from_tried, from_untried) = tokio::task::block_in_place(|| {
        for _ in 0..2 {
            assert_eq!(outcome(tried.path(), &rows), Outcome::Refused);
        }
        let of = |dir: &TempDir| salvaged(dir.path(), &rows).unwrap();
        (of(&tried), of(&untried))
    });
    assert_eq!(from_tried, from_untried);
    assert!(from_untried > rows.len() / 4, "{from_untried} rows");
}
