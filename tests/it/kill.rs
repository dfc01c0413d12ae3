//! Services killed with SIGKILL during checkouts and started again: every acknowledged
//! order remains, stock adds up, and each outcome is notified exactly once. Then a whole
//! shop killed during an import.

use std::collections::HashMap;

use futures::{StreamExt, stream};
use serde_json::Value;
use testkit::eventually;
use testkit::shop::{Form, SERVICES, Shop};

use crate::people::{Person, lamp, pieces, send};
use crate::world::{konbini, open};

const BUYERS: usize = 4;
const STOCK: u32 = 60;
/// Every service once, plus those that hold an order's state once more.
const KILLS: [&str; 7] = [
    "orders",
    "products",
    "notifications",
    "gateway",
    "users",
    "orders",
    "products",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_order_is_lost_when_services_are_killed_during_checkouts() {
    let mut shop = open(Form::Run).await;
    let admin = Person::admin(&shop).await;
    let lamps = admin.sell(&[lamp("LAMP-1", "Desk lamp", STOCK)]).await;
    let mut buyers = Vec::new();
    for number in 0..BUYERS {
        buyers.push(Person::register(&shop, &format!("buyer{number}@konbini.example")).await);
    }
    assert!(KILLS.iter().all(|name| SERVICES.contains(name)));

    let mut acknowledged = HashMap::new();
    for (round, victim) in KILLS.iter().enumerate() {
        let checkouts: Vec<_> = buyers
            .iter()
            .enumerate()
            .map(|(number, buyer)| {
                let (buyer, body) = (buyer.clone(), pieces(&lamps[0], 1 + round as u32 % 3));
                tokio::spawn(async move {
                    let mut answers = Vec::new();
                    for step in 0..4 {
                        let key = format!("{round}-{number}-{step}");
                        answers.push(buyer.order_surely(&key, &body).await.body);
                    }
                    answers
                })
            })
            .collect();
        // The kill happens in the middle of a round: only some orders are decided.
        let begun = acknowledged.len();
        let under_way = || async { admin.all("/v1/orders").await.len() > begun + BUYERS };
        eventually("checkouts are under way", under_way).await;
        shop.kill(&[victim]).unwrap();
        shop.start(victim).unwrap();
        for checkout in checkouts {
            for body in checkout.await.unwrap() {
                let id = body["id"]
                    .as_str()
                    .or(body["order_id"].as_str())
                    .unwrap()
                    .to_owned();
                acknowledged.insert(id, body);
            }
        }
        shop.ready().await.unwrap();
    }
    audit(&shop, &admin, &buyers, &lamps[0], &acknowledged).await;
    shop.terminate_all().await.unwrap();
}

async fn audit(
    shop: &Shop,
    admin: &Person,
    buyers: &[Person],
    lamp: &str,
    acknowledged: &HashMap<String, Value>,
) {
    let settled = || async { admin.all("/v1/orders?status=pending").await.is_empty() };
    eventually("every order is settled", settled).await;
    let orders = admin.all("/v1/orders").await;
    assert_eq!(
        orders.len(),
        acknowledged.len(),
        "one order a key, none lost, none doubled"
    );
    for order in &orders {
        let id = order["id"].as_str().unwrap();
        let answer = &acknowledged[id];
        if let Some(status @ ("confirmed" | "rejected")) = answer["status"].as_str() {
            assert_eq!(order["status"], status, "{id} is not as acknowledged");
        }
    }
    let confirmed: Vec<_> = orders
        .iter()
        .filter(|order| order["status"] == "confirmed")
        .collect();
    let held: i64 = confirmed
        .iter()
        .map(|order| order["items"][0]["quantity"].as_i64().unwrap())
        .sum();
    let stock = admin.get(&format!("/v1/products/{lamp}/stock")).await.body;
    assert_eq!(stock["reserved"].as_i64(), Some(held));
    assert!(held <= i64::from(STOCK), "oversold: {stock}");
    assert_eq!(stock["on_hand"].as_i64(), Some(i64::from(STOCK)));

    // One notification for each settled order.
    let is_complete = || async {
        let mut notified = 0;
        for buyer in buyers {
            notified += outcomes(buyer).await.len();
        }
        notified >= orders.len()
    };
    eventually("every buyer is notified", is_complete).await;
    let mut about = HashMap::new();
    for buyer in buyers {
        for (id, kind) in outcomes(buyer).await {
            let before = about.insert(id.clone(), kind);
            assert!(before.is_none(), "{id} was notified twice");
        }
    }
    for order in &orders {
        let kind = format!("order.{}", order["status"].as_str().unwrap());
        assert_eq!(about.get(order["id"].as_str().unwrap()), Some(&kind));
    }
    let output = shop.output();
    assert!(!output.contains("panicked"), "{output}");
}

async fn outcomes(buyer: &Person) -> Vec<(String, String)> {
    let inbox = buyer.all("/v1/notifications").await;
    inbox
        .iter()
        .filter_map(|entry| {
            let order = entry["data"]["order_id"].as_str()?.to_owned();
            Some((order, entry["kind"].as_str()?.to_owned()))
        })
        .collect()
}

/// An import cut off by a kill is run again: existing products are unchanged, the others
/// are created, and none is doubled.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_interrupted_by_a_kill_is_completed_by_the_next() {
    const PRODUCTS: u64 = 1_000;
    let mut shop = open(Form::Up).await;
    let admin = Person::admin(&shop).await;
    let lines: Vec<String> = (0..PRODUCTS)
        .map(|number| {
            let mut product = lamp(&format!("LAMP-{number}"), "Desk lamp", 3);
            product["categories"] = serde_json::json!(["Lamps"]);
            format!("{product}\n")
        })
        .collect();
    let import = |body: reqwest::Body| {
        let request = admin.request(reqwest::Method::POST, "/v1/products/import");
        send(
            request
                .header("content-type", "application/x-ndjson")
                .body(body),
        )
    };
    let made = || async {
        let tree = admin.get("/v1/categories").await.body;
        tree["items"][0]["count"].as_u64().unwrap_or(0)
    };

    // The body stops in the middle and never ends.
    let half = lines[..lines.len() / 2].concat();
    let half = stream::iter([Ok::<_, std::io::Error>(half)]).chain(stream::pending());
    let (cut_off, ()) = tokio::join!(import(reqwest::Body::wrap_stream(half)), async {
        eventually("some are made", || async { made().await > 0 }).await;
        // Visible products may not be durable yet; those visible before a later write was
        // acknowledged are.
        let later = admin
            .post("/v1/products", lamp("LATER", "Floor lamp", 1))
            .await;
        assert_eq!(later.status, 201, "{later:?}");
        shop.kill(&["up"]).unwrap();
    });
    assert!(cut_off.is_err(), "{cut_off:?}");
    shop.start("up").unwrap();
    shop.ready().await.unwrap();
    let there = made().await;
    assert!((1..PRODUCTS).contains(&there), "{there}");

    let again = import(lines.concat().into()).await.unwrap().body;
    assert_eq!(again["unchanged"], there, "{again}");
    assert_eq!(again["created"], PRODUCTS - there, "{again}");
    assert_eq!(made().await, PRODUCTS);
    let check = konbini(&["check", "--data", &shop.data().display().to_string()])
        .output()
        .unwrap();
    assert!(check.status.success(), "{check:?}");
    shop.terminate_all().await.unwrap();
}
