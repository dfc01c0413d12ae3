//! The main path through a shop: register, search, order, and read the notification.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::eventually;
use testkit::shop::{Form, Shop};

use crate::people::{Person, lamp, pieces, send};
use crate::world::open;

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_buys_from_one_process() {
    let mut shop = open(Form::Up).await;
    walk(&shop).await;
    refusals(&shop).await;
    tour(&shop).await;
    shop.terminate_all().await.unwrap();
    shop.start("up").unwrap();
    shop.ready().await.unwrap();
    // Acknowledged writes survive a restart.
    let buyer = Person::stranger(&shop);
    let login = json!({ "email": "mori@konbini.example", "password": crate::people::PASSWORD });
    assert_eq!(buyer.post("/v1/sessions", login).await.status, 201);
    let output = shop.output();
    assert!(!output.contains("panicked"), "{output}");
    shop.terminate_all().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_buys_from_five_processes() {
    let mut shop = open(Form::Run).await;
    walk(&shop).await;
    let output = shop.output();
    assert!(!output.contains("panicked"), "{output}");
    shop.terminate_all().await.unwrap();
}

/// Pages outside the main path; `send` validates each response.
async fn tour(shop: &Shop) {
    let admin = Person::admin(shop).await;
    let ids = admin.sell(&[lamp("TOUR-1", "Tour lamp", 3)]).await;
    let buyer = Person::register(shop, "tour@konbini.example").await;
    let placed = buyer.post("/v1/orders", pieces(&ids[0], 1)).await;
    let order = format!("/v1/orders/{}", placed.body["id"].as_str().unwrap());
    let hook = json!({ "url": "https://hooks.example/konbini", "events": ["order.shipped"] });
    let hook = admin.post("/v1/webhooks", hook).await;
    assert_eq!(hook.status, 201, "{hook:?}");
    let hook = format!("/v1/webhooks/{}", hook.body["id"].as_str().unwrap());
    let half = json!({ "amount": { "amount": 1000, "currency": "EUR" }, "reason": "a scratch" });
    for (path, body) in [
        (format!("{order}/pay"), json!({})),
        (
            format!("{order}/ship"),
            json!({ "carrier": "Yamato", "tracking": "1" }),
        ),
        (format!("{order}/refund"), half),
        (format!("{hook}/rotate"), json!({})),
        (format!("{hook}/enable"), json!({})),
    ] {
        let answer = admin.post(&path, body).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    for path in [
        "/v1/webhooks",
        &hook,
        &format!("{hook}/deliveries"),
        "/v1/users",
    ] {
        assert_eq!(admin.get(path).await.status, 200, "{path}");
    }
    let history = format!("{order}/history");
    for path in [
        "/v1/sessions",
        "/v1/users/me/export",
        &order,
        &history,
        "/v1/categories",
    ] {
        assert_eq!(buyer.get(path).await.status, 200, "{path}");
    }
    let late = buyer
        .post(&format!("{order}/cancel"), json!({ "reason": "no" }))
        .await;
    assert_eq!(
        (late.status, &late.body["order_status"]),
        (409, &json!("shipped"))
    );
    let code = json!({ "email": "tour@konbini.example" });
    assert_eq!(
        buyer.post("/v1/users/password-reset", code).await.status,
        202
    );
}

async fn walk(shop: &Shop) {
    let admin = Person::admin(shop).await;
    let products = [
        lamp("LAMP-1", "Brass desk lamp", 10),
        lamp("LAMP-2", "Paper floor lamp", 2),
        lamp("KETTLE-1", "Enamel kettle", 5),
    ];
    let ids = admin.sell(&products).await;

    let buyer = Person::register(shop, "mori@konbini.example").await;
    let me = buyer.get("/v1/users/me").await;
    assert_eq!(
        (me.status, me.body["email"].as_str()),
        (200, Some("mori@konbini.example"))
    );
    let found = || async {
        let found = buyer.get("/v1/products/search?q=floor+lamps").await;
        found.body["items"][0]["id"] == ids[1].as_str()
    };
    eventually("the lamp can be found", found).await;

    let request = || {
        buyer
            .request(Method::POST, "/v1/orders")
            .header("idempotency-key", "first")
    };
    let placed = send(request().json(&pieces(&ids[1], 2))).await.unwrap();
    assert_eq!(
        (placed.status, placed.body["status"].as_str()),
        (201, Some("confirmed")),
        "{placed:?}"
    );
    let replay = send(request().json(&pieces(&ids[1], 2))).await.unwrap();
    assert_eq!(replay, placed);
    let short = buyer.post("/v1/orders", pieces(&ids[1], 1)).await;
    assert_eq!(
        (short.status, short.body["type"].as_str()),
        (409, Some("/problems/out-of-stock"))
    );
    let stock = admin.get(&format!("/v1/products/{}/stock", ids[1])).await;
    let levels = ["on_hand", "reserved", "available"].map(|level| stock.body[level].as_i64());
    assert_eq!(levels, [Some(2), Some(2), Some(0)]);

    let is_notified = || async {
        let inbox = buyer.all("/v1/notifications").await;
        inbox.iter().any(|entry| entry["kind"] == "order.rejected")
    };
    eventually("the buyer is notified", is_notified).await;
    let inbox = buyer.all("/v1/notifications").await;
    let confirmed: Vec<_> = inbox
        .iter()
        .filter(|entry| entry["kind"] == "order.confirmed")
        .collect();
    assert_eq!(confirmed.len(), 1, "{inbox:?}");
    assert_eq!(confirmed[0]["data"]["order_id"], placed.body["id"]);
}

/// Every refusal is a problem document, which `send` checks.
async fn refusals(shop: &Shop) {
    let anyone = Person::stranger(shop);
    let buyer = Person::register(shop, "refused@konbini.example").await;
    assert_eq!(anyone.get("/v1/nowhere").await.status, 404);
    assert_eq!(anyone.get("/v1/users/me").await.status, 401);
    assert_eq!(buyer.get("/v1/orders/order_x").await.status, 404);
    assert_eq!(
        buyer.post("/v1/products", lamp("X", "X", 1)).await.status,
        403
    );
    let order = |body: &'static str| {
        let request = buyer
            .request(Method::POST, "/v1/orders")
            .header("content-type", "application/json");
        send(request.body(body))
    };
    assert_eq!(order("{").await.unwrap().status, 400);
    assert_eq!(
        order("{\"items\":[],\"colour\":1}").await.unwrap().status,
        400
    );
    assert_eq!(order("{\"items\":3}").await.unwrap().status, 422);
    let plain = buyer.request(Method::POST, "/v1/orders").body("items");
    assert_eq!(send(plain).await.unwrap().status, 415);
    let large = buyer
        .post("/v1/orders", Value::from("x".repeat(1024 * 1024)))
        .await;
    assert_eq!(large.status, 413);
    let put = buyer.request(Method::PUT, "/v1/orders").json(&json!({}));
    assert_eq!(send(put).await.unwrap().status, 405);
}
