//! The payment webhook: signatures, matching, repeated and early messages.

use model::{Fact, now};
use orders::Config;
use orders::config::Secret;
use reqwest::Method;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use testkit::{TestResponse, eventually, send};

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

    assert_eq!(deliver(&shop, FOREIGN, "m1", &good).await.status, 401);
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
    let odd = json!({ "type": "payment.succeeded", "data": { "amount": "x" } });
    assert_eq!(deliver(&shop, NEW, "m7", &odd).await.status, 422);
    let other = json!({ "type": "dispute.opened", "data": {} });
    assert_eq!(deliver(&shop, NEW, "m8", &other).await.status, 200);

    let history = staff.get(&format!("{path}/history")).await.body;
    let lines: Vec<_> = history["items"].as_array().unwrap()[2..]
        .iter()
        .map(|line| {
            (
                line["to"].as_str().unwrap(),
                line["by"].as_str().unwrap(),
                line["reason"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            ("confirmed", "payments", "payment failed: pay_0"),
            ("paid", "payments", "pay_1")
        ]
    );
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
    let cancelled = buyer.post(&cancel, json!({ "reason": "no" }));
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
