//! Signing keys over time and across crashes.

use std::fs;

use tempfile::TempDir;

use super::*;

const START: Time = Time(1_795_369_454_120);
const DAY: u64 = 24 * 3600;
/// How long a key stays valid after its successor signs.
const GRACE: u64 = 15 * 60 + 30;

fn at(seconds: u64) -> Time {
    START.after(Duration::from_secs(seconds))
}

/// The parts of a users service that hold keys.
struct DataDir {
    folder: Folder,
    store: Store,
    log: Log,
    temporary: TempDir,
}

impl DataDir {
    async fn start() -> Self {
        let temporary = TempDir::new().unwrap();
        let folder = Folder::open_or_create(&temporary.path().join("shop")).unwrap();
        let dir = folder.data_dir("users").unwrap().join("store");
        let store = Store::open(&dir, &store::Options::default()).unwrap();
        let log = Log::open(store.clone(), "users", START).await.unwrap();
        Self { folder, store, log, temporary }
    }

    /// Opens the keys as a process starting at `now` does.
    async fn open(&self, now: Time) -> SigningKeys {
        let (folder, store, log) = (self.folder.clone(), self.store.clone(), self.log.clone());
        let every = Duration::from_secs(90 * DAY);
        SigningKeys::open(folder, store, log, every, now)
            .await
            .unwrap()
    }

    /// The keys whose secrets are in the folder, the root's aside.
    fn secrets(&self) -> Vec<String> {
        let root = self.folder.root_secret().unwrap().kid();
        let entries = fs::read_dir(self.folder.path().join("keys")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut kids: Vec<_> = names
            .map(|name| name.trim_end_matches(".secret").to_owned())
            .filter(|kid| *kid != root)
            .collect();
        kids.sort();
        kids
    }
}

fn kids(held: &[HeldKey]) -> Vec<String> {
    held.iter().map(|held| held.kid.clone()).collect()
}

fn signing(keys: &SigningKeys, now: Time) -> String {
    keys.signing(now, now).kid()
}

#[tokio::test]
async fn a_key_is_published_before_it_signs_and_valid_after() {
    let dir = DataDir::start().await;
    let keys = dir.open(START).await;
    let first = signing(&keys, START);
    keys.rotate(Rotation::Requested, at(10)).await.unwrap();
    let valid = kids(&keys.valid(at(10)));
    let second = valid[0].clone();
    assert_eq!(valid, [second.clone(), first.clone()]);
    let signs = at(12);
    for (now, kid) in [
        (at(10), &first),
        (at(11), &first),
        (signs, &second),
        (at(13), &second),
    ] {
        assert_eq!(signing(&keys, now), *kid, "{now}");
        // A process started in between continues the same way.
        assert_eq!(signing(&dir.open(now).await, now), *kid, "{now}");
    }
    assert_eq!(keys.signing(at(11), at(14)).kid(), first, "reissued");
    assert_eq!(
        keys.signing(Time(0), at(14)).kid(),
        first,
        "after a clock step backwards"
    );

    let over = at(12 + GRACE);
    keys.maintain(at(11 + GRACE)).await.unwrap();
    assert_eq!(kids(&keys.valid(at(11 + GRACE))), valid);
    assert_eq!(kids(&keys.valid(over)), std::slice::from_ref(&second));
    keys.maintain(over).await.unwrap();
    assert_eq!(
        dir.secrets(),
        std::slice::from_ref(&second),
        "its secret is deleted"
    );
    assert_eq!(load(&dir.store).unwrap().len(), 1);
    assert_eq!(signing(&dir.open(over).await, over), second);
}

#[tokio::test]
async fn a_scheduled_rotation() {
    let dir = DataDir::start().await;
    let keys = dir.open(START).await;
    let first = signing(&keys, START);
    keys.maintain(at(90 * DAY - 3601)).await.unwrap();
    assert_eq!(keys.valid(START).len(), 1, "not yet");
    for now in [90 * DAY - 3600, 90 * DAY - 3540, 90 * DAY - 1] {
        keys.maintain(at(now)).await.unwrap();
        assert_eq!(signing(&keys, at(now)), first);
        assert_eq!(
            keys.valid(at(now)).len(),
            2,
            "published once, an hour before"
        );
    }
    assert_ne!(signing(&keys, at(90 * DAY)), first);

    // After years of downtime the schedule starts over from now.
    let years = at(1000 * DAY);
    keys.maintain(years).await.unwrap();
    assert_eq!(keys.valid(years).len(), 2);
}

#[tokio::test]
async fn an_immediate_rotation_ends_every_older_key() {
    let dir = DataDir::start().await;
    let keys = dir.open(START).await;
    let first = signing(&keys, START);
    keys.rotate(Rotation::Requested, at(1)).await.unwrap();
    keys.rotate(Rotation::Immediate, at(2)).await.unwrap();
    let valid = kids(&keys.valid(at(2)));
    assert_eq!(valid.len(), 1);
    assert!(!valid.contains(&first));
    // Reissued tokens of earlier times are not signed by an old key either.
    assert_eq!(keys.signing(at(1), at(2)).kid(), valid[0]);
    keys.maintain(at(2)).await.unwrap();
    assert_eq!(dir.secrets(), valid);
}

#[tokio::test]
async fn the_number_of_keys_is_bounded() {
    let dir = DataDir::start().await;
    let keys = dir.open(START).await;
    for _ in 1..KEYS_MAX {
        keys.rotate(Rotation::Requested, START).await.unwrap();
    }
    let published: Vec<_> = load(&dir.store).unwrap();
    let apart = published
        .windows(2)
        .all(|pair| pair[0].1.published_at > pair[1].1.published_at);
    assert!(apart, "one after the other, though the clock stood still");
    let refused = keys
        .rotate(Rotation::Requested, at(60))
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains(&at(2 + GRACE).to_string()), "{refused}");
    assert_eq!(dir.secrets().len(), KEYS_MAX, "a refusal leaves no secret");
    keys.rotate(Rotation::Requested, at(2 + GRACE))
        .await
        .unwrap();
    keys.rotate(Rotation::Immediate, at(3 + GRACE))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_crash_at_any_point_is_repaired_at_start() {
    let dir = DataDir::start().await;
    let keys = dir.open(START).await;
    let first = signing(&keys, START);

    // Between writing a secret's file, or half of it, and its event.
    let orphan = KeyPair::generate();
    dir.folder.keep_secret(&orphan).unwrap();
    let draft = format!("keys/{}.draft", KeyPair::generate().kid());
    fs::write(dir.folder.path().join(draft), "k4.sec").unwrap();
    let note = dir.folder.path().join("keys/README");
    fs::write(&note, "mine").unwrap();
    let keys = dir.open(at(1)).await;
    assert_eq!(signing(&keys, at(1)), first);
    assert!(note.exists(), "other files stay");
    fs::remove_file(note).unwrap();
    assert_eq!(dir.secrets(), std::slice::from_ref(&first));

    // Between the event and the update in memory.
    keys.rotate(Rotation::Requested, at(10)).await.unwrap();
    let keys = dir.open(at(11)).await;
    assert_eq!(signing(&keys, at(11)), first);
    let second = signing(&keys, at(12));
    assert_ne!(second, first);

    // Between the deletion of a retired key's row and of its secret.
    let secret = fs::read(dir.folder.path().join(format!("keys/{first}.secret"))).unwrap();
    keys.maintain(at(12 + GRACE)).await.unwrap();
    fs::write(
        dir.folder.path().join(format!("keys/{first}.secret")),
        secret,
    )
    .unwrap();
    let keys = dir.open(at(13 + GRACE)).await;
    assert_eq!(dir.secrets(), std::slice::from_ref(&second));

    // The folder was restored without its secrets, except the root's.
    fs::remove_file(dir.folder.path().join(format!("keys/{second}.secret"))).unwrap();
    drop(keys);
    let keys = dir.open(at(14 + GRACE)).await;
    let third = signing(&keys, at(14 + GRACE));
    assert_ne!(third, second);
    assert_eq!(kids(&keys.valid(at(14 + GRACE))), [third, second]);
}

#[tokio::test]
async fn the_root_key_may_be_a_credential_or_elsewhere() {
    let dir = DataDir::start().await;
    let keys = dir.open(START).await;
    let root = dir.folder.root_secret().unwrap().kid();
    let file = dir.folder.path().join(format!("keys/{root}.secret"));
    let credentials = dir.temporary.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    let elsewhere = credentials.join(file.file_name().unwrap());
    fs::rename(&file, &elsewhere).unwrap();

    let before = kids(&keys.valid(START));
    let refused = keys
        .rotate(Rotation::Requested, at(1))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains(&root) && refused.contains("root key"),
        "{refused}"
    );
    assert_eq!(kids(&keys.valid(at(1))), before, "unchanged");
    assert_eq!(signing(&keys, at(1)), before[0], "tokens are still issued");
    drop(keys);

    let folder = dir.folder.clone().with_credentials(&credentials);
    let dir = DataDir { folder, ..dir };
    let keys = dir.open(at(2)).await;
    keys.rotate(Rotation::Requested, at(3)).await.unwrap();
    assert_eq!(keys.valid(at(3)).len(), 2);
    assert_eq!(fs::read_dir(&credentials).unwrap().count(), 1, "only read");
}

/// Formatted values may reach a log.
#[tokio::test]
async fn debug_output_has_no_secret() {
    let dir = DataDir::start().await;
    let keys = dir.open(START).await;
    let kid = signing(&keys, START);
    let file = dir.folder.path().join(format!("keys/{kid}.secret"));
    let secret = fs::read_to_string(&file).unwrap();
    let secret = &secret["k4.secret.".len()..][..16];
    let text = format!("{:?} {:?}", keys.valid(START), dir.folder);
    assert!(text.contains(&kid) && !text.contains(secret), "{text}");

    // Nor do errors about one.
    fs::write(&file, format!("k4.secret.{secret}")).unwrap();
    let error = dir.folder.secret(&kid).unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(text.contains(&kid) && !text.contains(secret), "{text}");
}

/// The exact bytes on disk: a change here is a change of format.
#[test]
fn golden_bytes() {
    let row = SigningKey {
        key: "k4.public.A".into(),
        published_at: Time(1),
        signs_from: Time(2),
        until: Some(Time(3)),
        voucher: None,
    };
    let golden =
        b"\x01\x84\xa3key\xabk4.public.A\xacpublished_at\x01\xaasigns_from\x02\xa5until\x03";
    assert_eq!(store::encode(&row).unwrap(), golden);
    assert_eq!(store::decode::<SigningKey>(golden).unwrap(), row);
}
