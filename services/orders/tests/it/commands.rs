//! Commands to orders, expiry and erasure.

use std::time::Duration;

use model::{Fact, Time, now};
use orders::Config;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Person, TestResponse, eventually, send};
use tokio::time::Instant;

use crate::shop::{Shop, items, kobe, newest};

async fn command(who: &Person, path: &str, key: Option<&str>, body: Option<Value>) -> TestResponse {
    let mut request = who.request(Method::POST, path);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    send(request).await
}

/// The path of a confirmed order whose product is deleted: it does not need it any more.
async fn of_deleted(shop: &Shop, buyer: &Person) -> String {
    let path = shop.confirmed(buyer, 1000).await;
    let order = buyer.get(&path).await.body;
    let product_id = order["items"][0]["product_id"].as_str().unwrap();
    let product_id = product_id.parse().unwrap();
    let deleted = Fact::ProductDeleted { product_id };
    shop.products.publish("deleted", deleted).await;
    let again = items(&[(product_id, 1)]);
    let is_gone = || async { buyer.post("/v1/orders", again.clone()).await.status == 422 };
    eventually("the product is deleted", is_gone).await;
    path
}

/// Every transition of a delivered and refunded order, with its history.
#[tokio::test(flavor = "multi_thread")]
async fn from_paid_to_refunded() {
    let shop = Shop::open().await;
    let (buyer, staff) = (shop.orders.customer(), shop.orders.staff());
    let path = of_deleted(&shop, &buyer).await;
    let to = |name: &str| format!("{path}/{name}");

    assert_eq!(command(&buyer, &to("pay"), None, None).await.status, 403);
    let early = command(&staff, &to("ship"), None, None).await;
    assert_eq!((early.status, early.problem()), (409, "order-state"));
    assert_eq!(early.body["order_status"], "confirmed");

    // A repeat gets the same bytes, also after later transitions.
    let paid = command(&staff, &to("pay"), Some("p"), None).await;
    assert_eq!(
        (paid.status, paid.body["status"].as_str()),
        (200, Some("paid"))
    );
    assert_eq!(command(&staff, &to("pay"), None, None).await.status, 409);
    let shipped = json!({ "carrier": "Yamato", "tracking": "123" });
    assert_eq!(
        command(&staff, &to("ship"), None, Some(shipped))
            .await
            .status,
        200
    );
    let again = command(&staff, &to("pay"), Some("p"), None).await;
    assert_eq!((again.status, &again.body), (200, &paid.body));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    // A decided refusal is repeated too.
    let late = json!({ "reason": "changed my mind" });
    let refused = command(&buyer, &to("cancel"), Some("c"), Some(late.clone())).await;
    assert_eq!(refused.status, 409);
    let refused_again = command(&buyer, &to("cancel"), Some("c"), Some(late)).await;
    assert_eq!(refused_again.body, refused.body);

    let commands = [
        ("deliver", None),
        ("refund", Some(json!({ "reason": "broken" }))),
    ];
    for (name, body) in commands {
        let applied = command(&staff, &to(name), None, body).await;
        assert_eq!(applied.status, 200, "{name}");
    }
    let history = buyer.get(&to("history")).await.body;
    let to_and_by = |line: &Value| {
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        (text("to"), text("by"))
    };
    let lines: Vec<_> = history["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(to_and_by)
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

/// Refunds add up to at most the total.
/// The steps from confirmed to delivered.
async fn to_delivered(staff: &Person, path: &str) {
    for (name, body) in [
        ("pay", json!({ "reference": "R1" })),
        ("ship", json!({ "carrier": "UPS", "tracking": "1Z1" })),
        ("deliver", json!({})),
    ] {
        let done = command(staff, &format!("{path}/{name}"), None, Some(body)).await;
        assert_eq!(done.status, 200, "{name}: {}", done.body);
    }
}

async fn undo(who: &Person, path: &str, key: Option<&str>) -> TestResponse {
    let body = json!({ "reason": "the wrong order" });
    command(who, &format!("{path}/undo"), key, Some(body)).await
}

/// Staff go back from delivered to confirmed, a step at a time.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_click_is_undone() {
    let shop = Shop::open().await;
    let (buyer, staff) = (shop.orders.customer(), shop.orders.staff());
    let path = shop.confirmed(&buyer, 1000).await;
    to_delivered(&staff, &path).await;
    for status in ["shipped", "paid", "confirmed"] {
        let undone = undo(&staff, &path, Some(status)).await;
        let shown = (undone.status, undone.body["status"].as_str());
        assert_eq!(shown, (200, Some(status)));
        assert_eq!(undone.body.get("tracking").is_some(), status == "shipped");
    }
    // A lost answer undoes nothing twice.
    let again = undo(&staff, &path, Some("paid")).await;
    assert_eq!((again.status, &again.body["status"]), (200, &json!("paid")));
    let order = staff.get(&path).await.body;
    assert_eq!(
        (&order["status"], &order["payment_status"]),
        (&json!("confirmed"), &json!("unpaid"))
    );

    let history = buyer.get(&format!("{path}/history")).await.body;
    let entry = history["items"].as_array().unwrap().last().unwrap().clone();
    let expected = json!({
        "at": entry["at"],
        "from": "paid",
        "to": "confirmed",
        "by": staff.user_id(),
        "reason": "the wrong order",
        "undone": "paid",
    });
    assert_eq!(entry, expected);
    // The shipped units are back in stock.
    let admin = shop.orders.admin();
    let events = admin.get("/v1/events?kind=order.step_undone").await;
    let events = events.body["items"].as_array().unwrap().clone();
    let units = |event: &Value| {
        let items = event["data"]["items"].as_array();
        items.map_or(0, Vec::len)
    };
    assert_eq!(events.iter().map(units).collect::<Vec<_>>(), [0, 1, 0]);
    shop.orders.finish().await;
}

/// An undo is refused without a step, for a step of a payment provider, and after a refund.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_undone() {
    let shop = Shop::open().await;
    let (buyer, staff) = (shop.orders.customer(), shop.orders.staff());
    let path = shop.confirmed(&buyer, 1000).await;
    assert_eq!(undo(&buyer, &path, None).await.status, 403);
    let undo_path = format!("{path}/undo");
    let silent = command(&staff, &undo_path, None, Some(json!({}))).await;
    assert_eq!(silent.status, 422);
    let nothing = undo(&staff, &path, None).await;
    assert_eq!((nothing.status, nothing.problem()), (409, "order-state"));

    to_delivered(&staff, &path).await;
    let stale = staff
        .request(Method::POST, &undo_path)
        .json(&json!({ "reason": "x" }));
    let stale = send(stale.header("if-match", "\"0\"")).await;
    assert_eq!(stale.status, 412);
    let part = json!({ "amount": 1, "reason": "a scratch" });
    let refund = format!("{path}/refund");
    assert_eq!(command(&staff, &refund, None, Some(part)).await.status, 200);
    assert_eq!(undo(&staff, &path, None).await.status, 409);
    shop.orders.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refunds_never_exceed_the_total() {
    let shop = Shop::open().await;
    let (buyer, staff) = (shop.orders.customer(), shop.orders.staff());
    let path = shop.confirmed(&buyer, 1000).await;
    let to = |name: &str| format!("{path}/{name}");
    for name in ["pay", "ship"] {
        assert_eq!(
            command(&staff, &to(name), None, None).await.status,
            200,
            "{name}"
        );
    }
    let part = json!({ "amount": 300, "reason": "a scratch" });
    let part = command(&staff, &to("refund"), Some("r"), Some(part)).await;
    assert_eq!(
        (part.status, &part.body["refunded_total"]["amount"]),
        (200, &json!(300))
    );
    assert_eq!(part.body["status"], "shipped");
    assert_eq!(
        command(&staff, &to("deliver"), None, None).await.body["status"],
        "delivered"
    );
    let much = json!({ "amount": { "amount": 701, "currency": "EUR" }, "reason": "x" });
    let much = command(&staff, &to("refund"), None, Some(much)).await;
    assert_eq!((much.status, much.problem()), (409, "refund-too-large"));
    let wrong = json!({ "amount": { "amount": 0, "currency": "USD" } });
    let wrong = command(&staff, &to("refund"), None, Some(wrong)).await;
    assert_eq!(
        wrong.body["errors"].as_array().unwrap().len(),
        3,
        "{:?}",
        wrong.body
    );
    let rest = json!({ "reason": "all of it" });
    let rest = command(&staff, &to("refund"), None, Some(rest)).await;
    assert_eq!(rest.body["status"], "refunded");
    assert_eq!(rest.body["refunded_total"], rest.body["total"]);

    let history = buyer.get(&to("history")).await.body;
    assert_eq!(history["items"][4]["from"], history["items"][4]["to"]);
    assert_eq!(history["items"][4]["refunded"]["amount"], 300);
    assert_eq!(history["items"][4]["reason"], "a scratch");
    shop.orders.finish().await;
}

/// A cancellation responds after the release of the stock; a late reservation changes
/// nothing; another customer cannot cancel.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_waits_for_the_release() {
    let shop = Shop::open().await;
    let buyer = shop.orders.customer();
    let path = shop.confirmed(&buyer, 1000).await;
    let cancel = format!("{path}/cancel");
    let why = || Some(json!({ "reason": "too late" }));
    assert_eq!(
        command(&shop.orders.customer(), &cancel, None, why())
            .await
            .status,
        404
    );
    assert_eq!(
        command(&buyer, &cancel, None, Some(json!({}))).await.status,
        422
    );
    let asked = Instant::now();
    let cancelling = {
        let (buyer, cancel) = (buyer.clone(), cancel.clone());
        tokio::spawn(async move { command(&buyer, &cancel, None, why()).await })
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
        "it responded before the timeout"
    );

    // A pending order: its placing responds with the cancellation.
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
        tokio::spawn(async move { command(&buyer, &path, None, why()).await })
    };
    eventually("it is cancelled", || async {
        buyer.get(&path).await.body["status"] == "cancelled"
    })
    .await;
    shop.reserve(&id).await;
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

/// An unpaid order is cancelled at its expiry, also if that passed before it was confirmed.
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
    shop.reserve(&kept).await;
    let answer = placing.await.unwrap();
    assert!(
        answer.body["reserved_until"].is_string(),
        "{:?}",
        answer.body
    );

    let (unpaid, placing) = place().await;
    let fact = Fact::StockReserved { order_id: unpaid.parse().unwrap() };
    shop.products
        .publish_at("k", fact, Time(now().0 - 61 * 60 * 1000))
        .await;
    assert_eq!(placing.await.unwrap().body["status"], "confirmed");
    let path = format!("/v1/orders/{unpaid}");
    let cancelled = || async { buyer.get(&path).await.body["status"] == "cancelled" };
    eventually("the unpaid order is cancelled", cancelled).await;
    let history = buyer.get(&format!("{path}/history")).await.body;
    assert_eq!(history["items"][2]["by"], "expiry");
    let kept = buyer.get(&format!("/v1/orders/{kept}")).await;
    assert_eq!(kept.body["status"], "confirmed");
    assert!(buyer.get(&path).await.body.get("reserved_until").is_none());
    shop.orders.finish().await;
}

/// Erasure of a user removes address and note from their orders and keeps the lines,
/// also in the largest possible order.
#[tokio::test(flavor = "multi_thread")]
async fn erasure_of_the_largest_order() {
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
    let mut address = kobe();
    for field in ["line1", "line2"] {
        address[field] = "𓆉".repeat(200).into();
    }
    body["shipping_address"] = address.clone();
    let shortages = wanted
        .iter()
        .map(|(product_id, requested)| model::Shortage {
            product_id: *product_id,
            requested: *requested,
            available: i64::MAX,
        });
    let short = shop.order(&buyer, body, None, shortages).await;
    assert_eq!(
        (short.status, short.body["items"].as_array().unwrap().len()),
        (409, 100)
    );
    let path = format!("/v1/orders/{}", short.body["order_id"].as_str().unwrap());
    let read = buyer.get(&path).await.body;
    assert_eq!(read["items"].as_array().unwrap().len(), 100);
    assert_eq!(read["shipping_address"], address);

    let users = shop.orders.other("users");
    let fact = Fact::UserErased { user_id: buyer.user_id() };
    users.publish("k", fact).await;
    let staff = shop.orders.staff();
    let erased = || async {
        let order = staff.get(&path).await.body;
        order.get("note").is_none() && order.get("shipping_address").is_none()
    };
    eventually("address and note are erased", erased).await;
    assert_eq!(staff.get(&path).await.body["items"], read["items"]);
    shop.orders.finish().await;
}
