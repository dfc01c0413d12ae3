//! Replay of the journal after a crash.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::segment::Segment;
use super::*;
use crate::{Options, Read as _, Store, Table};

const ROWS: Table<u64, String> = Table::new("rows");

fn open(dir: &Path) -> Result<Store, Error> {
    Store::open(dir, &Options::default())
}

/// Copies the files that a killed process leaves: the journal, and a database without rows
/// that no checkpoint has written yet.
async fn crash(store: &Store, to: &Path) {
    store
        .write(|tx| tx.put(ROWS, &0, &"last".into()))
        .await
        .unwrap();
    copy_files(store.dir(), to, |_| true);
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

/// A journal's bytes in which record 12 of 20 begins at `begin`, and its last at `last`.
struct Journalled {
    bytes: Vec<u8>,
    begin: usize,
    last: usize,
}

/// A killed store with 20 records in its first segment.
async fn killed(copy: &Path) -> Journalled {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    fill(&store, 1..20).await;
    crash(&store, copy).await;
    // The first generation is 1, in the second file.
    let bytes = std::fs::read(copy.join(FILES[1])).unwrap();
    let records = Segment::read(bytes.clone()).unwrap().records;
    let begin = |record: usize| records[record].1.start - RECORD_HEAD_BYTES;
    assert_eq!(records.len(), 20);
    Journalled { begin: begin(12), last: begin(19), bytes }
}

#[tokio::test]
async fn a_record_that_was_acknowledged_is_never_taken_for_a_torn_one() {
    /// Bytes of a record, by what they hold.
    const FIELDS: [(&str, std::ops::Range<usize>); 5] = [
        ("checksum", 0..4),
        ("length", 4..8),
        ("generation", 8..16),
        ("number", 16..24),
        ("rows", 24..30),
    ];
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let copy = tempfile::tempdir().unwrap();
    let whole = killed(copy.path()).await;
    for (at, record) in [("the middle", whole.begin), ("the end", whole.last)] {
        for (field, bytes) in FIELDS {
            let mut damaged = whole.bytes.clone();
            damaged[record + random.random_range(bytes)] ^= 1 << random.random_range(0..8);
            refuses(copy.path(), FILES[1], &damaged, &format!("{field} in {at}"));
        }
        let mut damaged = whole.bytes.clone();
        let block = record / 4096 * 4096;
        damaged[block..block + 4096].fill(0);
        refuses(
            copy.path(),
            FILES[1],
            &damaged,
            &format!("a zeroed block in {at}"),
        );
    }
    std::fs::write(copy.path().join(FILES[1]), &whole.bytes).unwrap();
    let again = open(copy.path()).unwrap();
    assert_eq!(again.scan(ROWS.all()).unwrap().count(), 20);
}

/// Writes the file and expects that the store refuses to open and names it.
#[track_caller]
fn refuses(dir: &Path, file: &str, bytes: &[u8], what: &str) {
    std::fs::write(dir.join(file), bytes).unwrap();
    match open(dir) {
        Err(Error::Damaged { file: named, .. }) => assert_eq!(named, dir.join(file), "{what}"),
        Err(other) => panic!("{what}: {other}"),
        Ok(_) => panic!("{what}: it opened"),
    }
}

#[tokio::test]
async fn a_record_that_was_cut_off_before_it_was_acknowledged_is_dropped() {
    let copy = tempfile::tempdir().unwrap();
    let whole = killed(copy.path()).await;
    let mut torn = whole.bytes.clone();
    torn[whole.last + RECORD_HEAD_BYTES] ^= 1;
    std::fs::write(copy.path().join(FILES[1]), &torn).unwrap();
    // As after a power cut, which the last acknowledged number did not survive.
    let other = File::options()
        .write(true)
        .open(copy.path().join(FILES[0]))
        .unwrap();
    other
        .write_all_at(&acknowledged(19), ACKNOWLEDGED_AT)
        .unwrap();
    let again = open(copy.path()).unwrap();
    assert_eq!(again.get(ROWS, &0).unwrap(), None);
    assert_eq!(again.scan(ROWS.all()).unwrap().count(), 19);
}

/// A store that has rotated several times, and its state at an earlier moment.
async fn two_moments() -> [tempfile::TempDir; 2] {
    let moments = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [earlier, later] = &moments;
    let store = open(later.path()).unwrap();
    fill(&store, 1..60).await;
    store.close();
    copy_files(later.path(), earlier.path(), |_| true);
    let store = open(later.path()).unwrap();
    fill(&store, 60..200).await;
    store.close();
    moments
}

fn copy_files(from: &Path, to: &Path, wanted: impl Fn(&str) -> bool) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_file() && wanted(&name) {
            std::fs::copy(from.join(&name), to.join(&name)).unwrap();
        }
    }
}

#[tokio::test]
async fn files_of_different_moments_do_not_open() {
    let [earlier, later] = two_moments().await;
    let is_database = |name: &str| !name.starts_with("journal");
    for what in ["the database", "both segments", FILES[0], FILES[1]] {
        let swapped = |name: &str| match what {
            "the database" => is_database(name),
            "both segments" => !is_database(name),
            file => name == file,
        };
        let dir = tempfile::tempdir().unwrap();
        copy_files(later.path(), dir.path(), |name| !swapped(name));
        copy_files(earlier.path(), dir.path(), swapped);
        match open(dir.path()) {
            Err(Error::Damaged { .. }) => {}
            Err(other) => panic!("{what}: {other}"),
            Ok(_) => panic!("{what}: it opened"),
        }
    }
    let again = open(later.path()).unwrap();
    assert_eq!(again.scan(ROWS.all()).unwrap().count(), 199);
}

#[tokio::test]
async fn a_missing_segment_is_refused() {
    let [_, later] = two_moments().await;
    for name in FILES {
        let dir = tempfile::tempdir().unwrap();
        copy_files(later.path(), dir.path(), |file| file != name);
        match open(dir.path()) {
            Err(Error::Damaged { file, .. }) => assert_eq!(file, dir.path().join(name)),
            Err(other) => panic!("{name}: {other}"),
            Ok(_) => panic!("{name}: it opened"),
        }
    }
}

#[tokio::test]
async fn snapshots_and_settings_that_do_not_read_are_set_aside() {
    let [_, later] = two_moments().await;
    let snapshot = std::fs::read_dir(later.path()).unwrap();
    let mut snapshot = snapshot.map(|entry| entry.unwrap().path());
    let is_snapshot = |file: &PathBuf| {
        file.file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("snap.")
    };
    let snapshot = snapshot
        .find(is_snapshot)
        .expect("a clean end leaves a snapshot");
    for file in [snapshot.as_path(), Path::new("conf")] {
        for damage in [&b""[..], b"neither a snapshot nor settings"] {
            let dir = tempfile::tempdir().unwrap();
            copy_files(later.path(), dir.path(), |_| true);
            std::fs::write(dir.path().join(file.file_name().unwrap()), damage).unwrap();
            let again = open(dir.path()).unwrap();
            assert_eq!(again.scan(ROWS.all()).unwrap().count(), 199);
        }
    }
}

/// A segment of an earlier version, which had no heads and 8 more bytes in each record.
fn as_by_an_earlier_version(bytes: Vec<u8>) -> Vec<u8> {
    let segment = Segment::read(bytes).unwrap();
    let mut old = Vec::new();
    for (number, rows) in segment.rows_after(0) {
        let mut record = vec![0; 32];
        record.extend_from_slice(rows);
        record[4..8].copy_from_slice(&length(rows.len()).to_le_bytes());
        record[8..16].copy_from_slice(&segment.head.generation.to_le_bytes());
        record[16..24].copy_from_slice(&number.to_le_bytes());
        let checksum = crc32fast::hash(&record[4..]);
        record[..4].copy_from_slice(&checksum.to_le_bytes());
        old.extend_from_slice(&record);
    }
    old.resize(old.len().next_multiple_of(4096), 0);
    old
}

#[tokio::test]
async fn a_store_of_an_earlier_version_is_taken_and_stamped() {
    let copy = tempfile::tempdir().unwrap();
    let whole = killed(copy.path()).await;
    std::fs::write(copy.path().join(FILES[0]), b"").unwrap();
    std::fs::write(
        copy.path().join(FILES[1]),
        as_by_an_earlier_version(whole.bytes),
    )
    .unwrap();
    // Its database had no stamp; that of a new store is empty.
    let empty = tempfile::tempdir().unwrap();
    drop(Engine::open(empty.path(), &Options::default()).unwrap());
    copy_files(empty.path(), copy.path(), |name| name != "lock");
    for _ in 0..2 {
        let again = open(copy.path()).unwrap();
        assert_eq!(again.scan(ROWS.all()).unwrap().count(), 20);
        again.close();
    }
    std::fs::remove_file(copy.path().join(FILES[0])).unwrap();
    assert!(open(copy.path()).is_err(), "it is stamped now");
}

/// Several rotations, then a clean end, which leaves nothing to replay.
#[tokio::test]
async fn segments_alternate() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    fill(&store, 1..400).await;
    store.close();
    let mut segments = FILES.map(|name| {
        let bytes = std::fs::read(dir.path().join(name)).unwrap();
        assert!(bytes.len() as u64 <= SEGMENT_BYTES_MAX + GROWTH_BYTES);
        Segment::read(bytes).unwrap()
    });
    segments.sort_by_key(|segment| segment.head.generation);
    let [older, newer] = segments;
    assert!(newer.head.generation > 3, "it never rotated");
    assert_eq!(older.last(), newer.head.base);
    assert_eq!((newer.records.len(), newer.last()), (0, 399));
    let engine = Engine::open(dir.path(), &Options::default()).unwrap();
    assert_eq!(engine.stored_stamp().unwrap().unwrap().complete, 399);
    drop(engine);
    let again = open(dir.path()).unwrap();
    assert_eq!(again.scan(ROWS.all()).unwrap().count(), 399);
}
