//! Opening a folder that is in use, or that a killed process left behind.

use store::{Error, Options, Read, Store};

use crate::{LEFT, open};

#[tokio::test]
async fn opening_a_store_in_use_fails_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    // As if the first process were writing its snapshot.
    let unfinished = dir.path().join("snap.00000000000000AA.generating");
    std::fs::write(&unfinished, b"half").unwrap();

    let refused = Store::open(dir.path(), &Options::default())
        .map(drop)
        .unwrap_err();
    assert!(matches!(refused, Error::Locked(_)), "{refused}");
    let message = refused.to_string();
    assert!(
        message.contains(&*dir.path().to_string_lossy()),
        "{message}"
    );
    assert!(message.contains("another process"), "{message}");
    assert!(
        unfinished.exists(),
        "the second opener removed the first one's file"
    );

    store.write(|tx| tx.put(LEFT, &1, &1)).await.unwrap();
    store.close();
    assert_eq!(open(dir.path()).get(LEFT, &1).unwrap(), Some(1));
}

#[tokio::test]
async fn an_unfinished_snapshot_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.write(|tx| tx.put(LEFT, &1, &1)).await.unwrap();
    store.close();
    let unfinished = dir.path().join("snap.00000000000000AA.generating");
    std::fs::write(&unfinished, b"cut off in the mid").unwrap();

    assert_eq!(open(dir.path()).get(LEFT, &1).unwrap(), Some(1));
    assert!(!unfinished.exists());
}
