//! Services killed with SIGKILL during checkouts and started again: every acknowledged
//! order remains, stock adds up, each outcome is notified exactly once, and a webhook gets each
//! under one id. Then a whole shop killed during an import.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use futures::{StreamExt, stream};
use serde_json::{Value, json};
use testkit::eventually;
use testkit::shop::{Form, SERVICES, Shop};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::people::{Person, lamp, pieces, send};
use crate::world::{closed, konbini, open};

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
    let mut shop = closed();
    for (setting, text) in [
        ("KONBINI_WEBHOOKS_ALLOW_PRIVATE", "true"),
        ("KONBINI_WEBHOOKS_ALLOW_HTTP", "true"),
        ("KONBINI_WEBHOOKS_RETRY_FIRST_MS", "20"),
    ] {
        shop.set_variable(setting, text);
    }
    shop.open(Form::Run).unwrap();
    shop.ready().await.unwrap();
    let admin = Person::admin(&shop).await;
    let told = Told::start(&admin).await;
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
    told.audit(&admin).await;
    shop.terminate_all().await.unwrap();
}

/// A program that a webhook calls: the ids of the messages about each confirmed order.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<HashMap<String, HashSet<String>>>>);

impl Told {
    async fn start(admin: &Person) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let hook = json!({ "url": url, "events": ["order.confirmed"] });
        assert_eq!(admin.post("/v1/webhooks", hook).await.status, 201);
        let told = Self::default();
        let program = told.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let program = program.clone();
                tokio::spawn(async move { program.take(stream).await });
            }
        });
        told
    }

    /// Takes a message, and answers late, so that a kill finds some that are under way.
    async fn take(self, stream: TcpStream) -> std::io::Result<()> {
        let (mut stream, mut id, mut length) = (BufReader::new(stream), String::new(), 0);
        let mut line = String::new();
        while stream.read_line(&mut line).await? > 2 {
            let (name, value) = line.split_once(':').unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "webhook-id" => value.trim().clone_into(&mut id),
                "content-length" => length = value.trim().parse().unwrap(),
                _ => {}
            }
            line.clear();
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let body: Value = serde_json::from_slice(&body)?;
        let order = body["data"]["order_id"].as_str().unwrap().to_owned();
        self.0.lock().unwrap().entry(order).or_default().insert(id);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
        stream.write_all(answer).await
    }

    async fn audit(&self, admin: &Person) {
        let orders = admin.all("/v1/orders?status=confirmed").await;
        let confirmed: HashSet<_> = orders.iter().map(|order| order["id"].as_str()).collect();
        let all = || async {
            let told = self.0.lock().unwrap();
            confirmed.len() == told.len()
        };
        eventually("the webhook is called for each confirmed order", all).await;
        for (order, ids) in &*self.0.lock().unwrap() {
            assert!(confirmed.contains(&Some(order.as_str())), "{order}");
            assert_eq!(ids.len(), 1, "{order} has one message: {ids:?}");
        }
    }
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
