//! Moving orders, and what happens to them by itself.

use std::time::Duration;

use chassis::Config;
use model::{Fact, Time, now};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Person, TestResponse, eventually, send};
use tokio::time::Instant;

use crate::shop::{Shop, items, newest};

async fn step(who: &Person, path: &str, key: Option<&str>, body: Option<Value>) -> TestResponse {
    let mut request = who.request(Method::POST, path);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    send(request).await
}

/// From the shelf to the door and the money back, each step once and told.
#[tokio::test(flavor = "multi_thread")]
async fn a_whole_life() {
    let shop = Shop::open().await;
    let (buyer, staff) = (shop.orders.customer(), shop.orders.staff());
    let path = shop.confirmed(&buyer, 1000).await;
    let to = |step: &str| format!("{path}/{step}");

    assert_eq!(step(&buyer, &to("pay"), None, None).await.status, 403);
    let early = step(&staff, &to("ship"), None, None).await;
    assert_eq!((early.status, early.problem()), (409, "order-state"));
    assert_eq!(early.body["order_status"], "confirmed");

    // Twice under one key is once, byte for byte, also after it went on.
    let paid = step(&staff, &to("pay"), Some("p"), None).await;
    assert_eq!(
        (paid.status, paid.body["status"].as_str()),
        (200, Some("paid"))
    );
    assert_eq!(step(&staff, &to("pay"), None, None).await.status, 409);
    let shipped = json!({ "carrier": "Yamato", "tracking": "123" });
    assert_eq!(
        step(&staff, &to("ship"), None, Some(shipped)).await.status,
        200
    );
    let again = step(&staff, &to("pay"), Some("p"), None).await;
    assert_eq!((again.status, &again.body), (200, &paid.body));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    // A refusal that was decided stays decided.
    let late = json!({ "reason": "changed my mind" });
    let refused = step(&buyer, &to("cancel"), Some("c"), Some(late.clone())).await;
    assert_eq!(refused.status, 409);
    let refused_again = step(&buyer, &to("cancel"), Some("c"), Some(late)).await;
    assert_eq!(refused_again.body, refused.body);

    let steps = [
        ("deliver", None),
        ("refund", Some(json!({ "reason": "broken" }))),
    ];
    for (name, body) in steps {
        let taken = step(&staff, &to(name), None, body).await;
        assert_eq!(taken.status, 200, "{name}");
    }
    let history = buyer.get(&to("history")).await.body;
    let told = |line: &Value| {
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        (text("to"), text("by"))
    };
    let lines: Vec<_> = history["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(told)
        .collect();
    let (buyer_id, staff_id) = (buyer.user_id().to_string(), staff.user_id().to_string());
    let by = |to: &str, who: &str| (to.to_owned(), who.to_owned());
    assert_eq!(
        lines,
        [
            by("pending", &buyer_id),
            by("confirmed", "products"),
            by("paid", &staff_id),
            by("shipped", &staff_id),
            by("delivered", &staff_id),
            by("refunded", &staff_id),
        ]
    );
    assert_eq!(history["items"][3]["tracking"], "123");
    assert_eq!(history["items"][5]["reason"], "broken");
    let listed = buyer.get("/v1/orders?status=refunded").await.body;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        staff.get("/v1/orders?status=delivered").await.body["items"],
        json!([])
    );
    shop.orders.finish().await;
}

/// Parts add up, and never pass the total.
#[tokio::test(flavor = "multi_thread")]
async fn money_goes_back_once() {
    let shop = Shop::open().await;
    let (buyer, staff) = (shop.orders.customer(), shop.orders.staff());
    let path = shop.confirmed(&buyer, 1000).await;
    let to = |step: &str| format!("{path}/{step}");
    for name in ["pay", "ship"] {
        assert_eq!(
            step(&staff, &to(name), None, None).await.status,
            200,
            "{name}"
        );
    }
    let part = json!({ "amount": 300, "reason": "a scratch" });
    let part = step(&staff, &to("refund"), Some("r"), Some(part)).await;
    assert_eq!(
        (part.status, &part.body["refunded_total"]["amount"]),
        (200, &json!(300))
    );
    assert_eq!(part.body["status"], "shipped");
    assert_eq!(
        step(&staff, &to("deliver"), None, None).await.body["status"],
        "delivered"
    );
    let much = json!({ "amount": { "amount": 701, "currency": "EUR" }, "reason": "x" });
    let much = step(&staff, &to("refund"), None, Some(much)).await;
    assert_eq!((much.status, much.problem()), (409, "refund-too-large"));
    let wrong = json!({ "amount": { "amount": 0, "currency": "USD" } });
    let wrong = step(&staff, &to("refund"), None, Some(wrong)).await;
    assert_eq!(
        wrong.body["errors"].as_array().unwrap().len(),
        3,
        "{:?}",
        wrong.body
    );
    let rest = json!({ "reason": "all of it" });
    let rest = step(&staff, &to("refund"), None, Some(rest)).await;
    assert_eq!(rest.body["status"], "refunded");
    assert_eq!(rest.body["refunded_total"], rest.body["total"]);

    let history = buyer.get(&to("history")).await.body;
    assert_eq!(history["items"][4]["from"], history["items"][4]["to"]);
    assert_eq!(history["items"][4]["refunded"]["amount"], 300);
    assert_eq!(history["items"][4]["reason"], "a scratch");
    shop.orders.finish().await;
}

/// The answer to a cancellation waits for the stock; a late reservation changes
/// nothing; a stranger cannot.
#[tokio::test(flavor = "multi_thread")]
async fn cancelled_once_the_stock_is_back() {
    let shop = Shop::open().await;
    let buyer = shop.orders.customer();
    let path = shop.confirmed(&buyer, 1000).await;
    let cancel = format!("{path}/cancel");
    let why = || Some(json!({ "reason": "too late" }));
    assert_eq!(
        step(&shop.orders.customer(), &cancel, None, why())
            .await
            .status,
        404
    );
    assert_eq!(
        step(&buyer, &cancel, None, Some(json!({}))).await.status,
        422
    );
    let asked = Instant::now();
    let cancelling = {
        let (buyer, cancel) = (buyer.clone(), cancel.clone());
        tokio::spawn(async move { step(&buyer, &cancel, None, why()).await })
    };
    let is_cancelled = || async { buyer.get(&path).await.body["status"] == "cancelled" };
    eventually("it is cancelled", is_cancelled).await;
    assert!(!cancelling.is_finished());
    let order_id = path.rsplit('/').next().unwrap().parse().unwrap();
    shop.products
        .publish("k", Fact::StockReleased { order_id })
        .await;
    let cancelled = cancelling.await.unwrap();
    assert_eq!(
        (cancelled.status, cancelled.body["status"].as_str()),
        (200, Some("cancelled"))
    );
    assert!(
        asked.elapsed() < Duration::from_secs(2),
        "it did not wait for nothing"
    );

    // A pending one: its placing is answered by what became of it.
    let lamp = shop.sell(5, "EUR").await;
    let placing = {
        let request = buyer
            .request(Method::POST, "/v1/orders")
            .json(&items(&[(lamp, 1)]));
        tokio::spawn(send(request.header("idempotency-key", "k")))
    };
    let pending = || async { newest(&buyer).await.is_some_and(|id| !path.ends_with(&id)) };
    eventually("it is pending", pending).await;
    let id = newest(&buyer).await.unwrap();
    let path = format!("/v1/orders/{id}");
    let cancelling = {
        let (buyer, path) = (buyer.clone(), format!("{path}/cancel"));
        tokio::spawn(async move { step(&buyer, &path, None, why()).await })
    };
    eventually("it is cancelled", || async {
        buyer.get(&path).await.body["status"] == "cancelled"
    })
    .await;
    shop.hold(&id).await;
    let order_id = id.parse().unwrap();
    shop.products
        .publish("k", Fact::StockReleased { order_id })
        .await;
    assert_eq!(cancelling.await.unwrap().status, 200);
    let placed = placing.await.unwrap();
    assert_eq!((placed.status, placed.problem()), (409, "order-cancelled"));
    assert_eq!(buyer.get(&path).await.body["status"], "cancelled");
    let again = buyer
        .request(Method::POST, "/v1/orders")
        .json(&items(&[(lamp, 1)]));
    let again = send(again.header("idempotency-key", "k")).await;
    assert_eq!(again.body, placed.body);
    shop.orders.finish().await;
}

/// Nobody paid: the order is called off, also if its time came while nobody ran.
#[tokio::test(flavor = "multi_thread")]
async fn unpaid_orders_expire() {
    let mut config = Config::default();
    config.orders.unpaid_expire_minutes = Some(60);
    let shop = Shop::open_with(config).await;
    let buyer = shop.orders.customer();
    let lamp = shop.sell(5, "EUR").await;
    let place = || async {
        let before = newest(&buyer).await;
        let request = buyer
            .request(Method::POST, "/v1/orders")
            .json(&items(&[(lamp, 1)]));
        let placing = tokio::spawn(send(request));
        eventually("it is pending", || async { newest(&buyer).await != before }).await;
        (newest(&buyer).await.unwrap(), placing)
    };
    let (kept, placing) = place().await;
    shop.hold(&kept).await;
    let answer = placing.await.unwrap();
    assert!(
        answer.body["reserved_until"].is_string(),
        "{:?}",
        answer.body
    );

    let (lost, placing) = place().await;
    let fact = Fact::StockReserved { order_id: lost.parse().unwrap() };
    shop.products
        .publish_at("k", fact, Time(now().0 - 61 * 60 * 1000))
        .await;
    assert_eq!(placing.await.unwrap().body["status"], "confirmed");
    let path = format!("/v1/orders/{lost}");
    let gone = || async { buyer.get(&path).await.body["status"] == "cancelled" };
    eventually("the unpaid order is cancelled", gone).await;
    let history = buyer.get(&format!("{path}/history")).await.body;
    assert_eq!(history["items"][2]["by"], "expiry");
    let kept = buyer.get(&format!("/v1/orders/{kept}")).await;
    assert_eq!(kept.body["status"], "confirmed");
    assert!(buyer.get(&path).await.body.get("reserved_until").is_none());
    shop.orders.finish().await;
}

/// A person is forgotten: what their orders say of them goes, the books stay. Also
/// in the largest order there can be.
#[tokio::test(flavor = "multi_thread")]
async fn the_largest_order_of_somebody_forgotten() {
    let shop = Shop::open().await;
    let buyer = shop.orders.customer();
    let mut wanted = Vec::new();
    for amount in 0..100 {
        wanted.push((
            shop.sell_as(amount, "EUR", &"𓆉".repeat(64), &"𓆉".repeat(300))
                .await,
            1000,
        ));
    }
    let mut body = items(&wanted);
    body["note"] = "𓆉".repeat(1000).into();
    let field = |number: usize| {
        (
            format!("{number:02}{}", "𓆉".repeat(38)),
            json!("𓆉".repeat(200)),
        )
    };
    body["shipping_address"] = Value::Object((0..20).map(field).collect());
    let shortages = wanted
        .iter()
        .map(|(product_id, requested)| model::Shortage {
            product_id: *product_id,
            requested: *requested,
            available: i64::MAX,
        });
    let short = shop
        .order_short(&buyer, body, None, shortages.collect())
        .await;
    assert_eq!(
        (short.status, short.body["items"].as_array().unwrap().len()),
        (409, 100)
    );
    let path = format!("/v1/orders/{}", short.body["order_id"].as_str().unwrap());
    let read = buyer.get(&path).await.body;
    assert_eq!(read["items"].as_array().unwrap().len(), 100);
    assert_eq!(read["shipping_address"].as_object().unwrap().len(), 20);

    let users = shop.orders.other("users");
    let fact = Fact::UserErased { user_id: buyer.user_id() };
    users.publish("k", fact).await;
    let staff = shop.orders.staff();
    let forgotten = || async {
        let order = staff.get(&path).await.body;
        order.get("note").is_none() && order.get("shipping_address").is_none()
    };
    eventually("the order says nothing of its buyer", forgotten).await;
    assert_eq!(staff.get(&path).await.body["items"], read["items"]);
    shop.orders.finish().await;
}
