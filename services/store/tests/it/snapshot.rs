//! Snapshots of a store that is written to meanwhile: the copy has every row as it was after
//! the record at which it is cut, whatever that record is.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use store::{Error, Frame, FrameKind, Options, Read, Store, StoreBuilder, Table};

use crate::{number_from_env, open, soon};

const ROWS: Table<u64, String> = Table::new("rows");
/// The number of the batch that was written last, in the same transaction as its rows.
const COUNT: Table<u64, u64> = Table::new("count");

type Rows = BTreeMap<u64, String>;

/// Keys that rows are put under and removed from.
const KEYS: u64 = 400;

/// Writes some rows, and the number of the batch; returns the number of a record that has it.
async fn write(store: &Store, seed: &mut StdRng, batch: u64, rows: &mut Rows) -> u64 {
    let mut changes = Vec::new();
    for _ in 0..seed.random_range(1..8) {
        let key = seed.random_range(0..KEYS);
        let value = seed
            .random_bool(0.8)
            .then(|| format!("{batch} ").repeat(300));
        match value.clone() {
            Some(value) => rows.insert(key, value),
            None => rows.remove(&key),
        };
        changes.push((key, value));
    }
    let written = store.write(move |tx| {
        for (key, value) in changes {
            match value {
                Some(value) => tx.put(ROWS, &key, &value)?,
                None => tx.delete(ROWS, &key)?,
            }
        }
        tx.put(COUNT, &0, &batch)
    });
    written.await.unwrap();
    store.last_record()
}

/// Makes a store of the frames up to record `end`.
fn build(frames: &[Frame], end: u64) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let mut builder =
        StoreBuilder::create(&dir.path().join("store"), &Options::default(), end).unwrap();
    let of_kind = |kind| frames.iter().filter(move |frame| frame.kind == kind);
    let records = of_kind(FrameKind::Record).filter(|frame| frame.number <= end);
    for frame in of_kind(FrameKind::Rows).chain(records) {
        builder.apply(frame).unwrap();
    }
    builder.finish().unwrap();
    let store = open(&dir.path().join("store"));
    (dir, store)
}

fn rows_of(store: &Store) -> Rows {
    store
        .scan(ROWS.all())
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

#[tokio::test]
async fn a_copy_made_under_writes_is_the_store_at_its_last_record() {
    let seed = number_from_env("KONBINI_SEED").unwrap_or_else(|| rand::rng().random());
    println!("KONBINI_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut rows = Rows::new();
    for batch in 0..400 {
        write(&store, &mut random, batch, &mut rows).await;
    }
    let mut snapshot = store.snapshot();
    let mut states: BTreeMap<u64, (u64, Rows)> = BTreeMap::new();
    let mut frames = Vec::new();
    let mut batch = 400;
    let (mut scanned, mut after) = (0, 0);
    while after < 200 {
        // Writes go on between the frames, and for a while after the rows were read.
        let frame = soon("a frame", snapshot.next()).await.unwrap();
        if frame.kind == FrameKind::Scanned {
            scanned = store.last_record();
        }
        after += u64::from(scanned > 0);
        frames.push(frame);
        let record = write(&store, &mut random, batch, &mut rows).await;
        states.insert(record, (batch, rows.clone()));
        batch += 1;
    }
    let kinds: Vec<_> = frames.iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds[0], FrameKind::Begin);
    let reads = kinds
        .iter()
        .filter(|kind| **kind == FrameKind::Rows)
        .count();
    assert!(reads > 1, "the rows are read in pieces: {kinds:?}");
    let last = frames.iter().map(|frame| frame.number).max().unwrap();
    let ends: Vec<u64> = states.range(scanned..=last).map(|(end, _)| *end).collect();
    for end in [ends[0], ends[ends.len() / 2], ends[ends.len() - 1]] {
        let (copy_dir, copy) = build(&frames, end);
        let (batch, expected) = &states[&end];
        assert_eq!(
            copy.get(COUNT, &0).unwrap().as_ref(),
            Some(batch),
            "cut at {end}"
        );
        assert_eq!(&rows_of(&copy), expected, "cut at {end}");
        assert_eq!(copy.verify().unwrap(), Vec::<String>::new());
        assert_eq!(copy.last_record(), end);
        // It goes on like any store.
        let mut expected = expected.clone();
        write(&copy, &mut random, batch + 1, &mut expected).await;
        copy.close();
        let copy = open(&copy_dir.path().join("store"));
        assert_eq!(rows_of(&copy), expected);
    }
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut snapshot = store.snapshot();
    for batch in 0..40 {
        let big = store.write(move |tx| {
            for key in 0..32 {
                tx.put(ROWS, &key, &"x".repeat(31 * 1024))?;
            }
            tx.put(COUNT, &0, &batch)
        });
        big.await.unwrap();
    }
    let outcome = loop {
        match soon("a frame", snapshot.next()).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(outcome, Error::Behind), "{outcome}");
}

#[test]
fn a_frame_is_read_whole_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let frames = runtime.block_on(async {
        let store = open(dir.path());
        store.write(|tx| tx.put(COUNT, &0, &7)).await.unwrap();
        let mut snapshot = store.snapshot();
        [
            snapshot.next().await.unwrap(),
            snapshot.next().await.unwrap(),
        ]
    });
    let sent: Vec<u8> = frames.iter().flat_map(Frame::as_bytes).copied().collect();
    let mut arrived = Vec::new();
    let mut taken = Vec::new();
    for byte in &sent {
        arrived.push(*byte);
        taken.extend(Frame::take(&mut arrived).unwrap());
    }
    assert_eq!(taken, frames);
    for at in 0..sent.len() {
        let mut damaged = sent.clone();
        damaged[at] ^= 1;
        let mut taken = Vec::new();
        let outcome = loop {
            match Frame::take(&mut damaged) {
                Ok(Some(frame)) => taken.push(frame),
                other => break other,
            }
        };
        assert!(outcome.is_err() || taken.len() < 2, "byte {at}: {taken:?}");
    }
}
