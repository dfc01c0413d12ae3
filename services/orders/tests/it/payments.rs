//! The payment webhook: signatures, matching, repeated and early messages.

use model::{Fact, Time, now};
use orders::Config;
use orders::config::Secret;
use reqwest::Method;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use testkit::{Person, TestResponse, eventually, send};

use crate::shop::{Shop, items, newest};

const OLD: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const NEW: &str = "whsec_BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";
const FOREIGN: &str = "whsec_CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC";

async fn deliver(shop: &Shop, secret: &str, id: &str, message: &Value) -> TestResponse {
    let body = message.to_string();
    let second = now().0 / 1000;
    let signature = Webhook::new(secret)
        .unwrap()
        .sign(id, second, body.as_bytes())
        .unwrap();
    let request = shop
        .orders
        .anonymous()
        .request(Method::POST, "/v1/payments/webhook");
    let request = request
        .header("content-type", "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", second)
        .header("webhook-signature", signature)
        .body(body);
    send(request).await
}

fn message(kind: &str, path: &str, amount: i64, reference: &str) -> Value {
    let order_id = path.rsplit('/').next().unwrap();
    let data = json!({ "order_id": order_id, "amount": amount, "currency": "EUR", "reference": reference });
    json!({ "type": kind, "timestamp": "2026-11-22T00:00:00Z", "data": data })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_takes_effect_once() {
    let mut config = Config::default();
    config.payments.secrets = vec![Secret::from(OLD), Secret::from(NEW)];
    let shop = Shop::open_with(config).await;
    let (buyer, staff) = (shop.orders.customer(), shop.orders.staff());
    let path = shop.confirmed(&buyer, 1000).await;
    let status = async |path: &str| buyer.get(path).await.body["status"].clone();
    let good = message("payment.succeeded", &path, 1000, "pay_1");

    let foreign = deliver(&shop, FOREIGN, "m1", &good).await;
    assert_eq!(
        (foreign.status, &foreign.body["fault"]),
        (401, &json!("signature"))
    );
    let failed = message("payment.failed", &path, 1000, "pay_0");
    assert_eq!(
        deliver(&shop, OLD, "m0", &failed).await.body["outcome"],
        "failed"
    );
    for (id, amount, order, reason) in [
        ("m2", 999, path.as_str(), "wrong_amount"),
        (
            "m3",
            1000,
            "/v1/orders/order_01h455vb4pex5vsknk084sn02q",
            "unknown_order",
        ),
        ("m4", 1000, "nonsense", "unknown_order"),
    ] {
        let wrong = message("payment.succeeded", order, amount, id);
        let kept = deliver(&shop, NEW, id, &wrong).await;
        assert_eq!(
            (kept.status, kept.body["reason"].as_str()),
            (200, Some(reason))
        );
    }
    assert_eq!(status(&path).await, "confirmed");

    // The message, repeated, and the same payment under another message id.
    for id in ["m1", "m1", "m5"] {
        assert_eq!(deliver(&shop, NEW, id, &good).await.status, 200);
        assert_eq!(status(&path).await, "paid");
    }
    let twice = message("payment.succeeded", &path, 1000, "pay_2");
    assert_eq!(
        deliver(&shop, NEW, "m6", &twice).await.body["reason"],
        "already_paid"
    );
    // A message id keeps the outcome of its first message.
    assert_eq!(
        deliver(&shop, NEW, "m2", &good).await.body["reason"],
        "wrong_amount"
    );
    let other = json!({ "type": "dispute.opened", "data": {} });
    assert_eq!(deliver(&shop, NEW, "m8", &other).await.status, 200);

    let history = staff.get(&format!("{path}/history")).await.body;
    assert_eq!(
        history_lines(&history)[2..],
        [
            "confirmed payments payment failed: pay_0",
            "confirmed payments 9.99 EUR received, a part of the total: m2",
            "paid payments pay_1"
        ]
    );
    shop.orders.finish().await;
}

/// The history as lines of status, who and why.
fn history_lines(history: &Value) -> Vec<String> {
    let line = |entry: &Value| {
        let text = |name: &str| entry[name].as_str().unwrap_or("–").to_owned();
        ["to", "by", "reason"].map(text).join(" ")
    };
    history["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(line)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_add_up_pay_an_order() {
    let mut config = Config::default();
    config.payments.secrets = vec![Secret::from(NEW)];
    let shop = Shop::open_with(config).await;
    let (buyer, staff) = (shop.orders.customer(), shop.orders.staff());
    let path = shop.confirmed(&buyer, 2500).await;
    for (number, (kind, amount, reference, expected)) in (1..).zip([
        ("succeeded", 1000, "gift", "unmatched confirmed 1000"),
        ("succeeded", 1000, "gift", "repeated confirmed 1000"),
        ("succeeded", 1200, "gift", "unmatched confirmed 1000"),
        ("succeeded", 1501, "more", "unmatched confirmed 1000"),
        ("succeeded", 500, "back", "unmatched confirmed 1500"),
        ("refunded", 500, "back", "reported confirmed 1000"),
        ("succeeded", 1500, "card", "paid paid null"),
        ("succeeded", 1000, "gift", "repeated paid null"),
        ("succeeded", 1500, "card", "repeated paid null"),
    ]) {
        let message = message(&format!("payment.{kind}"), &path, amount, reference);
        let answer = deliver(&shop, NEW, &format!("m{number}"), &message).await;
        let order = buyer.get(&path).await.body;
        let seen = [
            &answer.body["outcome"],
            &order["status"],
            &order["partly_paid"]["amount"],
        ];
        let seen = seen.map(|value| value.to_string().replace('"', ""));
        assert_eq!(seen.join(" "), expected, "message {number}");
    }
    let id = path.rsplit('/').next().unwrap();
    let left = [
        "m5 {id} back wrong_amount",
        "m4 {id} more wrong_amount",
        "m3 {id} gift wrong_amount",
    ];
    assert_eq!(
        unmatched(&staff).await,
        left.map(|line| line.replace("{id}", id))
    );
    let history = staff.get(&format!("{path}/history")).await.body;
    assert_eq!(
        history_lines(&history)[2..],
        [
            "confirmed payments 10.00 EUR received, a part of the total: gift",
            "confirmed payments 5.00 EUR received, a part of the total: back",
            "confirmed payments 5.00 EUR went back at the provider: back",
            "paid payments card",
        ]
    );

    // An order that ends before they add up holds no money of its own.
    let ended = shop.confirmed(&buyer, 2500).await;
    let part = message("payment.succeeded", &ended, 1000, "m10");
    deliver(&shop, NEW, "m10", &part).await;
    let cancel = format!("{ended}/cancel");
    let cancelled = staff.post(&cancel, json!({ "reason": "no" })).await;
    assert_eq!(cancelled.status, 200);
    let rest = message("payment.succeeded", &ended, 1500, "m11");
    let answer = deliver(&shop, NEW, "m11", &rest).await;
    assert_eq!(answer.body["reason"], "order_over");
    assert_eq!(unmatched(&staff).await.len(), 5);
    shop.orders.finish().await;
}

/// The unmatched payments in pages of two, a line each.
async fn unmatched(staff: &Person) -> Vec<String> {
    let path = "/v1/payments/unmatched?limit=2";
    let text = |item: &Value, name: &str| item[name].as_str().unwrap_or("–").to_owned();
    let line = |item: &Value| {
        let names = ["message_id", "order_id", "reference", "reason"];
        names.map(|name| text(item, name)).join(" ")
    };
    let (mut listed, mut next) = (Vec::new(), path.to_owned());
    while !next.is_empty() {
        let page = staff.get(&next).await.body;
        listed.extend(page["items"].as_array().unwrap().iter().map(line));
        let cursor = page["next_cursor"].as_str();
        next = cursor.map_or_else(String::new, |cursor| format!("{path}&cursor={cursor}"));
    }
    listed
}

/// What is signed is taken, and what pays no order is listed: the latest first, in pages, for
/// staff.
#[tokio::test(flavor = "multi_thread")]
async fn no_signed_message_is_refused() {
    let mut config = Config::default();
    config.payments.secrets = vec![Secret::from(NEW)];
    let shop = Shop::open_with(config).await;
    let (buyer, staff) = (shop.orders.customer(), shop.orders.staff());
    let order = shop.confirmed(&buyer, 1000).await;
    let unknown = "/v1/orders/order_01h455vb4pex5vsknk084sn02q";
    let odd = json!({ "type": "payment.succeeded", "data": { "amount": "x" } });
    let (succeeded, refunded) = ("payment.succeeded", "payment.refunded");
    for (id, sent, outcome) in [
        ("m1", message(succeeded, &order, 999, "pay_1"), "unmatched"),
        (
            "m2",
            message(succeeded, unknown, 1000, "pay_2"),
            "unmatched",
        ),
        (
            "m3",
            message(succeeded, "#1001", 1000, "pay_3"),
            "unmatched",
        ),
        ("m4", odd.clone(), "unmatched"),
        ("m4", odd, "unmatched"),
        ("m5", message(succeeded, &order, 1000, "pay_5"), "paid"),
        ("m6", message(succeeded, &order, 1000, "pay_6"), "unmatched"),
        ("m7", message(refunded, &order, 1000, "re_7"), "reported"),
        (
            "m8",
            message("payment.disputed", &order, 1000, "dp_8"),
            "reported",
        ),
        ("m9", message(refunded, unknown, 1000, "re_9"), "reported"),
        ("m10", json!({ "type": "customer.created" }), "ignored"),
    ] {
        let answer = deliver(&shop, NEW, id, &sent).await;
        let got = answer.body["outcome"].as_str().unwrap();
        assert_eq!((answer.status, got), (200, outcome), "{id}");
    }
    let history = staff.get(&format!("{order}/history")).await.body;
    let noted = history["items"].as_array().unwrap()[4..].iter();
    let noted: Vec<_> = noted.map(|line| &line["reason"]).collect();
    assert_eq!(
        noted,
        [
            "10.00 EUR went back at the provider: re_7",
            "10.00 EUR disputed at the provider: dp_8",
        ]
    );
    assert_eq!(buyer.get(&order).await.body["refunded_total"]["amount"], 0);

    let refused = buyer.get("/v1/payments/unmatched").await;
    assert_eq!(refused.status, 403);
    let listed = unmatched(&staff).await;
    let id = order.rsplit('/').next().unwrap();
    assert_eq!(
        listed,
        [
            "m9 order_01h455vb4pex5vsknk084sn02q re_9 unknown_order".to_owned(),
            format!("m6 {id} pay_6 already_paid"),
            "m4 – – unreadable".to_owned(),
            "m3 #1001 pay_3 unknown_order".to_owned(),
            "m2 order_01h455vb4pex5vsknk084sn02q pay_2 unknown_order".to_owned(),
            format!("m1 {id} pay_1 wrong_amount"),
        ]
    );
    shop.orders.finish().await;
}

/// A payment of an expired order asks for its stock again; with the stock the order is paid,
/// without it the payment is unmatched.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_order_is_revived_by_its_payment() {
    let mut config = Config::default();
    config.payments.secrets = vec![Secret::from(NEW)];
    config.orders.unpaid_expire_minutes = Some(60);
    let shop = Shop::open_with(config).await;
    let (buyer, staff) = (shop.orders.customer(), shop.orders.staff());
    let lamp = shop.sell(1000, "EUR").await;
    for in_stock in [true, false] {
        let before = newest(&buyer).await;
        let request = buyer.request(Method::POST, "/v1/orders");
        let placing = tokio::spawn(send(request.json(&items(&[(lamp, 1)]))));
        eventually("it is pending", || async { newest(&buyer).await != before }).await;
        let id = newest(&buyer).await.unwrap();
        let path = format!("/v1/orders/{id}");
        let order_id = id.parse().unwrap();
        let long_ago = Time(now().0 - 61 * 60 * 1000);
        shop.products
            .publish_at("k", Fact::StockReserved { order_id }, long_ago)
            .await;
        placing.await.unwrap();
        let status = || async { buyer.get(&path).await.body["status"].clone() };
        eventually("it expires", || async { status().await == "cancelled" }).await;

        let outcomes = [
            ("less", 999, "unmatched order_over"),
            ("good", 1000, "reviving –"),
            ("again", 1000, "unmatched already_paid"),
        ];
        for (reference, amount, expected) in outcomes {
            let message_id = format!("{reference}-{in_stock}");
            let message = message("payment.succeeded", &path, amount, reference);
            let answer = deliver(&shop, NEW, &message_id, &message).await.body;
            let text = |name: &str| answer[name].as_str().unwrap_or("–");
            assert_eq!(format!("{} {}", text("outcome"), text("reason")), expected);
            assert_eq!(status().await, "cancelled");
        }
        let unmatched = || async {
            let listed = staff.get("/v1/payments/unmatched").await.body;
            let all = listed["items"].as_array().unwrap().clone();
            all.iter()
                .filter(|item| item["reference"] == "good")
                .count()
        };
        if in_stock {
            shop.reserve(&id).await;
            eventually("it is paid", || async { status().await == "paid" }).await;
            assert_eq!(unmatched().await, 0);
        } else {
            let shortages = Vec::new();
            let fact = Fact::StockRefused { order_id, shortages };
            shop.products.publish("k", fact).await;
            eventually("it is listed", || async { unmatched().await == 1 }).await;
            assert_eq!(status().await, "cancelled");
        }
        let history = staff.get(&format!("{path}/history")).await.body;
        let lines = history["items"].as_array().unwrap()[2..].iter();
        let lines: Vec<_> = lines.map(|line| (&line["to"], &line["reason"])).collect();
        let late = json!("paid after it had expired");
        let revived = [
            (&json!("cancelled"), &json!("not paid in time")),
            (&json!("confirmed"), &late),
            (&json!("paid"), &json!("good")),
        ];
        assert_eq!(lines, revived[..if in_stock { 3 } else { 1 }]);
    }
    shop.orders.finish().await;
}

/// A payment of a pending order applies at its confirmation; a payment of a cancelled
/// order never applies.
#[tokio::test(flavor = "multi_thread")]
async fn early_and_late_payments() {
    let mut config = Config::default();
    config.payments.secrets = vec![Secret::from(NEW)];
    let shop = Shop::open_with(config).await;
    let buyer = shop.orders.customer();
    let lamp = shop.sell(1000, "EUR").await;
    let request = buyer
        .request(Method::POST, "/v1/orders")
        .json(&items(&[(lamp, 1)]));
    let placing = tokio::spawn(send(request.header("idempotency-key", "k")));
    eventually("it is pending", || async { newest(&buyer).await.is_some() }).await;
    let id = newest(&buyer).await.unwrap();
    let early = message("payment.succeeded", &id, 1000, "pay_1");
    assert_eq!(
        deliver(&shop, NEW, "m1", &early).await.body["outcome"],
        "awaiting"
    );
    shop.reserve(&id).await;
    let placed = placing.await.unwrap();
    assert_eq!(
        (placed.status, placed.body["status"].as_str()),
        (201, Some("confirmed"))
    );
    let path = format!("/v1/orders/{id}");
    assert_eq!(buyer.get(&path).await.body["status"], "paid");
    let cancel = format!("{path}/cancel");
    let staff = shop.orders.staff();
    let cancelled = staff.post(&cancel, json!({ "reason": "no" }));
    let order_id = id.parse().unwrap();
    let (cancelled, ()) = tokio::join!(cancelled, async {
        eventually("it is cancelled", || async {
            buyer.get(&path).await.body["status"] == "cancelled"
        })
        .await;
        shop.products
            .publish("k", Fact::StockReleased { order_id })
            .await;
    });
    assert_eq!(cancelled.body["refunded_total"]["amount"], 1000);
    let late = message("payment.succeeded", &id, 1000, "pay_2");
    assert_eq!(
        deliver(&shop, NEW, "m2", &late).await.body["reason"],
        "order_over"
    );
    assert_eq!(buyer.get(&path).await.body["status"], "cancelled");
    shop.orders.finish().await;

    let without = Shop::open().await;
    let answer = deliver(&without, NEW, "m1", &late).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (503, "payments-not-configured")
    );
    without.orders.finish().await;
}
