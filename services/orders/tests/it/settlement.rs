//! Payment methods, parcels before their payment, orders with nothing to pay, and buyers who
//! cancel paid orders.

use model::Fact;
use orders::Config;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Person, TestResponse, eventually, send};

use crate::shop::{Shop, items};

const ACCOUNT: &str = "Please send it to DE02 1203 0000 0000 2020 51.";

/// A shop that offers both methods without a provider.
fn both_methods() -> Config {
    let mut config = Config::default();
    config.orders.unpaid_expire_minutes = Some(60);
    config.payments.transfer.text = Some(ACCOUNT.into());
    config.payments.transfer.unpaid_expire_minutes = Some(120);
    config.payments.on_delivery.enabled = true;
    config
}

async fn choose(who: &Person, order: &str, method: &str) -> TestResponse {
    let path = format!("{order}/payments");
    who.post(&path, json!({ "method": method })).await
}

/// Status, code or state of an order, and payment status, after a command.
async fn step(who: &Person, order: &str, name: &str, body: Value) -> String {
    let done = who.post(&format!("{order}/{name}"), body).await;
    let text = |name: &str| done.body[name].as_str().unwrap_or("–").to_owned();
    let what = match done.status {
        200 | 202 => format!("{} {}", text("status"), text("payment_status")),
        _ => done.problem().to_owned(),
    };
    format!("{} {what}", done.status)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paid_after_it_was_shipped() {
    let shop = Shop::open_with(both_methods()).await;
    let (buyer, staff) = (shop.orders.customer(), shop.orders.staff());
    for method in ["transfer", "on_delivery"] {
        let order = shop.confirmed(&buyer, 1000).await;
        let before = step(&staff, &order, "ship", json!({})).await;
        assert_eq!(before, "409 order-state");
        assert_eq!(choose(&buyer, &order, method).await.status, 201);
        let back = json!({ "amount": 300, "reason": "a scratch" });
        for (name, body, expected) in [
            ("refund", back.clone(), "409 order-state"),
            ("ship", json!({}), "200 shipped unpaid"),
            ("refund", back.clone(), "409 refund-too-large"),
            ("refund", json!({ "reason": "all" }), "409 refund-too-large"),
            ("cancel", json!({ "reason": "no" }), "409 order-state"),
            ("deliver", json!({}), "200 delivered unpaid"),
            ("pay", json!({ "reference": "B-17" }), "200 delivered paid"),
            ("pay", json!({}), "409 order-state"),
            ("refund", back, "200 delivered partially_refunded"),
            (
                "refund",
                json!({ "amount": 701, "reason": "x" }),
                "409 refund-too-large",
            ),
            (
                "refund",
                json!({ "reason": "all" }),
                "200 refunded refunded",
            ),
        ] {
            let got = step(&staff, &order, name, body).await;
            assert_eq!(got, expected, "{method}: {name}");
        }
        let payments = buyer.get(&format!("{order}/payments")).await.body;
        let attempt = &payments["items"][0];
        assert_eq!(
            (
                &attempt["method"],
                &attempt["status"],
                &attempt["reference"]
            ),
            (&json!(method), &json!("succeeded"), &json!("B-17"))
        );
        let refunds = payments["refunds"].as_array().unwrap().iter();
        let refunds: Vec<_> = refunds.map(|refund| &refund["amount"]["amount"]).collect();
        assert_eq!(refunds, [300, 700]);
        let history = buyer.get(&format!("{order}/history")).await.body;
        let paid = &history["items"][4];
        assert_eq!(
            (&paid["from"], &paid["to"], &paid["payment"]["method"]),
            (&json!("delivered"), &json!("delivered"), &json!(method))
        );
    }
    shop.orders.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_attempt_of_a_method() {
    let shop = Shop::open_with(both_methods()).await;
    let (buyer, staff) = (shop.orders.customer(), shop.orders.staff());
    let offered = shop.orders.anonymous().get("/v1/payment-methods").await;
    assert_eq!(
        offered.body["items"],
        json!([
            { "method": "transfer", "instructions": ACCOUNT },
            { "method": "on_delivery" },
        ])
    );
    let order = shop.confirmed(&buyer, 1000).await;
    let path = format!("{order}/payments");
    let keyed = || {
        let request = buyer.request(Method::POST, &path);
        let request = request.json(&json!({ "method": "transfer" }));
        send(request.header("idempotency-key", "k"))
    };
    let first = keyed().await;
    assert_eq!(
        (first.status, &first.body["status"]),
        (201, &json!("pending"))
    );
    assert_eq!(first.body["instructions"], ACCOUNT);
    assert_eq!(first.body["amount"]["amount"], 1000);
    assert!(first.body["id"].as_str().unwrap().starts_with("pay_"));
    let replayed = keyed().await;
    assert_eq!((replayed.status, &replayed.body), (201, &first.body));
    let again = choose(&buyer, &order, "transfer").await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    let until = async || buyer.get(&order).await.body["reserved_until"].clone();
    let by_transfer = until().await;
    assert!(by_transfer.is_string());
    assert_eq!(choose(&buyer, &order, "on_delivery").await.status, 201);
    assert_eq!(until().await, Value::Null);
    assert_eq!(choose(&buyer, &order, "transfer").await.status, 200);
    assert_eq!(until().await, by_transfer, "to and fro holds it no longer");

    let stranger = shop.orders.customer();
    assert_eq!(choose(&stranger, &order, "transfer").await.status, 404);
    assert_eq!(stranger.get(&path).await.status, 404);
    let unknown = choose(&buyer, &order, "shells").await;
    assert_eq!(unknown.body["errors"][0]["pointer"], "/method");
    let statuses = async || {
        let listed = staff.get(&path).await.body;
        let items = listed["items"].as_array().unwrap().clone();
        let of = |item: &Value| item["status"].as_str().unwrap().to_owned();
        items.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(statuses().await, ["pending", "pending"]);
    let cash = json!({ "method": "cash" });
    assert_eq!(step(&staff, &order, "pay", cash).await, "200 paid paid");
    assert_eq!(statuses().await, ["cancelled", "cancelled"]);
    let late = choose(&buyer, &order, "transfer").await;
    assert_eq!((late.status, late.problem()), (409, "order-state"));
    shop.orders.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_with_nothing_to_pay_is_paid_at_once() {
    let shop = Shop::open_with(both_methods()).await;
    let (buyer, staff) = (shop.orders.customer(), shop.orders.staff());
    let sample = shop.sell(0, "EUR").await;
    let placed = shop
        .order(&buyer, items(&[(sample, 1)]), Some("k"), None)
        .await;
    assert_eq!(
        (
            placed.status,
            &placed.body["status"],
            &placed.body["payment_status"]
        ),
        (201, &json!("paid"), &json!("paid"))
    );
    assert!(placed.body.get("reserved_until").is_none());
    let order = placed.headers["location"].to_str().unwrap();
    let history = buyer.get(&format!("{order}/history")).await.body;
    let to: Vec<_> = history["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| &line["to"])
        .collect();
    assert_eq!(to, ["pending", "paid"]);
    assert_eq!(choose(&buyer, order, "transfer").await.status, 409);
    let listed = staff.get("/v1/orders?status=paid").await.body;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        step(&staff, order, "ship", json!({})).await,
        "200 shipped paid"
    );
    // Nothing came in, so its buyer cancels another one without asking.
    let placed = shop.order(&buyer, items(&[(sample, 2)]), None, None).await;
    let order = placed.headers["location"].to_str().unwrap();
    let released = async {
        let id = order.rsplit('/').next().unwrap();
        let is_over = || async { buyer.get(order).await.body["status"] == "cancelled" };
        eventually("it is cancelled", is_over).await;
        let order_id = id.parse().unwrap();
        shop.products
            .publish("k", Fact::StockReleased { order_id })
            .await;
    };
    let cancel = step(&buyer, order, "cancel", json!({ "reason": "no" }));
    let (cancelled, ()) = tokio::join!(cancel, released);
    assert_eq!(cancelled, "200 cancelled unpaid");
    shop.orders.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_asks_staff_to_cancel_a_paid_order() {
    for (cancels, expected, refunded) in [
        (false, "202 paid paid", 0),
        (true, "200 cancelled refunded", 1000),
    ] {
        let mut config = Config::default();
        config.orders.buyer_cancels_paid = cancels;
        let shop = Shop::open_with(config).await;
        let (buyer, staff) = (shop.orders.customer(), shop.orders.staff());
        let order = shop.confirmed(&buyer, 1000).await;
        assert_eq!(
            step(&staff, &order, "pay", json!({})).await,
            "200 paid paid"
        );
        let why = || json!({ "reason": "found one" });
        assert_eq!(step(&buyer, &order, "cancel", why()).await, expected);
        let shown = buyer.get(&order).await.body;
        assert_eq!(shown["refunded_total"]["amount"], refunded);
        assert_eq!(shown["cancel_requested_at"].is_string(), !cancels);
        if !cancels {
            // Once more changes nothing, and staff decide.
            assert_eq!(step(&buyer, &order, "cancel", why()).await, expected);
            assert_eq!(buyer.get(&order).await.body, shown);
            let history = buyer.get(&format!("{order}/history")).await.body;
            let entries = history["items"].as_array().unwrap();
            assert_eq!(
                (entries.len(), &entries[3]["reason"]),
                (4, &json!("found one"))
            );
            let done = step(&staff, &order, "cancel", why()).await;
            assert_eq!(done, "200 cancelled refunded");
        }
        shop.orders.finish().await;
    }
}
