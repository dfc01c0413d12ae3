//! Placing, reading and listing orders.

use mesh::OrderBodyOf;
use model::{Id, Shortage};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Person, TIMEOUT, eventually, send};

use crate::shop::{Shop, items, kobe};

#[tokio::test(flavor = "multi_thread")]
async fn placed_confirmed_and_listed() {
    let shop = Shop::open().await;
    let buyer = shop.orders.customer();
    // The product is not in the projection yet, which catches up before it refuses.
    let lamp = shop.sell(1999, "EUR").await;
    let mut body = items(&[(lamp, 2), (lamp, 1)]);
    body["note"] = "ring twice".into();
    body["shipping_address"] = kobe();
    let placed = shop.order(&buyer, body, None, None).await;
    assert_eq!(placed.status, 201, "{:?}", placed.body);
    assert_eq!(placed.body["status"], "confirmed");
    assert_eq!(
        placed.body["total"],
        json!({ "amount": 5997, "currency": "EUR" })
    );
    assert_eq!(placed.body["items"][0]["quantity"], 3);
    assert_eq!(placed.body["items"][0]["title"], "Desk lamp");
    assert_eq!(placed.body["shipping_address"]["city"], "Kobe");

    let path = placed.headers["location"].to_str().unwrap().to_owned();
    let read = buyer.get(&path).await;
    assert_eq!(read.body, placed.body);
    assert_eq!(read.headers["etag"], placed.headers["etag"]);
    // Notifications ask for the same, to send it along with events.
    let order_id = read.body["id"].as_str().unwrap().parse().unwrap();
    for (order_id, is_known) in [(order_id, true), (Id::new(), false)] {
        let asked = shop
            .orders
            .mesh
            .ask(&OrderBodyOf { order_id }, TIMEOUT)
            .await;
        let json = asked.flatten().expect("orders answers").json;
        let json: Option<Value> = json.map(|json| serde_json::from_str(&json).unwrap());
        assert_eq!(json, is_known.then(|| read.body.clone()));
    }
    let history = buyer.get(&format!("{path}/history")).await.body;
    assert_eq!(history["items"][0]["from"], Value::Null);
    assert_eq!(history["items"][1]["to"], "confirmed");

    assert_eq!(shop.orders.customer().get(&path).await.status, 404);
    assert_eq!(shop.orders.anonymous().get(&path).await.status, 401);
    assert_eq!(shop.orders.staff().get(&path).await.status, 200);
    assert_eq!(buyer.get("/v1/orders/order_nonsense").await.status, 404);
    let staff = shop.orders.staff();
    let theirs = staff
        .get(&format!(
            "/v1/orders?user_id={}&status=confirmed",
            buyer.user_id()
        ))
        .await;
    assert_eq!(theirs.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        buyer.get("/v1/orders?status=rejected").await.body["items"],
        json!([])
    );
    assert_eq!(buyer.get("/v1/orders?status=lost").await.status, 400);
    shop.orders.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_name_every_fault() {
    let shop = Shop::open().await;
    let buyer = shop.orders.customer();
    let lamp = shop.sell(100, "EUR").await;
    let torch = shop.sell(100, "USD").await;
    let unknown = buyer
        .post("/v1/orders", items(&[(lamp, 1), (Id::new(), 1)]))
        .await;
    assert_eq!(
        (
            unknown.status,
            unknown.body["errors"][0]["pointer"].as_str()
        ),
        (422, Some("/items/1/product_id"))
    );
    let mixed = buyer
        .post("/v1/orders", items(&[(lamp, 1), (torch, 1)]))
        .await;
    assert_eq!((mixed.status, mixed.problem()), (422, "invalid"));
    let many = buyer
        .post("/v1/orders", items(&[(lamp, 1001), (torch, 0)]))
        .await;
    assert_eq!(many.body["errors"].as_array().unwrap().len(), 2);
    assert_eq!(buyer.post("/v1/orders", json!({})).await.status, 422);
    assert_eq!(
        buyer
            .post("/v1/orders", json!({ "items": [], "status": "paid" }))
            .await
            .status,
        400
    );

    let shortage = Shortage { product_id: lamp, requested: 5, available: 3 };
    let short = shop
        .order(&buyer, items(&[(lamp, 5)]), None, Some(shortage))
        .await;
    assert_eq!((short.status, short.problem()), (409, "out-of-stock"));
    assert_eq!(short.body["items"][0]["available"], 3);
    let kept = buyer
        .get(&format!(
            "/v1/orders/{}",
            short.body["order_id"].as_str().unwrap()
        ))
        .await;
    assert_eq!(kept.body["status"], "rejected");
    shop.orders.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_outcome_under_one_key() {
    let shop = Shop::open().await;
    let buyer = shop.orders.customer();
    let lamp = shop.sell(100, "EUR").await;
    let send_again = |key: &'static str, body: Value| {
        send(
            buyer
                .request(Method::POST, "/v1/orders")
                .json(&body)
                .header("idempotency-key", key),
        )
    };
    let first = shop
        .order(&buyer, items(&[(lamp, 1)]), Some("\"one\""), None)
        .await;
    let replay = send_again("one", items(&[(lamp, 1)])).await;
    assert_eq!((replay.status, &replay.body), (201, &first.body));
    assert_eq!(replay.headers["idempotency-replayed"], "true");
    assert_eq!(replay.headers["etag"], first.headers["etag"]);
    // The same request, as another serializer writes it.
    let text =
        format!(r#"{{ "note" : null, "items":[ {{"quantity":1, "product_id":"{lamp}"}} ]}}"#);
    let request = buyer.request(Method::POST, "/v1/orders").body(text);
    let request = request.header("content-type", "application/json");
    let written = send(request.header("idempotency-key", "one")).await;
    assert_eq!((written.status, &written.body), (201, &first.body));
    assert_eq!(send_again("one", items(&[(lamp, 2)])).await.status, 422);
    // A key is scoped to its user.
    let other = shop.orders.customer();
    let theirs = shop
        .order(&other, items(&[(lamp, 2)]), Some("one"), None)
        .await;
    assert_eq!(theirs.status, 201);

    let shortage = Shortage { product_id: lamp, requested: 9, available: 0 };
    let short = shop
        .order(&buyer, items(&[(lamp, 9)]), Some("short"), Some(shortage))
        .await;
    let again = send_again("short", items(&[(lamp, 9)])).await;
    assert_eq!((again.status, &again.body), (409, &short.body));
    let refused = send_again("bad", items(&[(Id::new(), 1)])).await;
    let again = send_again("bad", items(&[(Id::new(), 1)])).await;
    assert_eq!((refused.status, again.status), (422, 422));
    // An invalid request is decided too, and its correction is another request.
    let invalid = send_again("zero", items(&[(lamp, 0)])).await;
    let again = send_again("zero", items(&[(lamp, 0)])).await;
    assert_eq!((invalid.status, &again.body), (422, &invalid.body));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let mended = send_again("zero", items(&[(lamp, 1)])).await;
    assert_eq!(mended.problem(), "idempotency-key-reused");
    let invalid = buyer
        .request(Method::POST, "/v1/orders")
        .json(&items(&[(lamp, 1)]));
    assert_eq!(
        send(invalid.header("idempotency-key", "a b")).await.status,
        400
    );
    shop.orders.finish().await;
}

/// Without a stock outcome the response is 202, also to a retry after a restart; the
/// order is confirmed later. A concurrent request under the key is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_stock_outcome_confirms_the_order() {
    let mut shop = Shop::open().await;
    let buyer = shop.orders.customer();
    let lamp = shop.sell(100, "EUR").await;
    let again = |buyer: &Person| {
        let request = buyer.request(Method::POST, "/v1/orders");
        send(
            request
                .json(&items(&[(lamp, 3)]))
                .header("idempotency-key", "slow"),
        )
    };
    let slow = tokio::spawn(again(&buyer));
    let pending =
        || async { buyer.get("/v1/orders?status=pending").await.body["items"] != json!([]) };
    eventually("the slow order is pending", pending).await;
    assert_eq!(again(&buyer).await.problem(), "idempotency-key-in-flight");
    let slow = slow.await.unwrap();
    assert_eq!(
        (slow.status, slow.body["status"].as_str()),
        (202, Some("pending"))
    );

    shop.orders.restart().await;
    let buyer = buyer.at(shop.orders.address);
    shop.reserve(slow.body["id"].as_str().unwrap()).await;
    let decided =
        || async { buyer.get("/v1/orders?status=pending").await.body["items"] == json!([]) };
    eventually("the slow order is confirmed", decided).await;
    let retry = again(&buyer).await;
    assert_eq!(
        (retry.status, retry.body["status"].as_str()),
        (202, Some("confirmed"))
    );
    assert_eq!(retry.headers["idempotency-replayed"], "true");
    shop.orders.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_stable_under_inserts() {
    let shop = Shop::open().await;
    let buyer = shop.orders.customer();
    let lamp = shop.sell(100, "EUR").await;
    for _ in 0..5 {
        shop.order(&buyer, items(&[(lamp, 1)]), None, None).await;
    }
    let first = buyer.get("/v1/orders?limit=2").await.body;
    shop.order(&buyer, items(&[(lamp, 1)]), None, None).await;
    let mut seen: Vec<_> = first["items"].as_array().unwrap().clone();
    let mut cursor = first["next_cursor"].clone();
    while let Some(text) = cursor.as_str() {
        let page = buyer
            .get(&format!("/v1/orders?limit=2&cursor={text}"))
            .await
            .body;
        seen.extend(page["items"].as_array().unwrap().clone());
        cursor = page["next_cursor"].clone();
    }
    let ids: Vec<_> = seen
        .iter()
        .map(|order| order["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 5);
    assert!(ids.is_sorted_by(|newer, older| newer > older), "{ids:?}");
    assert_eq!(buyer.get("/v1/orders?cursor=x").await.status, 400);
    assert_eq!(buyer.get("/v1/orders?limit=101").await.status, 400);
    shop.orders.finish().await;
}
