//! The ring through time, and through everything that can happen to a process.

use std::fs;

use tempfile::TempDir;

use super::*;

const START: Time = Time(1_795_369_454_120);
const DAY: u64 = 24 * 3600;
/// How long after its successor signs a key still counts.
const GRACE: u64 = 15 * 60 + 30;

fn at(seconds: u64) -> Time {
    START.after(Duration::from_secs(seconds))
}

/// What of a users service holds keys.
struct Room {
    folder: Folder,
    store: Store,
    log: Log,
    temporary: TempDir,
}

impl Room {
    async fn start() -> Self {
        let temporary = TempDir::new().unwrap();
        let folder = Folder::open(&temporary.path().join("shop")).unwrap();
        let room = folder.data_dir("users").unwrap().join("store");
        let store = Store::open(&room, &::store::Options::default()).unwrap();
        let log = Log::open(store.clone(), "users", START).await.unwrap();
        Self { folder, store, log, temporary }
    }

    /// As a process that starts at `now`.
    async fn open(&self, now: Time) -> Keys {
        let (folder, store, log) = (self.folder.clone(), self.store.clone(), self.log.clone());
        let every = Duration::from_secs(90 * DAY);
        Keys::open(folder, store, log, every, now).await.unwrap()
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

fn kids(held: &[Held]) -> Vec<String> {
    held.iter().map(|held| held.kid.clone()).collect()
}

fn signing(keys: &Keys, now: Time) -> String {
    keys.signing(now, now).kid()
}

#[tokio::test]
async fn a_key_is_known_before_it_signs_and_counts_after_it_did() {
    let room = Room::start().await;
    let keys = room.open(START).await;
    let first = signing(&keys, START);
    keys.rotate(Rotation::Asked, at(10)).await.unwrap();
    let listed = kids(&keys.listed(at(10)));
    let second = listed[0].clone();
    assert_eq!(listed, [second.clone(), first.clone()]);
    let signs = at(12);
    for (now, kid) in [
        (at(10), &first),
        (at(11), &first),
        (signs, &second),
        (at(13), &second),
    ] {
        assert_eq!(signing(&keys, now), *kid, "{now}");
        // Whoever starts in between goes on in the same way.
        assert_eq!(signing(&room.open(now).await, now), *kid, "{now}");
    }
    assert_eq!(
        keys.signing(at(11), at(14)).kid(),
        first,
        "the same once more"
    );
    assert_eq!(
        keys.signing(Time(0), at(14)).kid(),
        first,
        "a clock put back"
    );

    let over = at(12 + GRACE);
    keys.tend(at(11 + GRACE)).await.unwrap();
    assert_eq!(kids(&keys.listed(at(11 + GRACE))), listed);
    assert_eq!(kids(&keys.listed(over)), std::slice::from_ref(&second));
    keys.tend(over).await.unwrap();
    assert_eq!(
        room.secrets(),
        std::slice::from_ref(&second),
        "its secret has gone"
    );
    assert_eq!(load(&room.store).unwrap().len(), 1);
    assert_eq!(signing(&room.open(over).await, over), second);
}

#[tokio::test]
async fn a_key_takes_its_turn_on_its_day() {
    let room = Room::start().await;
    let keys = room.open(START).await;
    let first = signing(&keys, START);
    keys.tend(at(90 * DAY - 3601)).await.unwrap();
    assert_eq!(keys.listed(START).len(), 1, "not yet");
    for now in [90 * DAY - 3600, 90 * DAY - 3540, 90 * DAY - 1] {
        keys.tend(at(now)).await.unwrap();
        assert_eq!(signing(&keys, at(now)), first);
        assert_eq!(
            keys.listed(at(now)).len(),
            2,
            "published once, an hour before"
        );
    }
    assert_ne!(signing(&keys, at(90 * DAY)), first);

    // A shop that was closed for years begins anew where it is.
    let years = at(1000 * DAY);
    keys.tend(years).await.unwrap();
    assert_eq!(keys.listed(years).len(), 2);
}

#[tokio::test]
async fn keys_that_may_be_known_end_at_once() {
    let room = Room::start().await;
    let keys = room.open(START).await;
    let first = signing(&keys, START);
    keys.rotate(Rotation::Asked, at(1)).await.unwrap();
    keys.rotate(Rotation::AtOnce, at(2)).await.unwrap();
    let listed = kids(&keys.listed(at(2)));
    assert_eq!(listed.len(), 1);
    assert!(!listed.contains(&first));
    // Not even what was made before is signed by an old one again.
    assert_eq!(keys.signing(at(1), at(2)).kid(), listed[0]);
    keys.tend(at(2)).await.unwrap();
    assert_eq!(room.secrets(), listed);
}

#[tokio::test]
async fn there_are_few_keys_at_a_time() {
    let room = Room::start().await;
    let keys = room.open(START).await;
    for _ in 1..KEYS_MAX {
        keys.rotate(Rotation::Asked, START).await.unwrap();
    }
    let published: Vec<_> = load(&room.store).unwrap();
    let apart = published
        .windows(2)
        .all(|pair| pair[0].1.published_at > pair[1].1.published_at);
    assert!(apart, "one after the other, though the clock stood still");
    let refused = keys
        .rotate(Rotation::Asked, at(60))
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains(&at(2 + GRACE).to_string()), "{refused}");
    assert_eq!(room.secrets().len(), KEYS_MAX, "a refusal leaves no secret");
    keys.rotate(Rotation::Asked, at(2 + GRACE)).await.unwrap();
    keys.rotate(Rotation::AtOnce, at(3 + GRACE)).await.unwrap();
}

#[tokio::test]
async fn a_crash_at_any_point_is_made_good_at_the_next_opening() {
    let room = Room::start().await;
    let keys = room.open(START).await;
    let first = signing(&keys, START);

    // Between a secret's file, or half of it, and its event.
    let orphan = KeyPair::generate();
    room.folder.keep_secret(&orphan).unwrap();
    let draft = format!("keys/{}.draft", KeyPair::generate().kid());
    fs::write(room.folder.path().join(draft), "k4.sec").unwrap();
    let note = room.folder.path().join("keys/README");
    fs::write(&note, "mine").unwrap();
    let keys = room.open(at(1)).await;
    assert_eq!(signing(&keys, at(1)), first);
    assert!(note.exists(), "what is no secret of ours stays");
    fs::remove_file(note).unwrap();
    assert_eq!(room.secrets(), std::slice::from_ref(&first));

    // Between the event and all that comes after it in memory.
    keys.rotate(Rotation::Asked, at(10)).await.unwrap();
    let keys = room.open(at(11)).await;
    assert_eq!(signing(&keys, at(11)), first);
    let second = signing(&keys, at(12));
    assert_ne!(second, first);

    // Between the row of a key that is over and its secret.
    let secret = fs::read(room.folder.path().join(format!("keys/{first}.secret"))).unwrap();
    keys.tend(at(12 + GRACE)).await.unwrap();
    fs::write(
        room.folder.path().join(format!("keys/{first}.secret")),
        secret,
    )
    .unwrap();
    let keys = room.open(at(13 + GRACE)).await;
    assert_eq!(room.secrets(), std::slice::from_ref(&second));

    // Somebody put the folder back without its secrets, but for the root's.
    fs::remove_file(room.folder.path().join(format!("keys/{second}.secret"))).unwrap();
    drop(keys);
    let keys = room.open(at(14 + GRACE)).await;
    let third = signing(&keys, at(14 + GRACE));
    assert_ne!(third, second);
    assert_eq!(kids(&keys.listed(at(14 + GRACE))), [third, second]);
}

#[tokio::test]
async fn the_root_key_may_be_a_credential_or_elsewhere() {
    let room = Room::start().await;
    let keys = room.open(START).await;
    let root = room.folder.root_secret().unwrap().kid();
    let file = room.folder.path().join(format!("keys/{root}.secret"));
    let credentials = room.temporary.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    let elsewhere = credentials.join(file.file_name().unwrap());
    fs::rename(&file, &elsewhere).unwrap();

    let before = kids(&keys.listed(START));
    let refused = keys
        .rotate(Rotation::Asked, at(1))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains(&root) && refused.contains("root key"),
        "{refused}"
    );
    assert_eq!(kids(&keys.listed(at(1))), before, "and nothing has changed");
    assert_eq!(
        signing(&keys, at(1)),
        before[0],
        "tokens are made all the same"
    );
    drop(keys);

    let folder = room.folder.clone().with_credentials(&credentials);
    let room = Room { folder, ..room };
    let keys = room.open(at(2)).await;
    keys.rotate(Rotation::Asked, at(3)).await.unwrap();
    assert_eq!(keys.listed(at(3)).len(), 2);
    assert_eq!(fs::read_dir(&credentials).unwrap().count(), 1, "only read");
}

/// Whatever is formatted may be logged.
#[tokio::test]
async fn a_ring_shows_no_secret() {
    let room = Room::start().await;
    let keys = room.open(START).await;
    let kid = signing(&keys, START);
    let file = room.folder.path().join(format!("keys/{kid}.secret"));
    let secret = fs::read_to_string(&file).unwrap();
    let secret = &secret["k4.secret.".len()..][..16];
    let shown = format!("{:?} {:?}", keys.listed(START), room.folder);
    assert!(shown.contains(&kid) && !shown.contains(secret), "{shown}");

    // Nor do errors about one.
    fs::write(&file, format!("k4.secret.{secret}")).unwrap();
    let error = room.folder.secret(&kid).unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(shown.contains(&kid) && !shown.contains(secret), "{shown}");
}

/// The exact bytes on disk: a change here is a change of format.
#[test]
fn golden_bytes() {
    let row = SigningKey {
        key: "k4.public.A".into(),
        published_at: Time(1),
        signs_from: Time(2),
        until: Some(Time(3)),
    };
    let golden =
        b"\x01\x84\xa3key\xabk4.public.A\xacpublished_at\x01\xaasigns_from\x02\xa5until\x03";
    assert_eq!(::store::encode(&row).unwrap(), golden);
    assert_eq!(::store::decode::<SigningKey>(golden).unwrap(), row);
}
