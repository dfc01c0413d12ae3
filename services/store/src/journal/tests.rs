//! Replay of the journal after a crash.

use super::*;
use crate::{Options, Read, Store, Table};

const ROWS: Table<u64, String> = Table::new("rows");

fn open(dir: &Path) -> Result<Store, Error> {
    Store::open(dir, &Options::default())
}

/// Copies the files that a killed process leaves: the journal, and a database in which
/// unsynced rows may be missing.
async fn crash(store: &Store, to: &Path) {
    store
        .write(|tx| tx.put(ROWS, &0, &"last".into()))
        .await
        .unwrap();
    for name in ["journal.0", "journal.1"] {
        std::fs::copy(store.dir().join(name), to.join(name)).unwrap();
    }
}

async fn fill(store: &Store, rows: std::ops::Range<u64>) {
    for row in rows {
        let text = row.to_string().repeat(5000);
        store
            .write(move |tx| tx.put(ROWS, &row, &text))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn rows_missing_in_the_database_are_replayed() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(dir.path()).unwrap();
    fill(&store, 1..20).await;
    crash(&store, copy.path()).await;
    let again = open(copy.path()).unwrap();
    assert_eq!(again.scan(ROWS.all()).unwrap().count(), 20);
    assert_eq!(again.get(ROWS, &0).unwrap(), Some("last".into()));
}

#[tokio::test]
async fn a_torn_last_record_is_dropped_and_damage_reported() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(dir.path()).unwrap();
    fill(&store, 1..20).await;
    crash(&store, copy.path()).await;
    // The first generation is 1, in the second file.
    let file = copy.path().join("journal.1");
    let whole = std::fs::read(&file).unwrap();
    let segment = Segment::read(whole.clone()).unwrap().unwrap();
    let last = segment.batches.last().unwrap().start;

    let mut torn = whole.clone();
    torn[last] ^= 1;
    std::fs::write(&file, &torn).unwrap();
    let again = open(copy.path()).unwrap();
    assert_eq!(again.get(ROWS, &0).unwrap(), None);
    assert_eq!(again.scan(ROWS.all()).unwrap().count(), 19);
    again.close();

    for record in [0, 5] {
        let mut damaged = whole.clone();
        damaged[segment.batches[record].start] ^= 1;
        assert!(Segment::read(damaged).is_err());
    }
}

/// The first record of a segment is torn: only its end was written.
#[test]
fn a_rotated_segment_begins_empty() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let engine = Engine::open(dir.path(), &Options::default()).unwrap();
        let journal = Journal::open(dir.path(), File::sync_data, &engine).unwrap();
        let memtables = crate::memtables::Memtables::default();
        (journal, Arc::new(View { memtables, engine }))
    };
    let batch = |bytes: usize| {
        let mut batch = Overlay::default();
        batch.set("rows", vec![1], Some(vec![1; bytes]));
        batch
    };
    let (mut journal, view) = open();
    for _ in 0..2 {
        for _ in 0..20 {
            journal.prepare(&view, &batch(1000)).unwrap();
            journal.append().unwrap();
        }
        journal.rotate(&view).unwrap();
    }
    journal.prepare(&view, &batch(9000)).unwrap();
    let end = &journal.record[4096..];
    let file = &journal.files[journal.place()];
    file.write_all_at(end, 4096).unwrap();
    journal.finish_checkpoint(&view).unwrap();
    drop((journal, view));
    let (journal, _) = open();
    assert_eq!((journal.generation, journal.number), (3, 40));
}

/// Several rotations, then a crash, then a clean end.
#[tokio::test]
async fn segments_alternate() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    fill(&store, 1..400).await;
    store.close();
    let generation = |name: &str| {
        let bytes = std::fs::read(dir.path().join(name)).unwrap();
        assert!(bytes.len() as u64 <= SEGMENT_BYTES_MAX + GROWTH_BYTES);
        Segment::read(bytes).unwrap().unwrap()
    };
    let mut segments = [generation("journal.0"), generation("journal.1")];
    segments.sort_by_key(|segment| segment.generation);
    assert!(segments[1].generation > 3, "it never rotated");
    assert_eq!(
        segments[1].checkpointed, segments[0].generation,
        "a clean end leaves nothing"
    );
    let again = open(dir.path()).unwrap();
    assert_eq!(again.scan(ROWS.all()).unwrap().count(), 399);
}
