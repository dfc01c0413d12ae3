//! Data folders of older formats: a newer program backs them up and goes on with them, and an
//! older one refuses what it cannot read.

use std::path::Path;

use model::Day;
use serde_json::{Value, json};
use testkit::shop::{Form, Shop};

use crate::people::{Person, pieces};
use crate::rollback::run;
use crate::world::{closed, konbini};

/// A shop of an older format, made by `tests/fixtures/make.sh`: a product with five pieces, an
/// admin, and a customer with a confirmed order of two.
fn of_format(format: u32) -> Shop {
    let shop = closed();
    let archive = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("tests/fixtures/format-{format}.tar.zst"));
    let packed = std::fs::File::open(&archive).unwrap();
    let packed = zstd::Decoder::new(packed).unwrap();
    std::fs::create_dir_all(shop.data()).unwrap();
    tar::Archive::new(packed).unpack(shop.data()).unwrap();
    shop
}

/// The shop has what it had, agrees with itself, and sells.
async fn sells_on(shop: &mut Shop, form: Form) {
    shop.open(form).unwrap();
    shop.ready().await.unwrap();
    let mori = Person::stranger(shop).log_in("mori@konbini.example").await;
    let orders = mori.all("/v1/orders").await;
    assert_eq!(orders.len(), 1);
    assert_eq!(orders[0]["status"], "confirmed");
    staff_find_old_orders(shop, &orders[0]).await;
    let product = orders[0]["items"][0]["product_id"].as_str().unwrap();
    let next = mori.order_surely("next", &pieces(product, 3)).await;
    assert_eq!(next.body["status"], "confirmed", "{next:?}");
    let next = mori.order_surely("beyond", &pieces(product, 1)).await;
    assert_eq!(next.status, 409, "{next:?}");
    let found = mori.get("/v1/products/search?q=lamp").await;
    assert_eq!(found.body["total"], 1, "{found:?}");
    shop.terminate_all().await.unwrap();
    let (code, said) = run(shop, &["check"]);
    assert_eq!(code, Some(0), "{said}");
}

/// What is made of orders and accounts was made of those of the older format, too.
async fn staff_find_old_orders(shop: &Shop, old: &Value) {
    let admin = Person::stranger(shop).log_in("admin@konbini.example").await;
    let product = old["items"][0]["product_id"].as_str().unwrap();
    for filter in [
        format!("product_id={product}"),
        "q=mori".to_owned(),
        "sort=total".to_owned(),
    ] {
        let list = admin.get(&format!("/v1/orders?{filter}")).await.body;
        let items = list["items"].as_array().unwrap();
        let found = items.iter().find(|order| order["id"] == old["id"]);
        let buyer = &found.unwrap_or_else(|| panic!("{filter}: {list}"))["buyer"];
        assert_eq!(buyer["email"], "mori@konbini.example");
    }
    let day: Day = old["created_at"].as_str().unwrap()[..10].parse().unwrap();
    let path = format!("/v1/reports/sales?from={day}&to={}", day.next());
    let report = admin.get(&path).await.body;
    assert_eq!(report["totals"][0]["units"], 2, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_format_1_is_backed_up_and_sells_on() {
    for form in [Form::Up, Form::Run] {
        let mut shop = of_format(1);
        // A command that only reads says what to do.
        let (code, said) = run(&shop, &["check"]);
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains("konbini upgrade"), "{said}");
        sells_on(&mut shop, form).await;
        let backups = konbini(&["backups", "list", "--json"])
            .arg(shop.data().join("backups"))
            .output()
            .unwrap();
        let backups = String::from_utf8(backups.stdout).unwrap();
        assert_eq!(backups.lines().count(), 1, "{backups}");
        // The backup is the way back, and the way to a second shop.
        let backup: serde_json::Value = serde_json::from_str(&backups).unwrap();
        let backup = Path::new(backup["path"].as_str().unwrap());
        let marker: serde_json::Value =
            serde_json::from_slice(&std::fs::read(backup.join("SHOP")).unwrap()).unwrap();
        assert_eq!(marker["format"], 1);
        let mut copy = closed();
        let mut restore = konbini(&["restore"]);
        restore.arg(backup).arg("--data").arg(copy.data());
        assert!(restore.status().unwrap().success());
        sells_on(&mut copy, form).await;
    }
}

#[test]
fn a_folder_is_upgraded_by_hand_and_a_newer_one_is_refused() {
    let shop = of_format(1);
    let (code, said) = run(&shop, &["upgrade", "--no-backup", "--json"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!shop.data().join("backups").exists());
    let (code, said) = run(&shop, &["upgrade"]);
    assert!(code == Some(0) && said.contains("already"), "{said}");
    let marker = shop.data().join("SHOP");
    let mut newer: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&marker).unwrap()).unwrap();
    newer["format"] = json!(99);
    std::fs::write(&marker, newer.to_string()).unwrap();
    for command in ["up", "check", "upgrade"] {
        let (code, said) = run(&shop, &[command]);
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains("format 99"), "{said}");
    }
}
