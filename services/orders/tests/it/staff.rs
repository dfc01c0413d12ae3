//! What staff do with orders beside commands: corrections, notes, search, export, reports.

use futures::FutureExt;
use mesh::{AccountContact, PeopleQuery};
use model::{Id, OrderId, Time, UserId};
use reqwest::Method;
use reqwest::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use serde_json::{Value, json};
use store::{Options, Store, Table};
use testkit::{Person, TestResponse, send};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::shop::{ProductId, Shop, items, kobe};

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
            PeopleQuery::RegisteredBefore { before, limit } => {
                found.sort_by_key(|person| std::cmp::Reverse(person.user_id));
                found.retain(|person| before.is_none_or(|before| person.user_id < before));
                found.truncate(limit);
            }
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
    body["shipping_address"] = kobe();
    body["shipping_address"]["line2"] = json!(null);
    let placed = shop.order(&buyer, body.clone(), Some("k"), None).await;
    assert_eq!(placed.status, 201, "{:?}", placed.body);
    assert_eq!(placed.body["shipping_address"], kobe());
    assert_eq!(placed.body["payment_status"], "unpaid");
    let path = placed.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(patch(&buyer, &path, json!({}), None).await.status, 403);

    let seen = tag(&staff.get(&path).await);
    let mut address = kobe();
    address["city"] = "Osaka".into();
    let address = json!({ "shipping_address": address });
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
    // The event names the fields, and has none of their values.
    let admin = shop.orders.admin();
    let events = admin.get("/v1/events?kind=order.corrected").await.body["items"].clone();
    let data = json!({
        "order_id": path.rsplit('/').next(),
        "user_id": buyer.user_id(),
        "corrected": ["tracking"],
        "shipped": true,
    });
    assert_eq!(
        (&events[0]["data"], &events[0]["by"], &events[1]),
        (&data, &json!(staff.user_id()), &Value::Null)
    );
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
    let buyer = json!({
        "id": Id::<model::kinds::Customer>::from_uuid(ana.user_id().uuid()),
        "user_id": ana.user_id(), "name": "Ana", "email": "ana@shop.example",
    });
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

/// Sums follow orders through payment, refund and cancellation.
#[tokio::test(flavor = "multi_thread")]
async fn sales_and_customers_are_summed() {
    let shop = Shop::open().await;
    let (ana, mori, staff) = (
        shop.orders.customer(),
        shop.orders.customer(),
        shop.orders.staff(),
    );
    let mut paths = Vec::new();
    for buyer in [&ana, &ana, &mori] {
        paths.push(shop.confirmed(buyer, 1000).await);
    }
    for path in &paths[..2] {
        let paid = staff.post(&format!("{path}/pay"), json!({})).await;
        assert_eq!(paid.status, 200);
    }
    let part = json!({ "amount": 300, "reason": "a scratch" });
    let refunded = staff.post(&format!("{}/refund", paths[0]), part).await;
    assert_eq!(refunded.status, 200);
    let why = json!({ "reason": "no" });
    let cancelled = mori.post(&format!("{}/cancel", paths[2]), why).await;
    assert_eq!(cancelled.status, 200);
    let euros = |amount: i64| json!({ "amount": amount, "currency": "EUR" });
    let report = staff.get("/v1/reports/sales").await;
    assert_eq!(report.status, 200, "{:?}", report.body);
    let total = &report.body["totals"][0];
    assert_eq!((&total["orders"], &total["units"]), (&json!(2), &json!(2)));
    assert_eq!(
        (&total["gross"], &total["refunds"]),
        (&euros(2000), &euros(300))
    );
    let products = staff.get("/v1/reports/sales?by=product").await.body;
    assert_eq!(products["items"].as_array().unwrap().len(), 2, "{products}");
    assert_eq!(products["items"][0]["title"], "Desk lamp");
    let categories = staff.get("/v1/reports/sales?by=category").await.body;
    assert_eq!(categories["items"][0]["category"], "Lighting > Lamps");
    assert_eq!(categories["items"][0]["units"], 2);
    for wrong in [
        "by=month",
        "from=x",
        "from=2026-02-01&to=2026-02-01",
        "from=2020-01-01&to=2026-01-01",
    ] {
        let refused = staff.get(&format!("/v1/reports/sales?{wrong}")).await;
        assert_eq!(refused.status, 400, "{wrong}");
    }
    assert_eq!(ana.get("/v1/reports/sales").await.status, 403);
    customers(&shop, &ana, &mori, &staff).await;
    shop.orders.finish().await;
}

/// Ana has paid two orders, of which 3.00 were returned, and Mori has cancelled one.
async fn customers(shop: &Shop, ana: &Person, mori: &Person, staff: &Person) {
    let euros = |amount: i64| json!({ "amount": amount, "currency": "EUR" });
    assert_eq!(staff.get("/v1/customers").await.status, 503);
    let people = [
        (ana.user_id(), "Ana", "ana@shop.example"),
        (mori.user_id(), "Mori", "m@x.example"),
    ];
    play_users(shop, &people).await;
    let first = staff.get("/v1/customers?limit=1").await.body;
    assert_eq!(first["items"][0]["name"], "Mori", "the newest first");
    assert_eq!(
        (&first["items"][0]["orders"], &first["items"][0]["spent"]),
        (&json!(0), &json!([]))
    );
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = staff
        .get(&format!("/v1/customers?cursor={cursor}"))
        .await
        .body;
    let customer = &rest["items"][0];
    assert_eq!(
        (&customer["name"], &customer["orders"]),
        (&json!("Ana"), &json!(2))
    );
    assert_eq!(customer["spent"], json!([euros(1700)]));
    assert_eq!(rest["next_cursor"], Value::Null);
    let found = staff.get("/v1/customers?q=Ana").await.body;
    assert_eq!(found["items"], json!([customer]));
    let id = customer["id"].as_str().unwrap();
    assert!(id.starts_with("cust_"), "{id}");
    assert_eq!(
        staff.get(&format!("/v1/customers/{id}")).await.body,
        *customer
    );
    let unknown = id.replace("cust_", "user_");
    assert_eq!(
        staff.get(&format!("/v1/customers/{unknown}")).await.status,
        404
    );
    assert_eq!(ana.get("/v1/customers").await.status, 403);
}

/// The store as an earlier version leaves it: without indexes, sums and backfills.
#[tokio::test(flavor = "multi_thread")]
async fn orders_of_an_earlier_version_are_indexed_and_summed() {
    let mut shop = Shop::open().await;
    let (buyer, staff) = (shop.orders.customer(), shop.orders.staff());
    let lamp = shop.sell(1000, "EUR").await;
    let placed = shop.order(&buyer, items(&[(lamp, 2)]), None, None).await;
    let id: OrderId = placed.body["id"].as_str().unwrap().parse().unwrap();
    let day = id.made_at().day().0;
    let store = shop.orders.folder.path().join("orders/store");
    let forget = move || {
        let store = Store::open(&store, &Options::default()).unwrap();
        let forgotten = store.write(move |tx| {
            for name in ["index of orders", "sums of sales"] {
                tx.delete(Table::<String, ()>::new("backfills"), &name.to_owned())?;
            }
            tx.delete(Table::<_, ()>::new("orders_by_product"), &(lamp, id))?;
            tx.delete(Table::<_, ()>::new("orders_by_total"), &(2000_i64, id))?;
            let currency = "EUR".to_owned();
            tx.delete(
                Table::<_, ()>::new("sales_by_day"),
                &(day, currency.clone()),
            )?;
            tx.delete(
                Table::<_, ()>::new("sales_by_product"),
                &(day, lamp, currency),
            )
        });
        futures::executor::block_on(forgotten).unwrap();
        store.close();
    };
    shop.orders.restart_after(forget).await;
    let staff = staff.at(shop.orders.address);
    for query in [format!("product_id={lamp}"), "sort=total".to_owned()] {
        let list = staff.get(&format!("/v1/orders?{query}")).await;
        assert_eq!(listed(&list, &[id.to_string()]), [0], "{query}");
    }
    let report = staff.get("/v1/reports/sales?by=product").await.body;
    assert_eq!(
        (&report["items"][0]["units"], &report["totals"][0]["orders"]),
        (&json!(2), &json!(1))
    );
    shop.orders.finish().await;
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
        rows[0].starts_with("\u{feff}order_id,number,created_at,"),
        "{}",
        rows[0]
    );
    assert_eq!(rows.len(), 3, "a row for each line: {table}");
    assert!(
        rows[1].starts_with(&ids[1]) && rows[1].ends_with(",2,20.00,40.00,0.00,0.00"),
        "{}",
        rows[1]
    );
    assert!(
        rows[1].contains(",Mori,m@x.example,EUR,0.00,0.00,,0.00,45.00,0.00,"),
        "{}",
        rows[1]
    );
    assert!(rows[2].contains("\"=\"\"=Kettle\"\"\""), "{}", rows[2]);
    assert_eq!(read("?q=Zoe").await, "");
}
