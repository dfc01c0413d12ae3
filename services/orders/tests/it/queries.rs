//! Other services ask for an order: what no event holds.

use std::time::Duration;

use mesh::{OrderDetails, OrderOf};
use model::{Id, Shortage, Time};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Person, eventually, send};

use crate::shop::{Shop, items, kobe};

const TIMEOUT: Duration = Duration::from_secs(10);

fn changed_at(order: &Value) -> Time {
    serde_json::from_value(order["updated_at"].clone()).unwrap()
}

impl Shop {
    /// The order of a response, with the change that it shows.
    async fn asked(&self, order: &Value) -> Option<OrderDetails> {
        let order_id = order["id"].as_str().unwrap().parse().unwrap();
        let question = OrderOf { order_id, changed_at: Some(changed_at(order)) };
        let answer = self.orders.mesh.ask(&question, TIMEOUT).await;
        answer.expect("orders answers")
    }
}

async fn command(who: &Person, order: &Value, name: &str, body: Value) -> Value {
    let path = format!("/v1/orders/{}/{name}", order["id"].as_str().unwrap());
    let answer = send(who.request(Method::POST, &path).json(&body)).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    answer.body
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_answered_as_staff_see_it() {
    let shop = Shop::open().await;
    let (buyer, staff) = (shop.orders.customer(), shop.orders.staff());
    let lamp = shop.sell(1000, "EUR").await;
    let mut body = items(&[(lamp, 2)]);
    body["shipping_address"] = kobe();
    body["note"] = json!("ring twice");
    let placed = shop.order(&buyer, body, None, None).await.body;
    let told = shop.asked(&placed).await.unwrap();
    assert_eq!(
        (told.user_id, told.status.as_str()),
        (Some(buyer.user_id()), "confirmed")
    );
    let line = &told.items[0];
    assert_eq!((line.title.as_str(), line.quantity), ("Desk lamp", 2));
    assert_eq!((line.line_total.amount, told.total.amount), (2000, 2000));
    assert_eq!(told.shipping_address["city"], "Kobe");
    assert_eq!(told.note.as_deref(), Some("ring twice"));
    assert_eq!(told.language.as_deref(), Some("de-CH"));
    assert!(!told.outcome_was_awaited && told.tracking.is_none());
    assert_eq!(told.change.unwrap().by, "products");

    command(&staff, &placed, "pay", json!({})).await;
    let shipment = json!({ "carrier": "DHL", "tracking": "123" });
    let shipped = command(&staff, &placed, "ship", shipment).await;
    let told = shop.asked(&shipped).await.unwrap();
    assert_eq!(
        (told.carrier.as_deref(), told.tracking.as_deref()),
        (Some("DHL"), Some("123"))
    );
    // Of two refunds each has its own reason, and the parcel stays known.
    let refund = |amount: i64, reason| json!({ "amount": amount, "reason": reason });
    let first = command(&staff, &placed, "refund", refund(500, "scratched")).await;
    let is_later = || async { model::now() > changed_at(&first) };
    eventually("a millisecond has passed", is_later).await;
    let second = command(&staff, &placed, "refund", refund(100, "late")).await;
    for (order, reason) in [(&first, "scratched"), (&second, "late")] {
        let told = shop.asked(order).await.unwrap();
        let change = told.change.unwrap();
        assert_eq!(
            (change.by.as_str(), change.reason.as_deref()),
            ("staff", Some(reason))
        );
        assert_eq!(
            (told.refunded_total.amount, told.tracking.as_deref()),
            (600, Some("123"))
        );
    }
    let unknown =
        json!({ "id": Id::<model::kinds::Order>::new(), "updated_at": first["updated_at"] });
    assert!(shop.asked(&unknown).await.is_none());
    shop.orders.finish().await;
}

/// What was missing of a rejected order, and who cancelled one.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_answered_with_its_cause() {
    let shop = Shop::open().await;
    let buyer = shop.orders.customer();
    let lamp = shop.sell(1000, "EUR").await;
    let shortage = Shortage { product_id: lamp, requested: 3, available: 1 };
    let rejected = shop
        .order(&buyer, items(&[(lamp, 3)]), None, Some(shortage))
        .await;
    let path = format!("/v1/orders/{}", rejected.body["order_id"].as_str().unwrap());
    let rejected = buyer.get(&path).await.body;
    let told = shop.asked(&rejected).await.unwrap();
    assert_eq!(
        (told.status.as_str(), told.items[0].available),
        ("rejected", Some(1))
    );

    let placed = shop
        .order(&buyer, items(&[(lamp, 1)]), None, None)
        .await
        .body;
    let cancelled = command(&buyer, &placed, "cancel", json!({ "reason": "found one" })).await;
    let told = shop.asked(&cancelled).await.unwrap();
    let change = told.change.unwrap();
    assert_eq!(
        (change.by.as_str(), change.reason.as_deref()),
        ("buyer", Some("found one"))
    );
    shop.orders.finish().await;
}
