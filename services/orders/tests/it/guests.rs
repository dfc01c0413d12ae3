//! Guests: ordering without an account, the token of an order, customers, claiming, erasure.

use futures::FutureExt;
use mesh::{AccountContact, Contact, ContactOf, PeopleQuery};
use model::{Fact, Id, kinds};
use orders::Config;
use reqwest::Method;
use serde_json::{Value, json};
use store::{Options, Read, Store, Table};
use testkit::damage::copy_folder;
use testkit::{Person, TestResponse, eventually, send};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::carts::HeldCart;
use crate::shop::{ProductId, Shop, items, kobe, newest, request_with};

/// An order of a guest and what opens it.
struct GuestOrder {
    path: String,
    token: String,
    cart: HeldCart,
}

impl GuestOrder {
    async fn placed(shop: &Shop, lamp: ProductId, email: &str) -> Self {
        let cart = cart_of(shop, lamp, email).await;
        let placed = complete(shop, &cart).await;
        assert_eq!(placed.status, 201, "{:?}", placed.body);
        let path = placed.headers["location"].to_str().unwrap().to_owned();
        let token = placed.body["order_token"].as_str().unwrap().to_owned();
        Self { path, token, cart }
    }

    async fn send(&self, by: &Person, method: Method, below: &str, body: Value) -> TestResponse {
        let path = format!("{}{below}", self.path);
        open(by, method, &path, Some(&self.token), body).await
    }
}

async fn cart_of(shop: &Shop, lamp: ProductId, email: &str) -> HeldCart {
    let guest = shop.orders.anonymous();
    let cart = HeldCart::made(&guest, &[(lamp, 1)]).await;
    let details = json!({
        "email": email, "name": "Hana Mori", "shipping_address": kobe(),
        "billing_address": kobe(), "note": "ring",
    });
    assert_eq!(cart.patch(&guest, details).await.status, 200);
    cart
}

async fn open(
    by: &Person,
    method: Method,
    path: &str,
    token: Option<&str>,
    body: Value,
) -> TestResponse {
    let token = token.map(|token| ("order-token", token));
    request_with(by, method, path, token, body).await
}

/// Completes a guest's cart and publishes the stock outcome as soon as its order is pending.
async fn complete(shop: &Shop, cart: &HeldCart) -> TestResponse {
    let (guest, staff) = (shop.orders.anonymous(), shop.orders.staff());
    let before = newest(&staff).await;
    let request = guest.request(Method::POST, &format!("{}/complete", cart.path));
    let completing = tokio::spawn(send(request.header("cart-token", &cart.token)));
    let pending = || async { newest(&staff).await != before };
    eventually("the order is pending", pending).await;
    shop.reserve(&newest(&staff).await.unwrap()).await;
    completing.await.unwrap()
}

/// Plays users: an account with this address, verified or not.
async fn play_users(shop: &Shop, account: &Person, email: &'static str, email_verified: bool) {
    let user_id = account.user_id();
    let contact = move |asked: ContactOf| {
        let contact = Contact {
            email: email.into(),
            email_verified,
            name: "Hana".into(),
            language: None,
        };
        let contact = (asked.user_id == user_id).then_some(contact);
        async move { contact }.boxed()
    };
    let people = move |asked: PeopleQuery| {
        let account = AccountContact {
            user_id,
            email: email.into(),
            name: "Hana".into(),
            registered_at: model::Time(1),
        };
        let is_asked = match &asked {
            PeopleQuery::Of(ids) => ids.contains(&user_id),
            PeopleQuery::Matching(text) => account.email.contains(&text.to_lowercase()),
            PeopleQuery::RegisteredBefore { before, .. } => {
                before.is_none_or(|before| user_id < before)
            }
        };
        let found = Vec::from_iter(is_asked.then_some(account));
        async move { Some(found) }.boxed()
    };
    let (mesh, tasks) = (&shop.orders.mesh, TaskTracker::new());
    let stop = CancellationToken::new;
    mesh.answer(&tasks, stop(), contact).await.unwrap();
    mesh.answer(&tasks, stop(), people).await.unwrap();
}

fn with_transfer() -> Config {
    let mut config = Config::default();
    config.payments.transfer.text = Some("DE02".into());
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_orders_and_opens_the_order_with_its_token() {
    let shop = Shop::open_with(with_transfer()).await;
    let (guest, lamp) = (shop.orders.anonymous(), shop.sell(1000, "EUR").await);
    let cart = HeldCart::made(&guest, &[(lamp, 1)]).await;
    let early = cart.send(&guest, Method::POST, "/complete", Value::Null);
    let early = early.await;
    let faults = early.body["errors"].as_array().unwrap().iter();
    let faults: Vec<_> = faults.map(|fault| &fault["pointer"]).collect();
    assert_eq!(
        (early.status, faults),
        (422, vec![&json!("/email"), &json!("/name")])
    );

    let order = GuestOrder::placed(&shop, lamp, "hana@example.org").await;
    let again = order
        .cart
        .send(&guest, Method::POST, "/complete", Value::Null);
    let again = again.await;
    assert_eq!(
        (again.status, &again.body["order_token"]),
        (200, &json!(order.token))
    );
    let read = order.send(&guest, Method::GET, "", Value::Null).await;
    assert_eq!(read.status, 200, "{:?}", read.body);
    assert_eq!(read.headers["cache-control"], "private, no-store");
    assert!(read.body["user_id"].is_null() && read.body["order_token"].is_null());
    assert_eq!(read.body["buyer"]["email"], "hana@example.org");

    // A stranger's request is not looked at any further.
    let cancel = format!("{}/cancel", order.path);
    let junk = open(
        &guest,
        Method::POST,
        &cancel,
        Some("x"),
        json!({ "reason": 1 }),
    )
    .await;
    assert_eq!(junk.status, 404);

    let other = GuestOrder::placed(&shop, lamp, "mika@example.org").await;
    let stranger = shop.orders.customer();
    for (who, token, status) in [
        (&guest, None, 401),
        (&guest, Some(""), 404),
        (&guest, Some(other.token.as_str()), 404),
        (&guest, Some(order.cart.token.as_str()), 404),
        (&stranger, None, 404),
        (&stranger, Some(order.token.as_str()), 200),
        (&shop.orders.staff(), None, 200),
    ] {
        for below in ["", "/history", "/payments"] {
            let path = format!("{}{below}", order.path);
            let opened = open(who, Method::GET, &path, token, Value::Null).await;
            assert_eq!(opened.status, status, "{token:?} {path}");
        }
    }

    shop.orders.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_pays_and_cancels_with_the_token() {
    let shop = Shop::open_with(with_transfer()).await;
    let (guest, lamp) = (shop.orders.anonymous(), shop.sell(1000, "EUR").await);
    let order = GuestOrder::placed(&shop, lamp, "hana@example.org").await;
    let method = json!({ "method": "transfer" });
    let attempt = order.send(&guest, Method::POST, "/payments", method).await;
    assert_eq!(
        (attempt.status, &attempt.body["instructions"]),
        (201, &json!("DE02"))
    );
    let reason = json!({ "reason": "too late" });
    for replayed in [false, true] {
        let cancel = guest.request(Method::POST, &format!("{}/cancel", order.path));
        let cancel = cancel.header("order-token", &order.token);
        let cancelled = send(cancel.header("idempotency-key", "k").json(&reason)).await;
        assert_eq!(
            (cancelled.status, &cancelled.body["status"]),
            (200, &json!("cancelled"))
        );
        assert_eq!(
            cancelled.headers.contains_key("idempotency-replayed"),
            replayed
        );
    }
    let history = order
        .send(&guest, Method::GET, "/history", Value::Null)
        .await;
    let by = |place: usize| {
        history.body["items"][place]["by"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert!(
        by(0).starts_with("cust_") && by(0) == by(2),
        "{:?}",
        history.body
    );
    for below in ["/pay", "/ship", "/notes"] {
        let refused = order.send(&guest, Method::POST, below, json!({})).await;
        assert_eq!(refused.status, 401, "{below}");
    }
    shop.orders.finish().await;
}

/// A code that each buyer can use once.
async fn once(shop: &Shop) {
    let code = json!({
        "name": "Once", "code": "ONCE", "kind": "percent", "value": 1000,
        "uses_max_per_buyer": 1,
    });
    let made = shop.orders.admin().post("/v1/promotions", code).await;
    assert_eq!(made.status, 201);
}

/// What a guest of that address pays for a lamp with that code, and the order.
async fn with_code(shop: &Shop, lamp: ProductId, email: &str) -> (i64, String) {
    let cart = cart_of(shop, lamp, email).await;
    let guest = shop.orders.anonymous();
    cart.patch(&guest, json!({ "codes": ["ONCE"] })).await;
    let placed = complete(shop, &cart).await;
    let path = placed.headers["location"].to_str().unwrap().to_owned();
    (placed.body["total"]["amount"].as_i64().unwrap(), path)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_by_buyer_counts_by_the_address() {
    let shop = Shop::open().await;
    let (account, lamp) = (shop.orders.customer(), shop.sell(1000, "EUR").await);
    play_users(&shop, &account, "ana@example.net", true).await;
    once(&shop).await;
    let mut body = items(&[(lamp, 1)]);
    body["codes"] = json!(["ONCE"]);
    let by_account = async || shop.order(&account, body.clone(), None, None).await;
    let (first, order) = with_code(&shop, lamp, "ana@example.net").await;
    assert_eq!(first, 900);
    let again = with_code(&shop, lamp, "ANA@example.net").await.0;
    assert_eq!(
        (again, by_account().await.body["total"]["amount"].as_i64()),
        (1000, Some(1000))
    );
    // The use comes back, and the account has it instead.
    let cancel = json!({ "reason": "no" });
    let cancelled = shop
        .orders
        .staff()
        .post(&format!("{order}/cancel"), cancel)
        .await;
    assert_eq!(cancelled.status, 200);
    assert_eq!(by_account().await.body["total"]["amount"], 900);
    assert_eq!(with_code(&shop, lamp, "Ana@example.net").await.0, 1000);
    assert_eq!(with_code(&shop, lamp, "mika@example.org").await.0, 900);
    shop.orders.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_one_customer() {
    let shop = Shop::open().await;
    let (staff, lamp) = (shop.orders.staff(), shop.sell(1000, "EUR").await);
    play_users(&shop, &shop.orders.customer(), "ana@example.net", true).await;
    once(&shop).await;
    for (email, total) in [
        ("hana@example.org", 900),
        ("HANA@example.org", 1000),
        ("mika@example.org", 900),
    ] {
        let (paid, path) = with_code(&shop, lamp, email).await;
        assert_eq!(paid, total, "{email}");
        let paid = staff.post(&format!("{path}/pay"), json!({})).await;
        assert_eq!(paid.status, 200);
    }

    let customers = staff.get("/v1/customers").await;
    let items = customers.body["items"].as_array().unwrap();
    let shown: Vec<_> = items
        .iter()
        .map(|item| {
            (
                item["email"].as_str().unwrap(),
                item["orders"].as_i64().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("mika@example.org", 1),
        ("HANA@example.org", 2),
        ("ana@example.net", 0),
    ];
    assert_eq!(shown, expected);
    assert_eq!(items[1]["spent"][0]["amount"], 1900);
    let id = items[1]["id"].as_str().unwrap();
    let one = staff.get(&format!("/v1/customers/{id}")).await;
    assert_eq!(one.body, items[1]);
    let page = staff.get("/v1/customers?limit=2").await;
    let cursor = page.body["next_cursor"].as_str().unwrap();
    let rest = staff
        .get(&format!("/v1/customers?limit=2&cursor={cursor}"))
        .await;
    assert_eq!(rest.body["items"], json!([items[2]]));
    for (text, count) in [
        ("hana@example.org", 2),
        ("mori", 3),
        ("mika mori", 1),
        ("nobody", 0),
    ] {
        let found = staff.get(&format!("/v1/orders?q={text}")).await;
        assert_eq!(
            found.body["items"].as_array().unwrap().len(),
            count,
            "{text}"
        );
    }
    let export = staff.request(Method::GET, "/v1/orders/export?format=ndjson");
    let export = export.send().await.unwrap().text().await.unwrap();
    assert!(export.contains("mika@example.org"), "{export}");
    shop.orders.finish().await;
}

/// Publishes that an account is erased, and waits until it places no order any more.
async fn erase(shop: &Shop, account: &Person) {
    let fact = Fact::UserErased { user_id: account.user_id() };
    shop.orders.other("users").publish("k", fact).await;
    let is_refused = || async {
        let placed = account.post("/v1/orders", items(&[(Id::new(), 1)])).await;
        placed.status == 401
    };
    eventually("the account places no order", is_refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_claims_the_orders_of_its_address() {
    for (email, is_verified, is_erased, status) in [
        ("Hana@example.org", true, false, 200),
        ("hana@example.org", false, false, 403),
        ("hana@example.net", true, false, 404),
        // Users said who it is before it was erased.
        ("hana@example.org", true, true, 404),
    ] {
        let shop = Shop::open().await;
        let (guest, account) = (shop.orders.anonymous(), shop.orders.customer());
        let lamp = shop.sell(1000, "EUR").await;
        play_users(&shop, &account, email, is_verified).await;
        let order = GuestOrder::placed(&shop, lamp, "hana@example.org").await;
        let staff = shop.orders.staff();
        assert_eq!(
            staff
                .post(&format!("{}/pay", order.path), json!({}))
                .await
                .status,
            200
        );
        if is_erased {
            erase(&shop, &account).await;
        }
        let claim = format!("{}/claim", order.path);
        let claimed = account.post(&claim, Value::Null).await;
        assert_eq!(claimed.status, status, "{:?}", claimed.body);
        let by_token = order
            .send(&guest, Method::GET, "", Value::Null)
            .await
            .status;
        let listed = account.get("/v1/orders").await.body["items"].clone();
        let listed = listed.as_array().unwrap().len();
        if status != 200 {
            assert_eq!((by_token, listed), (200, 0));
            shop.orders.finish().await;
            continue;
        }
        assert_eq!((by_token, listed), (404, 1));
        let by_cart = order
            .cart
            .send(&guest, Method::POST, "/complete", Value::Null);
        assert_eq!(by_cart.await.status, 404, "the cart opens it no more");
        assert_eq!(account.post(&claim, Value::Null).await.status, 200);
        let history = account.get(&format!("{}/history", order.path)).await;
        assert_eq!(
            history.body["items"][3]["by"],
            account.user_id().to_string()
        );
        let customers = staff.get("/v1/customers").await.body["items"].clone();
        assert_eq!(
            customers.as_array().unwrap().len(),
            1,
            "the guest is the account now"
        );
        assert_eq!(customers[0]["orders"], 1);
        shop.orders.finish().await;
    }
}

/// A shipped order of an erased buyer is not brought back, since nothing says where it would go.
async fn cannot_be_undone(admin: &Person, order: &str) {
    let why = || json!({ "reason": "a wrong click" });
    for (command, body, expected) in [
        ("undo", why(), "409 buyer-erased"),
        ("deliver", json!({}), "200 delivered"),
        ("undo", why(), "200 shipped"),
        ("undo", why(), "409 buyer-erased"),
    ] {
        let done = admin.post(&format!("{order}/{command}"), body).await;
        let what = match done.status {
            200 => done.body["status"].as_str().unwrap(),
            _ => done.problem(),
        };
        assert_eq!(format!("{} {what}", done.status), expected, "{command}");
    }
}

/// The reasons in the history of an order.
async fn reasons(admin: &Person, order: &str) -> Vec<Value> {
    let history = admin.get(&format!("{order}/history")).await.body;
    let entries = history["items"].as_array().unwrap().clone();
    let reasons = entries.into_iter().map(|entry| entry["reason"].clone());
    reasons.filter(|reason| !reason.is_null()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_order_of_an_erased_guest_keeps_its_address_until_it_is_shipped() {
    let shop = Shop::open().await;
    let (admin, lamp) = (shop.orders.admin(), shop.sell(1000, "EUR").await);
    let account = shop.orders.customer();
    play_users(&shop, &account, "ana@example.net", true).await;
    let done = GuestOrder::placed(&shop, lamp, "hana@example.org").await;
    let reason = json!({ "reason": "no" });
    let guest = shop.orders.anonymous();
    assert_eq!(
        done.send(&guest, Method::POST, "/cancel", reason)
            .await
            .status,
        200
    );
    let order = GuestOrder::placed(&shop, lamp, "hana@example.org").await;
    let id = admin.get(&order.path).await.body["buyer"]["id"].clone();
    let customer = format!("/v1/customers/{}", id.as_str().unwrap());
    let account_id = Id::<kinds::Customer>::from_uuid(account.user_id().uuid());
    for (who, path, status) in [
        (&shop.orders.staff(), customer.as_str(), 403),
        (&admin, &format!("/v1/customers/{account_id}"), 409),
        (
            &admin,
            &format!("/v1/customers/{}", Id::<kinds::Customer>::new()),
            404,
        ),
        (&admin, &customer, 204),
        (&admin, &customer, 404),
    ] {
        let erased = send(who.request(Method::DELETE, path)).await;
        assert_eq!(erased.status, status, "{path}");
    }
    let is_erased = |path: String| {
        let admin = &admin;
        async move {
            let order = admin.get(&path).await.body;
            order["buyer"].is_null() && order["billing_address"].is_null()
        }
    };
    eventually("both orders are erased", || async {
        is_erased(done.path.clone()).await && is_erased(order.path.clone()).await
    })
    .await;
    assert!(admin.get(&done.path).await.body["shipping_address"].is_null());
    assert_eq!(
        order.cart.read(&guest).await.status,
        404,
        "the cart has the address, too"
    );
    let kept = admin.get(&order.path).await.body;
    assert_eq!(
        (&kept["shipping_address"], &kept["note"]),
        (&kobe(), &json!("ring"))
    );
    // The log shows an event once it is durable.
    let told = async || admin.get("/v1/events?kind=order.buyer_erased").await.body["items"].clone();
    eventually("staff are told", || async { told().await != json!([]) }).await;
    let told = told().await;
    assert_eq!(told[0]["data"]["order_id"], kept["id"]);
    assert!(told[1].is_null(), "{told}");
    for command in ["pay", "ship"] {
        let done = admin
            .post(&format!("{}/{command}", order.path), json!({}))
            .await;
        assert_eq!(done.status, 200);
    }
    let shipped = admin.get(&order.path).await.body;
    assert!(shipped["shipping_address"].is_null() && shipped["note"].is_null());
    cannot_be_undone(&admin, &order.path).await;
    assert_eq!(reasons(&admin, &done.path).await, [Value::Null; 0]);
    assert_eq!(reasons(&admin, &order.path).await, ["a wrong click"]);
    shop.orders.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_order_of_an_erased_account_keeps_its_address_until_it_is_over() {
    let shop = Shop::open().await;
    let (admin, lamp) = (shop.orders.admin(), shop.sell(1000, "EUR").await);
    let account = shop.orders.customer();
    let mut body = items(&[(lamp, 1)]);
    body["shipping_address"] = kobe();
    let placed = shop.order(&account, body, None, None).await;
    let path = placed.headers["location"].to_str().unwrap().to_owned();
    let user_id = account.user_id();
    let fact = Fact::UserErased { user_id };
    shop.orders.other("users").publish("k", fact).await;
    eventually("staff are told", || async {
        let told = admin.get("/v1/events?kind=order.buyer_erased").await.body;
        told["items"].as_array().unwrap().len() == 1
    })
    .await;
    assert_eq!(admin.get(&path).await.body["shipping_address"], kobe());
    let reason = json!({ "reason": "no" });
    assert_eq!(
        admin.post(&format!("{path}/cancel"), reason).await.status,
        200
    );
    assert!(admin.get(&path).await.body["shipping_address"].is_null());
    shop.orders.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_guest_stays_erased() {
    let mut shop = Shop::open().await;
    let lamp = shop.sell(1000, "EUR").await;
    let hana = GuestOrder::placed(&shop, lamp, "hana@example.org").await;
    let mika = GuestOrder::placed(&shop, lamp, "mika@example.org").await;
    let buyer = |order: &Value| order["buyer"]["id"].as_str().unwrap().to_owned();
    let id = buyer(&shop.orders.admin().get(&hana.path).await.body);
    let store = shop.orders.folder.path().join("orders/store");
    let backup = shop.orders.folder.path().join("backup");
    shop.orders
        .restart_after(|| copy_folder(&store, &backup).unwrap())
        .await;
    let account = shop.orders.customer();
    play_users(&shop, &account, "ana@example.net", true).await;
    let erase = shop.orders.admin();
    let erase = erase.request(Method::DELETE, &format!("/v1/customers/{id}"));
    assert_eq!(send(erase).await.status, 204);
    let list = shop.orders.folder.path().join("orders/erasures");
    assert!(std::fs::read_to_string(&list).unwrap().starts_with(&id));

    let put_back = || {
        std::fs::remove_dir_all(&store).unwrap();
        copy_folder(&backup, &store).unwrap();
    };
    shop.orders.restart_after(put_back).await;
    let admin = shop.orders.admin();
    eventually("the order is erased again", || async {
        admin.get(&hana.path).await.body["buyer"].is_null()
    })
    .await;
    let found = admin.get("/v1/orders?q=hana@example.org").await;
    assert_eq!(found.body["items"], json!([]));
    assert_ne!(
        buyer(&admin.get(&mika.path).await.body),
        id,
        "only who was erased"
    );
    shop.orders.finish().await;
}

/// The faults of the comparisons of orders with their indexes, and of guests.
async fn faults(shop: &Shop) -> [u64; 2] {
    let socket = shop.orders.folder.path().join("orders/control.sock");
    let client = reqwest::Client::builder().unix_socket(socket).build();
    let request = client.unwrap().get("http://control/control/check");
    let findings: Value = request.send().await.unwrap().json().await.unwrap();
    ["orders and their indexes", "guests"].map(|name| {
        let all = findings.as_array().unwrap();
        let found = all.iter().find(|one| one["what"] == name).unwrap();
        assert!(found["compared"].as_u64() >= Some(1), "{found}");
        found["faults"].as_u64().unwrap()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_finds_a_guest_that_is_not_there() {
    let mut shop = Shop::open().await;
    let lamp = shop.sell(1000, "EUR").await;
    for email in ["hana@example.org", "mika@example.org"] {
        GuestOrder::placed(&shop, lamp, email).await;
    }
    assert_eq!(faults(&shop).await, [0, 0]);
    let room = shop.orders.folder.path().join("orders/store");
    let tamper = || {
        let store = Store::open(&room, &Options::default()).unwrap();
        let guests: Table<Id<kinds::Customer>, GuestRow> = Table::new("guests");
        let id = store.scan(guests.all()).unwrap().next().unwrap().unwrap().0;
        let write = store.write(move |tx| tx.delete(guests, &id));
        let runtime = tokio::runtime::Handle::current();
        let written: Result<(), store::Error> =
            tokio::task::block_in_place(|| runtime.block_on(write));
        written.unwrap();
        store.close();
    };
    shop.orders.restart_after(tamper).await;
    // Its order has no guest, and its address leads to none.
    assert_eq!(faults(&shop).await, [1, 1]);
    shop.orders.finish().await;
}

/// A guest as the table has it.
#[derive(serde::Serialize, serde::Deserialize)]
struct GuestRow {
    email: String,
    name: String,
}

impl store::Record for GuestRow {}
