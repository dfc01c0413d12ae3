//! The data folder: its creation, foreign content, and its permissions.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Barrier};

use chassis::folder::FORMAT;
use chassis::{Error, Folder};

fn refusal(path: &Path) -> String {
    match Folder::open_or_create(path) {
        Err(Error::Folder { why, .. }) => why,
        Err(Error::File { why, .. }) => why.to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Several processes start at once on an empty folder and create their data folders.
#[test]
fn services_that_start_at_once_create_one_shop() {
    const STARTERS: usize = 6;
    for _ in 0..40 {
        let temporary = tempfile::tempdir().unwrap();
        let path = Arc::new(temporary.path().join("shop"));
        let together = Arc::new(Barrier::new(STARTERS));
        let starters: Vec<_> = (0..STARTERS)
            .map(|place| {
                let (path, together) = (path.clone(), together.clone());
                std::thread::spawn(move || {
                    together.wait();
                    let folder = Folder::open_or_create(&path).unwrap();
                    folder.data_dir(&format!("service-{place}")).unwrap();
                    folder
                })
            })
            .collect();
        let folders: Vec<_> = starters
            .into_iter()
            .map(|starter| starter.join().expect("it opens the folder"))
            .collect();
        for folder in &folders {
            assert_eq!(folder.shop(), folders[0].shop());
            assert_eq!(folder.root_key(), folders[0].root_key());
            assert_eq!(
                folder.root_secret().unwrap().public_text(),
                folder.root_key()
            );
        }
        assert_eq!(names(&path.join("keys")).len(), 1, "a loser's key is left");
        assert!(!names(&path).iter().any(|name| name.starts_with('.')));
        let again = Folder::open_or_create(&path).unwrap();
        assert_eq!(again.shop(), folders[0].shop());
    }
}

#[test]
fn a_folder_with_foreign_content_is_not_changed() {
    let temporary = tempfile::tempdir().unwrap();
    fs::write(temporary.path().join("thesis.tex"), "\\begin").unwrap();
    let why = refusal(temporary.path());
    assert!(
        why.contains("thesis.tex") && why.contains("--data"),
        "{why}"
    );
    assert_eq!(names(temporary.path()), ["thesis.tex"]);

    let file = temporary.path().join("thesis.tex");
    refusal(&file);
    assert_eq!(fs::read_to_string(&file).unwrap(), "\\begin");
}

#[test]
fn a_damaged_marker_is_refused_and_not_replaced() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("shop");
    Folder::open_or_create(&path).unwrap();
    let marker = path.join("SHOP");
    let sound = fs::read_to_string(&marker).unwrap();
    let format = |format: u32| {
        let present = format!("\"format\": {FORMAT}");
        sound.replace(&present, &format!("\"format\": {format}"))
    };
    let (older, newer) = (format(FORMAT - 1), format(FORMAT + 1));
    let newer_with_backup = newer.replace("\"konbini\"", "\"backup\": \"/b/k\", \"konbini\"");
    for (damaged, told) in [
        ("", "damaged"),
        ("{}", "damaged"),
        (&sound[..sound.len() / 2], "damaged"),
        (&older, "`konbini upgrade`"),
        (&newer, "reads up to"),
        (&newer, "or newer"),
        (&newer_with_backup, "`konbini restore /b/k`"),
    ] {
        fs::write(&marker, damaged).unwrap();
        let why = refusal(&path);
        assert!(why.contains(told), "{damaged}: {why}");
        assert_eq!(fs::read_to_string(&marker).unwrap(), damaged);
    }
    fs::write(&marker, sound).unwrap();
    Folder::open_or_create(&path).unwrap();
}

#[test]
fn a_shop_is_readable_by_its_owner_only() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = Folder::open_or_create(&temporary.path().join("shop")).unwrap();
    let data_dir = folder.data_dir("orders").unwrap();
    let kid = folder.root_secret().unwrap().kid();
    let secret = format!("keys/{kid}.secret");
    let path = folder.path();
    for (what, mode) in [
        (path.to_owned(), 0o700),
        (data_dir, 0o700),
        (path.join("keys"), 0o700),
        (path.join("SHOP"), 0o600),
        (path.join(secret), 0o600),
    ] {
        let found = fs::metadata(&what).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{} has {found:o}", what.display());
    }
}

/// A marker that is damaged, or another shop's, names another root key.
#[test]
fn the_root_key_is_never_deleted_for_a_wrong_marker() {
    let temporary = tempfile::tempdir().unwrap();
    let [own, other] = ["own", "other"].map(|name| {
        let path = temporary.path().join(name);
        Folder::open_or_create(&path).unwrap();
        path
    });
    let root = Folder::open(&own).unwrap().root_secret().unwrap();
    let marker = fs::read(own.join("SHOP")).unwrap();
    fs::copy(other.join("SHOP"), own.join("SHOP")).unwrap();
    let mistaken = Folder::open(&own).unwrap();
    assert_eq!(mistaken.retain_secrets(&[]).unwrap(), Vec::<String>::new());
    let kids: Vec<_> = mistaken.other_secrets(&[]).unwrap().into_keys().collect();
    assert_eq!(kids, [root.kid()]);
    fs::write(own.join("SHOP"), marker).unwrap();
    let folder = Folder::open(&own).unwrap();
    assert_eq!(folder.root_secret().unwrap().kid(), root.kid());
}

#[test]
fn secrets_are_private_and_credentials_are_only_read() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = Folder::open_or_create(&temporary.path().join("shop")).unwrap();
    let made = folder.service_secret("users", "refresh").unwrap();
    let file = folder.path().join("users/refresh.secret");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o600);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(folder.service_secret("users", "refresh").unwrap(), made);
    assert_eq!(mode(&file), 0o600, "put right when it is next read");

    let credentials = temporary.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    let given = folder.with_credentials(&credentials);
    assert_eq!(given.service_secret("users", "refresh").unwrap(), made);
    let other = "07".repeat(32);
    fs::write(credentials.join("users.refresh.secret"), &other).unwrap();
    assert_eq!(given.service_secret("users", "refresh").unwrap(), [7; 32]);
    assert_eq!(names(&credentials).len(), 1);

    // A damaged secret is refused, and not replaced by a new one.
    fs::write(credentials.join("users.refresh.secret"), &other[1..]).unwrap();
    let error = given.service_secret("users", "refresh").unwrap_err();
    let told = format!("{error} {error:?}");
    assert!(
        told.contains("users.refresh.secret") && !told.contains("0707"),
        "{told}"
    );
}
