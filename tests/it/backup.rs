//! `konbini backup` and `konbini restore`: a copy that was made while the shop sold has every
//! order that was acknowledged before, agrees with itself, and sells on.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use reqwest::Method;
use serde_json::{Value, json};
use testkit::eventually;
use testkit::shop::{Form, Shop};

use crate::people::{PASSWORD, Person, lamp, pieces};
use crate::rollback::run;
use crate::world::{closed, konbini, open};

/// Backs up a shop into `dest` and returns the backup's folder.
async fn back_up(shop: &Shop, dest: &Path, more: &[&str]) -> PathBuf {
    let mut command = konbini(&["backup", "--json"]);
    command.arg(dest).args(more).arg("--data").arg(shop.data());
    let output = tokio::task::spawn_blocking(move || command.output()).await;
    let output = output.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    made["path"].as_str().unwrap().into()
}

/// Runs `konbini restore`; its exit code, and all that it printed.
fn restore(from: &Path, into: &Path, more: &[&str]) -> (Option<i32>, String) {
    let mut command = konbini(&["restore"]);
    command.arg(from).args(more).arg("--data").arg(into);
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// A shop made of a backup.
fn restored(from: &Path, more: &[&str]) -> Shop {
    let shop = closed();
    let (code, said) = restore(from, &shop.data(), more);
    assert_eq!(code, Some(0), "{said}");
    shop
}

/// A customer who orders piece after piece until `stop`. The list has the id of each order
/// whose confirmation has arrived.
fn buy(
    mori: Person,
    product: String,
    stop: Arc<AtomicBool>,
) -> (Arc<Mutex<Vec<String>>>, tokio::task::JoinHandle<()>) {
    let confirmed = Arc::new(Mutex::new(Vec::new()));
    let noted = confirmed.clone();
    let buying = tokio::spawn(async move {
        for number in 0.. {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let order = mori
                .order_surely(&format!("order-{number}"), &pieces(&product, 1))
                .await;
            assert_eq!(order.body["status"], "confirmed", "{order:?}");
            noted
                .lock()
                .unwrap()
                .push(order.body["id"].as_str().unwrap().to_owned());
        }
    });
    (confirmed, buying)
}

async fn sells_on_from_backups(form: Form) {
    let shop = open(form).await;
    let admin = Person::admin(&shop).await;
    let product = admin
        .sell(&[lamp("LAMP-1", "Lamp", 100_000)])
        .await
        .remove(0);
    let stop = Arc::new(AtomicBool::new(false));
    let mut buyers = Vec::new();
    for name in ["mori", "ana"] {
        let person = Person::register(&shop, &format!("{name}@konbini.example")).await;
        buyers.push(buy(person, product.clone(), stop.clone()));
    }
    let dest = tempfile::tempdir().unwrap();
    let mut backups = Vec::new();
    for number in 0..3 {
        let folder = dest.path().join(number.to_string());
        let before: Vec<String> = buyers
            .iter()
            .flat_map(|(ids, _)| ids.lock().unwrap().clone())
            .collect();
        let path = back_up(&shop, &folder, &["--verify"]).await;
        backups.push((path, before));
        // Sales between two backups, so that their contents differ.
        let count = || {
            buyers
                .iter()
                .map(|(ids, _)| ids.lock().unwrap().len())
                .sum::<usize>()
        };
        let sold = count();
        eventually("more is sold", || async { count() > sold + 5 }).await;
    }
    stop.store(true, Ordering::Relaxed);
    for (_, buying) in buyers {
        buying.await.unwrap();
    }
    assert!(
        backups
            .iter()
            .all(|(path, _)| path.join("SHA256SUMS").exists())
    );
    for (path, before) in &backups {
        sells_on(restored(path, &[]), form, &product, before).await;
    }
}

/// The copy agrees with itself, has the orders that were acknowledged before, and sells.
async fn sells_on(mut copy: Shop, form: Form, product: &str, before: &[String]) {
    let agrees = |copy: &Shop| {
        let (code, said) = run(copy, &["check"]);
        assert_eq!(code, Some(0), "{said}");
    };
    agrees(&copy);
    copy.open(form).unwrap();
    copy.ready().await.unwrap();
    let admin = Person::stranger(&copy)
        .log_in("admin@konbini.example")
        .await;
    let orders = admin.all("/v1/orders").await;
    let ids = orders.iter().map(|order| order["id"].as_str().unwrap());
    let ids: BTreeSet<_> = ids.collect();
    for id in before {
        assert!(ids.contains(id.as_str()), "{id} of {}", before.len());
    }
    let stock = format!("/v1/products/{product}/stock");
    // Orders that were pending in the copy are confirmed by and by.
    let every_order_has_its_stock = || async {
        let reserved = admin.get(&stock).await.body["reserved"].clone();
        let orders = admin.all("/v1/orders?status=confirmed").await;
        reserved == json!(orders.len()) && orders.len() == ids.len()
    };
    eventually("every order has its stock", every_order_has_its_stock).await;
    let mori = Person::stranger(&copy).log_in("mori@konbini.example").await;
    let next = mori.order_surely("after", &pieces(product, 1)).await;
    assert_eq!(next.body["status"], "confirmed", "{next:?}");
    copy.terminate_all().await.unwrap();
    agrees(&copy);
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_of_one_selling_process_are_whole_shops() {
    sells_on_from_backups(Form::Up).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_of_five_selling_processes_are_whole_shops() {
    sells_on_from_backups(Form::Run).await;
}

/// Erases an account and a guest.
async fn erase(shop: &Shop, admin: &Person, guest: &str) {
    let account = Person::stranger(shop)
        .log_in("erased@konbini.example")
        .await;
    let me = account
        .request(Method::DELETE, "/v1/users/me")
        .json(&json!({ "current_password": PASSWORD }));
    let guest = admin.request(Method::DELETE, &format!("/v1/customers/{guest}"));
    for erasure in [me, guest] {
        assert_eq!(erasure.send().await.unwrap().status(), 204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_come_back_does_not() {
    let mut shop = open(Form::Up).await;
    let admin = Person::admin(&shop).await;
    let product = admin.sell(&[lamp("LAMP-1", "Lamp", 9)]).await.remove(0);
    let stranger = Person::stranger(&shop);
    let order = stranger
        .order_as_guest(&product, "guest@konbini.example")
        .await;
    let order = format!("/v1/orders/{}", order["id"].as_str().unwrap());
    let guest = admin.get(&order).await.body["buyer"]["id"].clone();
    Person::register(&shop, "erased@konbini.example").await;
    let login = json!({ "email": "erased@konbini.example", "password": PASSWORD });
    let session = stranger.post("/v1/sessions", login.clone()).await.body;
    let key = json!({ "name": "ERP", "scopes": ["orders:read"], "current_password": PASSWORD });
    let key = admin.post("/v1/api-keys", key).await.body;
    std::fs::create_dir(shop.data().join("templates")).unwrap();
    std::fs::write(shop.data().join("templates/note.txt"), "kept").unwrap();
    let dest = tempfile::tempdir().unwrap();
    let with_keys = back_up(&shop, dest.path(), &["--keys"]).await;

    erase(&shop, &admin, guest.as_str().unwrap()).await;
    shop.terminate_all().await.unwrap();
    // At rest, one second later: a backup is named by its second.
    eventually("the next second", || async {
        !dest.path().join(name_now()).exists()
    })
    .await;
    let at_rest = back_up(&shop, dest.path(), &["--verify"]).await;
    assert_ne!(with_keys, at_rest);

    one_at_a_time(&shop, dest.path());
    let (code, said) = run_on(&["backups", "list"], dest.path());
    assert!(code == Some(0) && said.lines().count() == 2, "{said}");
    what_is_cut_off_is_pruned();

    kept_keys_make_the_same_shop(&shop, &at_rest, dest.path());
    let mut copy = restored(&with_keys, &["--quiet-start"]);
    assert_eq!(
        std::fs::read(copy.data().join("templates/note.txt")).unwrap(),
        b"kept"
    );
    copy.open(Form::Up).unwrap();
    copy.ready().await.unwrap();
    let stranger = Person::stranger(&copy);
    // The token, the session, the API key, and the account and the guest that were erased after
    // the backup.
    let refreshed = stranger
        .post(
            "/v1/sessions/refresh",
            json!({ "refresh_token": session["refresh_token"] }),
        )
        .await;
    assert_eq!(refreshed.status, 401, "{refreshed:?}");
    let old = stranger
        .request(Method::GET, "/v1/users/me")
        .bearer_auth(session["access_token"].as_str().unwrap());
    assert_eq!(old.send().await.unwrap().status(), 401);
    assert_eq!(stranger.post("/v1/sessions", login).await.status, 401);
    // A key that was revoked after the backup would be back as well.
    let program = stranger.with_token(key["secret"].as_str().unwrap().to_owned());
    assert_eq!(program.get("/v1/orders").await.status, 401);
    assert!(copy.output().contains("QUIET"), "{}", copy.output());
    let admin = Person::stranger(&copy)
        .log_in("admin@konbini.example")
        .await;
    eventually("the guest is erased again", || async {
        admin.get(&order).await.body["buyer"].is_null()
    })
    .await;
    assert_eq!(
        admin
            .get(&format!("/v1/products/{product}/stock"))
            .await
            .body["on_hand"],
        9
    );
    copy.terminate_all().await.unwrap();
}

/// A second backup is refused while one is being made.
fn one_at_a_time(shop: &Shop, dest: &Path) {
    let marker = File::open(shop.data().join("SHOP")).unwrap();
    marker.lock().unwrap();
    let mut second = konbini(&["backup"]);
    let second = second.arg(dest).arg("--data").arg(shop.data()).output();
    let second = second.unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("another backup of this shop"), "{said}");
}

/// What a cut off backup has left is removed, and not what is being made.
fn what_is_cut_off_is_pruned() {
    let dest = tempfile::tempdir().unwrap();
    let now = Duration::from_millis(model::now().0.try_into().unwrap());
    let now = SystemTime::UNIX_EPOCH + now;
    let partial = |name: &str, age: Duration| {
        let path = dest.path().join(name);
        std::fs::create_dir(&path).unwrap();
        let folder = File::open(&path).unwrap();
        folder.set_modified(now - age).unwrap();
        path
    };
    let hour = Duration::from_secs(3600);
    let cut_off = partial(".konbini-20200101T000000Z.partial", 25 * hour);
    let being_made = partial(".konbini-20200101T000001Z.partial", hour);
    for (more, is_removed) in [(&["--dry-run"][..], false), (&[], true)] {
        let args = [&["backups", "prune"], more].concat();
        let (code, said) = run_on(&args, dest.path());
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(&*cut_off.to_string_lossy()), "{said}");
        assert_eq!(cut_off.exists(), !is_removed, "{said}");
        assert!(being_made.exists(), "{said}");
    }
}

/// Keys are taken from a copy that is laid out as the data folder is, and not from elsewhere.
fn kept_keys_make_the_same_shop(shop: &Shop, backup: &Path, without_keys: &Path) {
    let keys = |folder: &Path| ["--keys".to_owned(), folder.display().to_string()];
    let [option, folder] = keys(&shop.data());
    let same = restored(backup, &[&option, &folder]);
    for name in ["SHOP", "users/factors.secret"] {
        let kept = std::fs::read(shop.data().join(name)).unwrap();
        let copied = std::fs::read(same.data().join(name)).unwrap();
        assert_eq!(copied, kept, "{name}");
    }
    let [option, folder] = keys(without_keys);
    let (code, said) = restore(backup, &same.data().join("new"), &[&option, &folder]);
    assert!(code == Some(1) && said.contains("no secret keys"), "{said}");
}

/// The name of a backup that was begun now.
fn name_now() -> String {
    let now = model::now().to_string();
    let second = now.split('.').next().unwrap().replace(['-', ':'], "");
    format!("konbini-{second}Z")
}

fn run_on(args: &[&str], dest: &Path) -> (Option<i32>, String) {
    let output = konbini(args).arg(dest).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_not_whole_is_refused_and_nothing_is_written() {
    let shop = open(Form::Up).await;
    Person::admin(&shop)
        .await
        .sell(&[lamp("LAMP-1", "Lamp", 9)])
        .await;
    let dest = tempfile::tempdir().unwrap();
    let backup = back_up(&shop, dest.path(), &[]).await;
    let into = tempfile::tempdir().unwrap();
    let data = into.path().join("data");

    let (code, said) = restore(dest.path(), &data, &[]);
    assert!(code == Some(1) && said.contains("the newest is"), "{said}");
    let (code, said) = restore(into.path(), &data, &[]);
    assert!(
        code == Some(1) && said.contains("it is not a backup"),
        "{said}"
    );
    let (code, said) = restore(&backup, &shop.data(), &[]);
    assert!(code == Some(1) && said.contains("it has content"), "{said}");

    let rows = backup.join("products/rows.zst");
    let whole = std::fs::read(&rows).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for (content, expected) in [
        (Some(flipped), "it is not as it was written"),
        (
            Some(whole[..whole.len() - 9].to_vec()),
            "it is not as it was written",
        ),
        (None, "it is missing"),
    ] {
        match content {
            Some(content) => std::fs::write(&rows, content).unwrap(),
            None => std::fs::remove_file(&rows).unwrap(),
        }
        let (code, said) = restore(&backup, &data, &[]);
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("products/rows.zst") && said.contains(expected),
            "{said}"
        );
        assert!(!data.exists(), "{said}");
    }
    std::fs::write(&rows, whole).unwrap();
    // What an interrupted restore left is no obstacle.
    std::fs::create_dir_all(data.join(".restoring/users")).unwrap();
    let (code, said) = restore(&backup, &data, &[]);
    assert_eq!(code, Some(0), "{said}");
}
