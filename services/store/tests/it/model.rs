//! Model test: random transactions against an ordered map. It checks the reads of a closure
//! (of the store, its batch and its own writes) and the rows after the commit.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use store::{Options, Read, Store, Table, Tx};

type Key = (String, u16);
type Rows = BTreeMap<Key, u64>;

const TABLES: [Table<Key, u64>; 2] = [Table::new("one"), Table::new("two")];

/// Syncs of all stores opened with [`counted`].
static SYNCS: AtomicU64 = AtomicU64::new(0);

fn counted(file: &std::fs::File) -> std::io::Result<()> {
    SYNCS.fetch_add(1, Ordering::Relaxed);
    file.sync_data()
}

#[derive(Debug, Clone)]
enum Step {
    Put(usize, Key, u64),
    Delete(usize, Key),
    Get(usize, Key),
    Scan(Scan),
    /// Steps inside `Tx::attempt`, and whether the attempt is refused at its end.
    Attempt(Vec<Step>, bool),
}

#[derive(Debug, Clone)]
struct Scan {
    table: usize,
    prefix: Option<String>,
    /// A lower bound and whether it is included.
    low: Option<(Key, bool)>,
    high: Option<(Key, bool)>,
    newest_first: bool,
}

/// The result of a read.
#[derive(Debug, PartialEq)]
enum Seen {
    Value(Option<u64>),
    Rows(Vec<(Key, u64)>),
}

/// A closure's steps, and whether it refuses after them.
type Closure = (Vec<Step>, bool);

/// A refusal carries the reads of its closure.
#[derive(Debug)]
enum Refusal {
    Asked(Vec<Seen>),
    Store(store::Error),
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl Scan {
    fn of(&self, read: &impl Read) -> Result<Seen, store::Error> {
        let table = TABLES[self.table];
        let mut span = match &self.prefix {
            Some(prefix) => table.prefix(prefix),
            None => table.all(),
        };
        span = match &self.low {
            Some((key, true)) => span.from(key),
            Some((key, false)) => span.after(key),
            None => span,
        };
        span = match &self.high {
            Some((key, true)) => span.up_to(key),
            Some((key, false)) => span.before(key),
            None => span,
        };
        if self.newest_first {
            span = span.newest_first();
        }
        Ok(Seen::Rows(read.scan(span)?.collect::<Result<_, _>>()?))
    }

    fn expected(&self, tables: &[Rows; 2]) -> Seen {
        let within = |key: &Key| {
            self.prefix.as_ref().is_none_or(|prefix| key.0 == *prefix)
                && self
                    .low
                    .as_ref()
                    .is_none_or(|(low, included)| key > low || (*included && key == low))
                && self
                    .high
                    .as_ref()
                    .is_none_or(|(high, included)| key < high || (*included && key == high))
        };
        let mut rows: Vec<_> = tables[self.table]
            .iter()
            .filter(|(key, _)| within(key))
            .map(|(key, value)| (key.clone(), *value))
            .collect();
        if self.newest_first {
            rows.reverse();
        }
        Seen::Rows(rows)
    }
}

fn run(tx: &mut Tx<'_>, steps: &[Step], seen: &mut Vec<Seen>) -> Result<(), store::Error> {
    for step in steps {
        match step {
            Step::Put(table, key, value) => tx.put(TABLES[*table], key, value)?,
            Step::Delete(table, key) => tx.delete(TABLES[*table], key)?,
            Step::Get(table, key) => seen.push(Seen::Value(tx.get(TABLES[*table], key)?)),
            Step::Scan(scan) => seen.push(scan.of(tx)?),
            Step::Attempt(steps, refuse) => {
                let outcome = tx.attempt(|tx| {
                    run(tx, steps, seen).map_err(Some)?;
                    if *refuse { Err(None) } else { Ok(()) }
                });
                if let Err(Some(error)) = outcome {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

fn model(tables: &mut [Rows; 2], steps: &[Step], seen: &mut Vec<Seen>) {
    for step in steps {
        match step {
            Step::Put(table, key, value) => {
                tables[*table].insert(key.clone(), *value);
            }
            Step::Delete(table, key) => {
                tables[*table].remove(key);
            }
            Step::Get(table, key) => seen.push(Seen::Value(tables[*table].get(key).copied())),
            Step::Scan(scan) => seen.push(scan.expected(tables)),
            Step::Attempt(steps, refuse) => {
                let before = tables.clone();
                model(tables, steps, seen);
                if *refuse {
                    *tables = before;
                }
            }
        }
    }
}

fn key() -> impl Strategy<Value = Key> {
    (text(), 0_u16..4)
}

/// A few texts that sort wrongly under a naive encoding of keys.
fn text() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "a", "a\0", "ab", "b", "\u{10FFFF}"]).prop_map(String::from)
}

fn scan() -> impl Strategy<Value = Scan> {
    (
        0_usize..2,
        option::of(text()),
        option::of((key(), any::<bool>())),
        option::of((key(), any::<bool>())),
        any::<bool>(),
    )
        .prop_map(|(table, prefix, low, high, newest_first)| Scan {
            table,
            prefix,
            low,
            high,
            newest_first,
        })
}

fn step() -> impl Strategy<Value = Step> {
    let plain = prop_oneof![
        4 => (0_usize..2, key(), any::<u64>()).prop_map(|(t, k, v)| Step::Put(t, k, v)),
        2 => (0_usize..2, key()).prop_map(|(t, k)| Step::Delete(t, k)),
        1 => (0_usize..2, key()).prop_map(|(t, k)| Step::Get(t, k)),
        3 => scan().prop_map(Step::Scan),
    ];
    plain.prop_recursive(2, 12, 4, |step| {
        (vec(step, 1..5), any::<bool>()).prop_map(|(steps, refuse)| Step::Attempt(steps, refuse))
    })
}

fn batches() -> impl Strategy<Value = Vec<Vec<Closure>>> {
    let closure = (vec(step(), 0..8), prop::bool::weighted(0.3));
    vec(vec(closure, 1..6), 1..5)
}

/// Sends the closures in one batch; returns the reads of each, in order.
async fn share_a_batch(store: &Store, closures: Vec<Closure>) -> Vec<(Vec<Seen>, bool)> {
    let release = crate::hold(store).await;
    let mut answers = Vec::new();
    for (steps, refuse) in closures {
        let (behind, queued) = (store.queue_len(), store.clone());
        answers.push(tokio::spawn(async move {
            queued
                .write(move |tx| {
                    let mut seen = Vec::new();
                    run(tx, &steps, &mut seen)?;
                    if refuse { Err(Refusal::Asked(seen)) } else { Ok(seen) }
                })
                .await
        }));
        while store.queue_len() == behind {
            tokio::task::yield_now().await;
        }
    }
    drop(release);
    let mut outcomes = Vec::new();
    for answer in answers {
        outcomes.push(match crate::soon("an answer", answer).await.unwrap() {
            Ok(seen) => (seen, false),
            Err(Refusal::Asked(seen)) => (seen, true),
            Err(Refusal::Store(error)) => panic!("the store failed: {error}"),
        });
    }
    outcomes
}

async fn walk(batches: Vec<Vec<Closure>>, last_scans: Vec<Scan>) {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { sync: counted, ..Options::default() };
    let store = Store::open(dir.path(), &options).unwrap();
    let mut tables = [Rows::new(), Rows::new()];
    for closures in batches {
        let mut expected = Vec::new();
        for (steps, refuse) in &closures {
            let (before, mut seen) = (tables.clone(), Vec::new());
            model(&mut tables, steps, &mut seen);
            if *refuse {
                tables = before;
            }
            expected.push((seen, *refuse));
        }
        let syncs = SYNCS.load(Ordering::Relaxed);
        assert_eq!(share_a_batch(&store, closures).await, expected);
        assert!(
            SYNCS.load(Ordering::Relaxed) <= syncs + 1,
            "one sync a batch"
        );
    }
    for scan in &last_scans {
        assert_eq!(scan.of(&store).unwrap(), scan.expected(&tables), "{scan:?}");
    }
    assert_counts(&store, &tables);
    store.close();

    let store = crate::open(dir.path());
    for (table, rows) in TABLES.into_iter().zip(&tables) {
        let stored: Rows = store
            .scan(table.all())
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(stored, *rows);
    }
    assert_counts(&store, &tables);
    // A deletion above the database is counted against the row below it, an absent one is not.
    for (table, rows) in TABLES.into_iter().zip(&mut tables) {
        let gone = rows.pop_first().map_or_else(Key::default, |(key, _)| key);
        let deleted = store.write(move |tx| tx.delete(table, &gone));
        deleted.await.unwrap();
    }
    assert_counts(&store, &tables);
}

fn assert_counts(store: &Store, tables: &[Rows; 2]) {
    for (table, rows) in TABLES.into_iter().zip(tables) {
        let counted = store.row_count(table).unwrap();
        assert_eq!(counted, Some(rows.len() as u64));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_an_ordered_map(batches in batches(), last_scans in vec(scan(), 8)) {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
            .block_on(walk(batches, last_scans));
    }
}
