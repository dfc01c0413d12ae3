//! What staff do with orders beside commands: corrections, notes, search, export.

use futures::FutureExt;
use mesh::{AccountContact, PeopleQuery};
use model::{Time, UserId};
use reqwest::Method;
use reqwest::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use serde_json::{Value, json};
use testkit::{Person, TestResponse, send};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::shop::{ProductId, Shop, items};

async fn patch(who: &Person, path: &str, body: Value, version: Option<&str>) -> TestResponse {
    let mut request = who.request(Method::PATCH, path).json(&body);
    if let Some(version) = version {
        request = request.header(IF_MATCH, version);
    }
    send(request).await
}

fn tag(response: &TestResponse) -> String {
    response.headers[ETAG].to_str().unwrap().to_owned()
}

/// Plays users, who knows these people.
async fn play_users(shop: &Shop, people: &[(UserId, &'static str, &'static str)]) {
    let people: Vec<_> = people
        .iter()
        .map(|(user_id, name, email)| AccountContact {
            user_id: *user_id,
            email: (*email).into(),
            name: (*name).into(),
            registered_at: Time(1),
        })
        .collect();
    let answer = move |asked: PeopleQuery| {
        let mut found = people.clone();
        match asked {
            PeopleQuery::Of(ids) => found.retain(|person| ids.contains(&person.user_id)),
            PeopleQuery::Matching(text) => found.retain(|person| person.name.starts_with(&text)),
            PeopleQuery::RegisteredBefore { .. } => {}
        }
        async move { Some(found) }.boxed()
    };
    let stop = CancellationToken::new();
    shop.orders
        .mesh
        .answer(&TaskTracker::new(), stop, answer)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_correct_the_address_and_record_the_payment() {
    let shop = Shop::open().await;
    let (buyer, staff) = (shop.orders.customer(), shop.orders.staff());
    let lamp = shop.sell(2000, "EUR").await;
    let mut body = items(&[(lamp, 1)]);
    body["shipping_address"] = json!({ "city": "Kobe", "line2": null });
    let placed = shop.order(&buyer, body.clone(), Some("k"), None).await;
    assert_eq!(placed.status, 201, "{:?}", placed.body);
    assert_eq!(placed.body["shipping_address"], json!({ "city": "Kobe" }));
    assert_eq!(placed.body["payment_status"], "unpaid");
    let path = placed.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(patch(&buyer, &path, json!({}), None).await.status, 403);

    let seen = tag(&staff.get(&path).await);
    let address = json!({ "shipping_address": { "city": "Osaka" } });
    let corrected = patch(&staff, &path, address, Some(&seen)).await;
    assert_eq!(corrected.status, 200, "{:?}", corrected.body);
    assert_eq!(corrected.body["shipping_address"]["city"], "Osaka");
    let late = patch(&staff, &path, json!({ "carrier": "UPS" }), Some(&seen)).await;
    assert_eq!(late.status, 412);
    // A repeat of the placing has the address of that time.
    let request = buyer.request(Method::POST, "/v1/orders").json(&body);
    let again = send(request.header("idempotency-key", "k")).await;
    assert_eq!((again.status, again.body), (201, placed.body));

    let to = |name: &str| format!("{path}/{name}");
    let wrong = json!({ "amount": { "amount": 1, "currency": "EUR" } });
    let wrong = staff.post(&to("pay"), wrong).await;
    assert_eq!(wrong.status, 422);
    let detail = wrong.body["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("20.00 EUR"), "{detail}");
    let transfer = json!({ "reference": "R 1", "method": "transfer", "amount": 2000 });
    let paid = staff.post(&to("pay"), transfer).await;
    assert_eq!(
        (paid.status, &paid.body["payment_status"]),
        (200, &json!("paid"))
    );
    let history = staff.get(&to("history")).await.body;
    assert_eq!(
        history["items"][2]["corrected"],
        json!(["shipping_address"])
    );
    let payment = json!({
        "reference": "R 1",
        "method": "transfer",
        "amount": { "amount": 2000, "currency": "EUR" },
    });
    assert_eq!(history["items"][3]["payment"], payment);
    shop.orders.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_correct_the_parcel_and_leave_notes() {
    let shop = Shop::open().await;
    let (buyer, staff) = (shop.orders.customer(), shop.orders.staff());
    let path = shop.confirmed(&buyer, 2000).await;
    let to = |name: &str| format!("{path}/{name}");
    assert_eq!(staff.post(&to("pay"), json!({})).await.status, 200);
    let parcel = json!({ "carrier": "UPS", "tracking": "1Z1" });
    let shipped = staff.post(&to("ship"), parcel).await;
    let url = shipped.body["tracking_url"].as_str().unwrap();
    assert!(
        url.starts_with("https://www.ups.com/") && url.ends_with("1Z1"),
        "{url}"
    );
    let tracking = patch(&staff, &path, json!({ "tracking": "1Z2" }), Some("*")).await;
    assert_eq!(tracking.body["tracking"], "1Z2");
    assert_eq!(tracking.body["carrier"], "UPS");
    let note = staff
        .post(&to("notes"), json!({ "text": "rang twice" }))
        .await;
    assert_eq!(
        (note.status, &note.body["note"]),
        (201, &json!("rang twice"))
    );
    let faulty = staff.post(&to("notes"), json!({ "text": " " })).await;
    assert_eq!(faulty.status, 422);
    let of_buyer = buyer.post(&to("notes"), json!({ "text": "x" })).await;
    assert_eq!(of_buyer.status, 403);

    // A refund of a version that has changed is refused, and money is in major units.
    let refund = |amount: i64, version: &str| {
        let body = json!({ "amount": amount, "reason": "a scratch" });
        let request = staff.request(Method::POST, &to("refund")).json(&body);
        send(request.header(IF_MATCH, version))
    };
    assert_eq!(refund(500, &tag(&shipped)).await.status, 412);
    assert_eq!(refund(500, &tag(&tracking)).await.status, 200);
    let much = refund(1501, "*").await;
    assert_eq!(
        much.body["detail"],
        "at most 15.00 EUR can still be refunded"
    );
    let shown = staff.get(&path).await.body;
    assert_eq!(shown["payment_status"], "partially_refunded");

    let history = staff.get(&to("history")).await.body["items"].clone();
    let entries = history.as_array().unwrap();
    let corrected = entries.iter().find(|entry| entry["corrected"].is_array());
    assert_eq!(corrected.unwrap()["tracking"], "1Z2");
    let of_buyer = buyer.get(&to("history")).await.body["items"].clone();
    assert_eq!(of_buyer.as_array().unwrap().len() + 1, entries.len());
    assert!(!of_buyer.to_string().contains("rang twice"));

    assert_eq!(staff.post(&to("deliver"), json!({})).await.status, 200);
    let over = patch(&staff, &path, json!({ "tracking": null }), None).await;
    assert_eq!((over.status, over.problem()), (409, "order-state"));
    shop.orders.finish().await;
}

/// Staff find orders by people whom only users knows, and see who ordered; without users they
/// see the orders alone.
#[tokio::test(flavor = "multi_thread")]
async fn staff_find_orders_and_see_their_buyers() {
    let shop = Shop::open().await;
    let (ana, mori, staff) = (
        shop.orders.customer(),
        shop.orders.customer(),
        shop.orders.staff(),
    );
    let lamp = shop.sell(2000, "EUR").await;
    let kettle = shop.sell_as(500, "EUR", "KETTLE", "=Kettle").await;
    let mut ids = Vec::new();
    for (buyer, body) in [
        (&ana, items(&[(lamp, 1)])),
        (&mori, items(&[(lamp, 2), (kettle, 1)])),
        (&ana, items(&[(kettle, 3)])),
    ] {
        let placed = shop.order(buyer, body, None, None).await;
        ids.push(placed.body["id"].as_str().unwrap().to_owned());
    }
    let alone = staff.get("/v1/orders").await;
    assert_eq!(listed(&alone, &ids), [2, 1, 0]);
    assert_eq!(alone.body["items"][0]["buyer"], Value::Null);
    let away = staff.get("/v1/orders?q=Ana").await;
    assert_eq!((away.status, away.problem()), (503, "people-unavailable"));
    let path = format!("/v1/orders/{}", ids[0]);
    let seen = tag(&staff.get(&path).await);

    play_users(
        &shop,
        &[
            (ana.user_id(), "Ana", "ana@shop.example"),
            (mori.user_id(), "Mori", "m@x.example"),
        ],
    )
    .await;
    let shown = staff.get(&path).await;
    let buyer = json!({ "user_id": ana.user_id(), "name": "Ana", "email": "ana@shop.example" });
    assert_eq!(shown.body["buyer"], buyer);
    assert_eq!(ana.get(&path).await.body["buyer"], Value::Null);
    // The buyer is no part of what a change depends on.
    assert_ne!(tag(&shown), seen);
    assert_eq!(
        patch(&staff, &path, json!({}), Some(&seen)).await.status,
        200
    );
    let fresh = staff
        .request(Method::GET, &path)
        .header(IF_NONE_MATCH, tag(&shown));
    assert_eq!(send(fresh).await.status, 304);

    filtered(&ana, mori.user_id(), &staff, &ids, [lamp, kettle]).await;
    exported(&staff, &ids).await;
    assert_eq!(ana.get("/v1/orders/export").await.status, 403);
    shop.orders.finish().await;
}

/// The places in `ids` of the orders of a list.
fn listed(list: &TestResponse, ids: &[String]) -> Vec<usize> {
    assert_eq!(list.status, 200, "{:?}", list.body);
    let of = |order: &Value| ids.iter().position(|id| order["id"] == **id).unwrap();
    let items = list.body["items"].as_array().unwrap();
    items.iter().map(of).collect()
}

/// Every filter and order, on the orders of Ana, Mori and Ana.
async fn filtered(
    ana: &Person,
    mori: UserId,
    staff: &Person,
    ids: &[String],
    [lamp, kettle]: [ProductId; 2],
) {
    let second = created_at(staff, &ids[1]).await;
    for (query, expected) in [
        ("q=Ana".to_owned(), vec![2, 0]),
        ("q=Ana&sort=created_at".to_owned(), vec![0, 2]),
        ("q=Zoe".to_owned(), vec![]),
        (format!("q={}", ids[1]), vec![1]),
        (format!("q={}&status=paid", ids[1]), vec![]),
        (format!("product_id={lamp}"), vec![1, 0]),
        (
            format!("product_id={kettle}&q=Ana&status=confirmed"),
            vec![2],
        ),
        (format!("user_id={mori}"), vec![1]),
        (format!("user_id={mori}&q=Ana"), vec![]),
        (format!("created_from={second}"), vec![2, 1]),
        (format!("created_to={second}"), vec![0]),
        ("created_to=2020-01-01".to_owned(), vec![]),
        ("created_from=2020-01-01".to_owned(), vec![2, 1, 0]),
        ("sort=total".to_owned(), vec![2, 0, 1]),
        ("sort=-total&status=confirmed".to_owned(), vec![1, 0, 2]),
    ] {
        let list = staff.get(&format!("/v1/orders?{query}")).await;
        assert_eq!(listed(&list, ids), expected, "{query}");
    }
    let first = staff.get("/v1/orders?sort=-total&limit=1").await;
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let second = staff
        .get(&format!("/v1/orders?sort=-total&limit=2&cursor={cursor}"))
        .await;
    assert_eq!(
        (listed(&first, ids), listed(&second, ids)),
        (vec![1], vec![0, 2])
    );
    for wrong in [
        "sort=price",
        "created_from=today",
        "product_id=x",
        "user_id=x",
        "status=x",
    ] {
        let refused = staff.get(&format!("/v1/orders?{wrong}")).await;
        assert_eq!(refused.status, 400, "{wrong}");
    }
    // A customer narrows their own list, and searches nobody.
    let own = ana
        .get(&format!("/v1/orders?product_id={lamp}&user_id={mori}"))
        .await;
    assert_eq!(listed(&own, ids), [0]);
    assert_eq!(ana.get("/v1/orders?q=Mori").await.status, 403);
}

async fn created_at(staff: &Person, id: &str) -> String {
    let order = staff.get(&format!("/v1/orders/{id}")).await.body;
    order["created_at"].as_str().unwrap().to_owned()
}

/// The export has the orders of the list, and no text in it is a formula.
async fn exported(staff: &Person, ids: &[String]) {
    let read = |query: &'static str| async move {
        let path = format!("/v1/orders/export{query}");
        let response = staff.request(Method::GET, &path).send().await.unwrap();
        assert_eq!(response.status(), 200, "{query}");
        response.text().await.unwrap()
    };
    let lines = read("?sort=created_at").await;
    let orders: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let exported: Vec<_> = orders
        .iter()
        .map(|order| order["id"].as_str().unwrap())
        .collect();
    assert_eq!(exported, ids);
    assert_eq!(orders[1]["buyer"]["name"], "Mori");
    let table = read("?format=csv&q=Mori").await;
    let rows: Vec<_> = table.lines().collect();
    assert!(
        rows[0].starts_with("\u{feff}order_id,created_at,"),
        "{}",
        rows[0]
    );
    assert_eq!(rows.len(), 3, "a row for each line: {table}");
    assert!(
        rows[1].starts_with(&ids[1]) && rows[1].ends_with(",2,20.00,40.00"),
        "{}",
        rows[1]
    );
    assert!(
        rows[1].contains(",Mori,m@x.example,EUR,45.00,0.00,"),
        "{}",
        rows[1]
    );
    assert!(rows[2].contains("\"=\"\"=Kettle\"\"\""), "{}", rows[2]);
    assert_eq!(read("?q=Zoe").await, "");
}
