//! One service put back from an older copy, or damaged, and the ways out:
//! `konbini accept-rollback` and `konbini salvage`.

use std::path::Path;

use serde_json::{Value, json};
use testkit::damage::copy_folder;
use testkit::eventually;
use testkit::shop::{Form, Shop};

use crate::people::{Person, lamp, pieces};
use crate::world::{konbini, open};

/// Runs a command on the shop's folder; its exit code, and all that it printed.
pub(crate) fn run(shop: &Shop, args: &[&str]) -> (Option<i32>, String) {
    let data = shop.data().display().to_string();
    let output = konbini(args).args(["--data", &data]).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// Replaces a service's data by a copy.
fn put_back(shop: &Shop, service: &str, from: &Path) {
    let data = shop.data().join(service);
    std::fs::remove_dir_all(&data).unwrap();
    copy_folder(from, &data).unwrap();
}

/// A shop that sells ten lamps, and has sold one.
struct Sold {
    shop: Shop,
    admin: Person,
    product: String,
    mori: Person,
    /// The id of the order.
    kept: String,
}

async fn sold() -> Sold {
    let shop = open(Form::Up).await;
    let admin = Person::admin(&shop).await;
    let product = admin.sell(&[lamp("LAMP-1", "Lamp", 10)]).await.remove(0);
    let mori = Person::register(&shop, "mori@konbini.example").await;
    let kept = mori.order_surely("kept", &pieces(&product, 1)).await;
    assert_eq!(kept.body["status"], "confirmed", "{kept:?}");
    let kept = kept.body["id"].as_str().unwrap().to_owned();
    Sold { shop, admin, product, mori, kept }
}

async fn level(admin: &Person, product: &str) -> Value {
    admin
        .get(&format!("/v1/products/{product}/stock"))
        .await
        .body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_goes_on_after_its_orders_were_put_back() {
    let Sold { mut shop, admin, product, mori, .. } = sold().await;
    let product = &product;
    let cancelled = mori.order_surely("cancelled", &pieces(product, 2)).await;
    let cancelled = cancelled.body["id"].as_str().unwrap();
    shop.terminate_all().await.unwrap();
    let older = tempfile::tempdir().unwrap();
    copy_folder(&shop.data().join("orders"), older.path()).unwrap();

    shop.open(Form::Up).unwrap();
    shop.ready().await.unwrap();
    let path = format!("/v1/orders/{cancelled}/cancel");
    assert_eq!(
        mori.post(&path, json!({ "reason": "no" })).await.status,
        200
    );
    let lost = mori.order_surely("lost", &pieces(product, 3)).await;
    assert_eq!(lost.body["status"], "confirmed", "{lost:?}");
    shop.terminate_all().await.unwrap();
    put_back(&shop, "orders", older.path());

    let (code, said) = run(&shop, &["check"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("konbini accept-rollback orders"), "{said}");
    let id = lost.body["id"].as_str().unwrap();
    for hangs in [
        format!("products holds stock for {id}, which orders does not have"),
        format!("products holds no stock for {cancelled}, which is confirmed"),
    ] {
        assert!(said.contains(&hangs), "{said}");
    }
    let (code, said) = run(&shop, &["accept-rollback", "users"]);
    assert!(
        code == Some(1) && said.contains("nothing was changed"),
        "{said}"
    );
    let (code, said) = run(&shop, &["accept-rollback", "orders"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("products"), "{said}");
    assert!(said.contains(&format!("{id} is lost")), "{said}");

    shop.open(Form::Up).unwrap();
    shop.ready().await.unwrap();
    let next = mori.order_surely("next", &pieces(product, 2)).await;
    assert_eq!(next.body["status"], "confirmed", "{next:?}");
    let settled = || async {
        // 1 of the kept order, 2 of the one whose cancellation is lost, and 2 of the next one;
        // the 3 of the lost one are released.
        level(&admin, product).await["reserved"] == json!(5) && run(&shop, &["check"]).0 == Some(0)
    };
    eventually("nothing hangs", settled).await;
    assert_eq!(mori.get(&format!("/v1/orders/{id}")).await.status, 404);
    shop.terminate_all().await.unwrap();
}

/// A record in the middle of the journal that orders left when it was killed does not read.
#[tokio::test(flavor = "multi_thread")]
async fn a_shop_goes_on_with_what_reads_of_its_orders() {
    let Sold { mut shop, product, mori, kept, .. } = sold().await;
    let product = &product;
    shop.terminate_all().await.unwrap();
    shop.open(Form::Up).unwrap();
    shop.ready().await.unwrap();
    for key in ["first", "second", "third"] {
        mori.order_surely(key, &pieces(product, 1)).await;
    }
    shop.kill(Form::Up.processes()).unwrap();
    let store = shop.data().join("orders/store");
    for journal in ["journal.0", "journal.1"].map(|name| store.join(name)) {
        let mut bytes = std::fs::read(&journal).unwrap();
        // Within the first record; the other segment is empty.
        if let Some(byte) = bytes.get_mut(100) {
            *byte ^= 1;
        }
        std::fs::write(&journal, bytes).unwrap();
    }

    let (code, said) = run(&shop, &["check"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("konbini salvage orders"), "{said}");
    let (code, said) = run(&shop, &["salvage", "orders"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("does not read"), "{said}");
    let (code, again) = run(&shop, &["salvage", "orders"]);
    assert!(
        code == Some(1) && again.contains("store.damaged"),
        "{again}"
    );
    let (_, said) = run(&shop, &["check"]);
    if said.contains("accept-rollback orders") {
        let (code, said) = run(&shop, &["accept-rollback", "orders"]);
        assert_eq!(code, Some(0), "{said}");
    }

    shop.open(Form::Up).unwrap();
    shop.ready().await.unwrap();
    let found = mori.get(&format!("/v1/orders/{kept}")).await;
    assert_eq!(found.body["status"], "confirmed", "{found:?}");
    let next = mori.order_surely("next", &pieces(product, 1)).await;
    assert_eq!(next.body["status"], "confirmed", "{next:?}");
    let agrees = || async { run(&shop, &["check"]).0 == Some(0) };
    eventually("the services agree", agrees).await;
    shop.terminate_all().await.unwrap();
}

/// The keys that sign tokens were rotated after the copy was made.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_locked_out_after_users_were_put_back() {
    let mut shop = open(Form::Up).await;
    Person::admin(&shop).await;
    shop.terminate_all().await.unwrap();
    let older = tempfile::tempdir().unwrap();
    copy_folder(&shop.data().join("users"), older.path()).unwrap();

    shop.open(Form::Up).unwrap();
    shop.ready().await.unwrap();
    let (code, said) = run(&shop, &["keys", "rotate", "--at-once"]);
    assert_eq!(code, Some(0), "{said}");
    shop.terminate_all().await.unwrap();
    put_back(&shop, "users", older.path());

    let (code, said) = run(&shop, &["accept-rollback", "users"]);
    assert_eq!(code, Some(0), "{said}");
    shop.open(Form::Up).unwrap();
    shop.ready().await.unwrap();
    let knows_me = || async {
        let admin = Person::stranger(&shop)
            .log_in("admin@konbini.example")
            .await;
        admin.get("/v1/users/me").await.status == 200
    };
    eventually("a token is taken", knows_me).await;
    shop.terminate_all().await.unwrap();
}
