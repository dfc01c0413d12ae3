//! The consistency checks of products.

use mesh::Recorded;
use model::{Fact, Id, ItemOrdered, kinds};
use serde_json::Value;
use store::{Read, Store, Table};
use testkit::{TestService, eventually};

use crate::{CATALOGUE, import};

/// The findings: the name of each comparison, the items compared, and the faults.
async fn findings(app: &TestService) -> Vec<(String, u64, u64)> {
    let socket = app.folder.path().join("products/control.sock");
    let client = reqwest::Client::builder().unix_socket(socket).build();
    let request = client.unwrap().get("http://control/control/check");
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    let all = answer.as_array().unwrap().iter();
    all.map(|one| {
        let count = |name: &str| one[name].as_u64().unwrap();
        let what = one["what"].as_str().unwrap().to_owned();
        (what, count("compared"), count("faults"))
    })
    .collect()
}

fn faults(findings: &[(String, u64, u64)]) -> Vec<u64> {
    findings.iter().map(|(_, _, faults)| *faults).collect()
}

/// The data of a working shop is consistent, and each tampered row is found.
#[tokio::test(flavor = "multi_thread")]
async fn the_check_finds_every_inconsistency() {
    let mut app = TestService::start("products", products::open, &["orders"]).await;
    let (staff, orders) = (app.staff(), app.other("orders"));
    import(&staff, CATALOGUE).await;
    let list = app.anonymous().get("/v1/products?limit=2").await.body;
    let sold_out: Id<kinds::Product> = list["items"][1]["id"].as_str().unwrap().parse().unwrap();
    let product_id: Id<kinds::Product> = list["items"][0]["id"].as_str().unwrap().parse().unwrap();
    let sku = list["items"][0]["sku"].as_str().unwrap().to_owned();
    let order_id: Id<kinds::Order> = Id::new();
    let items = vec![ItemOrdered { product_id, quantity: 1 }];
    let placed = Fact::OrderPlaced { order_id, user_id: Some(Id::new()), items };
    orders.publish(&order_id.to_string(), placed).await;
    eventually("a piece is held", || async {
        let stock = staff.get(&format!("/v1/products/{product_id}/stock")).await;
        stock.body["reserved"] == 1
    })
    .await;
    let well = findings(&app).await;
    let names: Vec<_> = well.iter().map(|(name, _, _)| name.as_str()).collect();
    let [database, log, followers, rest @ ..] = &*names else {
        panic!("{well:?}");
    };
    assert_eq!(
        [*database, log, followers],
        ["database", "log", "followers"]
    );
    assert_eq!(rest.len(), 3, "{well:?}");
    assert_eq!(faults(&well), [0; 6], "{well:?}");
    assert!(
        well[3..].iter().all(|(_, compared, _)| *compared > 100),
        "{well:?}"
    );

    let room = app.folder.path().join("products/store");
    let tamper = || {
        let store = Store::open(&room, &store::Options::default()).unwrap();
        let (log, skus): (Table<u64, Recorded>, Table<String, ()>) =
            (Table::new("log"), Table::new("skus"));
        let (held, stock): (Table<_, ()>, Table<_, ()>) =
            (Table::new("reservations"), Table::new("stock"));
        let write = store.write(move |tx| {
            let mut event = tx.get(log, &7)?.unwrap();
            event.body.push(0);
            tx.put(log, &7, &event)?;
            tx.delete(skus, &sku)?;
            tx.delete(stock, &sold_out)?;
            tx.delete(held, &order_id)
        });
        let runtime = tokio::runtime::Handle::current();
        let written: Result<(), store::Error> =
            tokio::task::block_in_place(|| runtime.block_on(write));
        written.unwrap();
        store.close();
    };
    app.restart_after(tamper).await;
    let ill = findings(&app).await;
    // The event does not continue the one before it; the product is not found by its SKU,
    // and a SKU is missing; a unit is reserved without an order, and a product has no level;
    // the index has the product as available.
    assert_eq!(faults(&ill), [0, 1, 0, 2, 2, 1], "{ill:?}");
    app.finish().await;
}
