//! Values and keys at their size limits, and one byte above.

use store::{Error, KEY_BYTES_MAX, Read, Table, VALUE_BYTES_MAX};

use crate::{LEFT, open};

const NOTES: Table<u64, String> = Table::new("notes");
const NAMES: Table<String, u64> = Table::new("names");

/// Enough adjacent rows to fill whole leaves with values at the limit.
const ROWS: u64 = 80;

fn text_encoded_as(bytes: usize) -> String {
    // One version byte, and three bytes of MessagePack for a text of this length.
    let text = "v".repeat(bytes - 4);
    assert_eq!(store::encode(&text).unwrap().len(), bytes);
    text
}

#[tokio::test]
async fn values_at_the_cap_stay_in_the_log_and_above_it_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let full = text_encoded_as(VALUE_BYTES_MAX);
    for first in (0..ROWS).step_by(20) {
        let full = full.clone();
        store
            .write(move |tx| (first..first + 20).try_for_each(|key| tx.put(NOTES, &key, &full)))
            .await
            .unwrap();
    }
    let refused = store
        .write(|tx| {
            tx.put(LEFT, &1, &1)?;
            tx.put(NOTES, &0, &text_encoded_as(VALUE_BYTES_MAX + 1))
        })
        .await;
    let Err(Error::TooLarge { table: "notes", what: "value", bytes, bytes_max }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((bytes, bytes_max), (VALUE_BYTES_MAX + 1, VALUE_BYTES_MAX));
    store.close();

    // Overwriting the rows after a restart rewrites whole leaves.
    let store = open(dir.path());
    assert_eq!(store.get(LEFT, &1).unwrap(), None);
    let rewritten = full.clone();
    store
        .write(move |tx| {
            (0..ROWS)
                .step_by(3)
                .try_for_each(|key| tx.put(NOTES, &key, &rewritten))
        })
        .await
        .unwrap();
    let rows: Vec<_> = store
        .scan(NOTES.all())
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(rows.len(), usize::try_from(ROWS).unwrap());
    assert!(rows.iter().all(|(_, text)| *text == full));
    store.close();

    // sled never syncs its files for large values, so there must be none.
    let blobs = dir.path().join("blobs");
    assert!(!blobs.exists() || blobs.read_dir().unwrap().next().is_none());
}

#[tokio::test]
async fn keys_up_to_the_cap_are_stored_and_longer_ones_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    // Two bytes terminate an encoded text.
    let full = "k".repeat(KEY_BYTES_MAX - 2);
    let longer = format!("{full}k");
    let key = full.clone();
    store
        .write(move |tx| tx.put(NAMES, &key, &1))
        .await
        .unwrap();
    let refused = store
        .write(move |tx| {
            tx.put(LEFT, &1, &1)?;
            tx.put(NAMES, &longer, &2)
        })
        .await;
    assert!(
        matches!(refused, Err(Error::TooLarge { what: "key", .. })),
        "{refused:?}"
    );
    assert_eq!(store.get(NAMES, &full).unwrap(), Some(1));
    assert_eq!(store.get(LEFT, &1).unwrap(), None);
}
