//! Carts over HTTP: who may open one, what they cost, what does not fit, how they end.

use model::{Fact, Id, Shortage};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Person, TestResponse, eventually, send};

use crate::shop::{ProductId, Shop, items, kobe, newest, request_with};

/// A cart and its token.
pub(crate) struct HeldCart {
    pub(crate) path: String,
    pub(crate) token: String,
}

impl HeldCart {
    pub(crate) async fn made(by: &Person, wanted: &[(ProductId, u32)]) -> Self {
        let made = by.post("/v1/carts", items(wanted)).await;
        assert_eq!(made.status, 201, "{:?}", made.body);
        assert_eq!(made.headers["cache-control"], "private, no-store");
        let path = made.headers["location"].to_str().unwrap().to_owned();
        assert_eq!(
            path,
            format!("/v1/carts/{}", made.body["id"].as_str().unwrap())
        );
        let token = made.body["token"].as_str().unwrap().to_owned();
        assert_eq!(token.len(), 43, "256 bits in base 64");
        Self { path, token }
    }

    pub(crate) async fn send(
        &self,
        by: &Person,
        method: Method,
        below: &str,
        body: Value,
    ) -> TestResponse {
        request(
            by,
            method,
            &format!("{}{below}", self.path),
            Some(&self.token),
            body,
        )
        .await
    }

    pub(crate) async fn read(&self, by: &Person) -> TestResponse {
        self.send(by, Method::GET, "", Value::Null).await
    }

    pub(crate) async fn patch(&self, by: &Person, body: Value) -> TestResponse {
        self.send(by, Method::PATCH, "", body).await
    }
}

async fn request(
    by: &Person,
    method: Method,
    path: &str,
    token: Option<&str>,
    body: Value,
) -> TestResponse {
    let token = token.map(|token| ("cart-token", token));
    request_with(by, method, path, token, body).await
}

fn quantities(cart: &TestResponse) -> Vec<u64> {
    let items = cart.body["items"].as_array().unwrap().iter();
    items
        .map(|item| item["quantity"].as_u64().unwrap())
        .collect()
}

/// Carts of a guest, of an account, and one that an account claimed, with who made them.
struct Holders {
    guest: Person,
    owner: Person,
    claimer: Person,
    guests: HeldCart,
    owned: HeldCart,
    claimed: HeldCart,
}

impl Holders {
    async fn of(shop: &Shop, lamp: ProductId) -> Self {
        let (guest, owner) = (shop.orders.anonymous(), shop.orders.customer());
        let claimer = shop.orders.customer();
        let claimed = HeldCart::made(&guest, &[(lamp, 1)]).await;
        let claim = claimed.send(&claimer, Method::POST, "/claim", Value::Null);
        assert_eq!(claim.await.status, 200);
        Self {
            guests: HeldCart::made(&guest, &[(lamp, 1)]).await,
            owned: HeldCart::made(&owner, &[(lamp, 1)]).await,
            guest,
            owner,
            claimer,
            claimed,
        }
    }
}

/// Another token than this one.
fn wrong(token: &str) -> String {
    let other = if token.starts_with('A') { "B" } else { "A" };
    format!("{other}{}", &token[1..])
}

/// A request to every route of a cart that anyone may call: method, path below it, body.
fn calls(lamp: ProductId) -> [(Method, String, Value); 6] {
    let item = format!("/items/{lamp}");
    let add = json!({ "product_id": lamp, "quantity": 1 });
    let below = |path: &str| path.to_owned();
    [
        (Method::GET, below(""), Value::Null),
        (Method::PATCH, below(""), json!({ "note": "ring" })),
        (Method::POST, below("/items"), add),
        (Method::PATCH, item.clone(), json!({ "quantity": 2 })),
        (Method::GET, below("/shipping-options"), Value::Null),
        (Method::DELETE, item, Value::Null),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_opens_for_its_token_and_its_owner_alone() {
    let shop = Shop::open().await;
    let lamp = shop.sell(1000, "EUR").await;
    let Holders { guest, owner, claimer, guests, owned, claimed } = Holders::of(&shop, lamp).await;
    let other = shop.orders.customer();
    let unknown = format!("/v1/carts/{}", Id::<model::kinds::Cart>::new());
    let malformed = "/v1/carts/cart_x".to_owned();
    let (held, wrong) = (Some(guests.token.as_str()), wrong(&guests.token));
    let wrong = Some(wrong.as_str());
    for (path, who, token, status) in [
        (&guests.path, &guest, held, 200),
        (&guests.path, &other, held, 200),
        (&guests.path, &guest, None, 404),
        (&guests.path, &guest, wrong, 404),
        (&guests.path, &guest, Some("x"), 404),
        (&guests.path, &guest, Some(""), 404),
        (&guests.path, &other, None, 404),
        (&guests.path, &guest, Some(&owned.token), 404),
        (&owned.path, &owner, None, 200),
        (&owned.path, &owner, wrong, 200),
        (&owned.path, &guest, Some(&owned.token), 200),
        (&owned.path, &other, None, 404),
        (&owned.path, &shop.orders.admin(), None, 404),
        (&owned.path, &guest, None, 404),
        // Claiming ends the token.
        (&claimed.path, &claimer, None, 200),
        (&claimed.path, &guest, Some(&claimed.token), 404),
        (&unknown, &guest, held, 404),
        (&unknown, &owner, None, 404),
        (&malformed, &guest, held, 404),
    ] {
        for (method, below, body) in calls(lamp) {
            let path = format!("{path}{below}");
            let response = request(who, method.clone(), &path, token, body).await;
            assert_eq!(response.status, status, "{method} {path}");
            assert_eq!(response.headers["cache-control"], "private, no-store");
            assert!(response.body["token"].is_null());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_needs_a_login_and_the_token() {
    let shop = Shop::open().await;
    let lamp = shop.sell(1000, "EUR").await;
    let Holders { guest, claimer, guests, owned, claimed, .. } = Holders::of(&shop, lamp).await;
    let other = shop.orders.customer();
    let wrong = wrong(&guests.token);
    for (cart, who, token, status) in [
        (&guests, &guest, Some(&guests.token), 401),
        (&guests, &other, None, 404),
        (&guests, &other, Some(&wrong), 404),
        (&owned, &other, Some(&owned.token), 404),
        (&claimed, &other, Some(&claimed.token), 404),
        // A repeat whose answer was lost.
        (&claimed, &claimer, Some(&claimed.token), 200),
    ] {
        let path = format!("{}/claim", cart.path);
        let token = token.map(String::as_str);
        let response = request(who, Method::POST, &path, token, Value::Null).await;
        assert_eq!(response.status, status, "{path} {:?}", response.body);
    }
    // Two tokens are none.
    let twice = guest.request(Method::GET, &guests.path);
    let twice = twice.header("cart-token", &guests.token);
    let twice = send(twice.header("cart-token", &guests.token)).await;
    assert_eq!(twice.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_is_priced_at_every_read() {
    let shop = Shop::open().await;
    let (admin, guest) = (shop.orders.admin(), shop.orders.anonymous());
    let euros = |amount: i64| json!({ "amount": amount, "currency": "EUR" });
    let (lamp, chair) = (shop.sell(1000, "EUR").await, shop.sell(500, "EUR").await);
    let cart = HeldCart::made(&guest, &[(lamp, 2)]).await;
    let add = json!({ "product_id": chair, "quantity": 1 });
    let more = cart.send(&guest, Method::POST, "/items", add.clone()).await;
    assert_eq!(more.body["totals"]["total"], euros(2500));
    let pointers: Vec<_> = more.body["problems"].as_array().unwrap().iter().collect();
    let pointers: Vec<_> = pointers.iter().map(|problem| &problem["pointer"]).collect();
    assert_eq!(pointers, ["/email", "/name"], "of who has no account");
    let more = cart.send(&guest, Method::POST, "/items", add).await;
    assert_eq!(quantities(&more), [2, 2]);

    let rate = json!({ "country": "JP", "rate_bp": 1000, "name": "VAT 10 %" });
    let promotion = json!({ "name": "Summer", "code": "SONNE", "kind": "percent", "value": 1000 });
    let bands = json!([{ "price": euros(500) }]);
    let method = json!({ "name": "Parcel", "kind": "flat", "countries": ["JP"], "bands": bands });
    assert_eq!(admin.post("/v1/tax-rates", rate).await.status, 201);
    assert_eq!(admin.post("/v1/promotions", promotion).await.status, 201);
    let method = admin.post("/v1/shipping-methods", method).await;
    let read = cart.read(&guest).await;
    assert_eq!(read.body["problems"][2]["pointer"], "/shipping_method_id");

    let options = cart
        .send(&guest, Method::GET, "/shipping-options", Value::Null)
        .await;
    assert_eq!(
        options.body["items"],
        json!([]),
        "none goes to the shop's own country"
    );
    let details = json!({
        "email": "hana@example.org", "name": "Hana", "shipping_address": kobe(),
        "shipping_method_id": method.body["id"], "codes": ["sonne", "REGEN"],
    });
    let read = cart.patch(&guest, details).await;
    assert_eq!(read.status, 200, "{:?}", read.body);
    let options = cart
        .send(&guest, Method::GET, "/shipping-options", Value::Null)
        .await;
    let option = json!({ "id": method.body["id"], "name": "Parcel", "price": euros(500) });
    assert_eq!(options.body["items"], json!([option]));
    let totals = json!({
        "items": euros(3000), "discount": euros(300), "shipping": euros(500),
        "tax": euros(291), "total": euros(3200),
    });
    assert_eq!(read.body["totals"], totals);
    assert_eq!(read.body["tax_lines"][0]["net"], euros(2909));
    assert_eq!(read.body["items"][0]["discount"], euros(200));
    assert_eq!(read.body["items"][0]["tax_rate_bp"], 1000);
    assert_eq!(
        read.body["codes"][0],
        json!({ "code": "sonne", "applied": true })
    );
    assert_eq!(read.body["codes"][1]["applied"], false);
    assert!(read.body["codes"][1]["reason"].is_string());
    assert_eq!(
        (&read.body["problems"], &read.body["prices_include_tax"]),
        (&json!([]), &json!(true))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_shows_at_the_next_read() {
    let mut shop = Shop::open().await;
    let guest = shop.orders.anonymous();
    let (lamp, chair) = (shop.sell(1000, "EUR").await, shop.sell(500, "EUR").await);
    let cart = HeldCart::made(&guest, &[(lamp, 2), (chair, 2)]).await;
    let details = json!({
        "email": "hana@example.org", "shipping_address": kobe(), "codes": ["SONNE"],
    });
    assert_eq!(cart.patch(&guest, details).await.status, 200);
    shop.products
        .publish(
            &chair.to_string(),
            Fact::ProductDeleted { product_id: chair },
        )
        .await;
    shop.orders.restart().await;
    let guest = shop.orders.anonymous();
    let is_noticed = || async { !cart.read(&guest).await.body["items"][1]["problem"].is_null() };
    eventually("the deletion is noticed", is_noticed).await;
    let read = cart.read(&guest).await;
    assert_eq!(
        read.body["items"][1],
        json!({ "product_id": chair, "quantity": 2, "problem": "not_for_sale" })
    );
    assert_eq!(read.body["problems"][0]["pointer"], "/items/1");
    assert_eq!(read.body["totals"]["items"]["amount"], 2000);

    let removed = json!({ "shipping_address": null, "codes": null });
    let read = cart.patch(&guest, removed).await;
    assert!(read.body["shipping_address"].is_null() && read.body["codes"] == json!([]));
    assert_eq!(read.body["email"], "hana@example.org");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sold_stays_and_is_named() {
    let shop = Shop::open().await;
    let guest = shop.orders.anonymous();
    let cart = HeldCart::made(&guest, &[]).await;
    let read = cart.read(&guest).await;
    assert!(read.body["totals"].is_null());
    assert_eq!(read.body["problems"][0]["pointer"], "/items");
    let mut wanted: Vec<(ProductId, u32)> = vec![
        (Id::new(), 1),
        (shop.sell(100, "EUR").await, 1),
        (shop.sell(100, "JPY").await, 1),
    ];
    // Ten times 10¹⁵ minor units are more than the 2⁵³ − 1 of a total, and nine times are not.
    for place in 0..10 {
        wanted.push((shop.sell(1_000_000_000_000 - place, "EUR").await, 1000));
    }
    for (product_id, quantity) in wanted {
        let add = json!({ "product_id": product_id, "quantity": quantity });
        let added = cart.send(&guest, Method::POST, "/items", add).await;
        assert_eq!(added.status, 200, "{:?}", added.body);
    }
    let read = cart.read(&guest).await;
    let problems = read.body["items"].as_array().unwrap().iter();
    let problems: Vec<_> = problems.map(|line| line["problem"].as_str()).collect();
    let dearest = Some("too_large");
    assert_eq!(
        problems[..4],
        [Some("not_for_sale"), None, Some("other_currency"), dearest]
    );
    assert_eq!(problems[4..], [None; 9]);
    let pointers = read.body["problems"].as_array().unwrap().iter();
    let pointers: Vec<_> = pointers
        .map(|problem| problem["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(
        pointers,
        ["/items/0", "/items/2", "/items/3", "/email", "/name"]
    );
}

/// Requests to a cart with one of each of these: method, path below it, body, and the status with
/// the pointer of the first fault.
fn beyond_bounds(ids: &[ProductId]) -> Vec<(Method, String, Value, u16, &'static str)> {
    let item = |id: ProductId, quantity: u32| json!({ "product_id": id, "quantity": quantity });
    let (post, patch) = (Method::POST, Method::PATCH);
    let added = format!("/items/{}", ids[0]);
    let absent = format!("/items/{}", ProductId::new());
    let units = |quantity: u32| json!({ "quantity": quantity });
    let no_method = json!({ "shipping_method_id": "ship_01h455vb4pex5vsknk084sn02q" });
    let cases = [
        (&post, "/items", item(Id::new(), 1), 422, "/product_id"),
        (&post, "/items", item(ids[0], 1000), 422, "/quantity"),
        (&post, "/items", item(ids[0], 0), 422, "/quantity"),
        (&post, "/items", units(1), 422, "/product_id"),
        (&post, "/items", item(ids[0], 999), 200, ""),
        (&patch, &added, units(1001), 422, "/quantity"),
        (&patch, &added, json!({}), 422, "/quantity"),
        (&patch, &added, units(1000), 200, ""),
        (&patch, &absent, units(1), 404, ""),
        (&patch, &absent, units(0), 200, ""),
        (&Method::DELETE, &absent, Value::Null, 200, ""),
        (&patch, "", json!({ "codes": vec!["x"; 11] }), 422, "/codes"),
        (
            &patch,
            "",
            json!({ "note": "x".repeat(1001) }),
            422,
            "/note",
        ),
        (&patch, "", json!({ "email": "x" }), 422, "/email"),
        (&patch, "", no_method, 422, "/shipping_method_id"),
        (&patch, "", json!({ "items": [] }), 400, ""),
        (&patch, &added, units(0), 200, ""),
    ];
    let cases = cases.into_iter();
    let owned = cases.map(|(method, below, body, status, pointer)| {
        (method.clone(), below.to_owned(), body, status, pointer)
    });
    owned.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_has_bounds() {
    let shop = Shop::open().await;
    let guest = shop.orders.anonymous();
    let ids: Vec<ProductId> = (0..100).map(|_| Id::new()).collect();
    let wanted: Vec<_> = ids.iter().map(|id| (*id, 1)).collect();
    let cart = HeldCart::made(&guest, &wanted).await;
    for (method, below, body, status, pointer) in beyond_bounds(&ids) {
        let name = format!("{method} {below} {body}");
        let response = cart.send(&guest, method, &below, body).await;
        assert_eq!(response.status, status, "{name} {:?}", response.body);
        if !pointer.is_empty() {
            assert_eq!(response.body["errors"][0]["pointer"], pointer, "{name}");
        }
    }
    assert_eq!(quantities(&cart.read(&guest).await), [1; 99]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_makes_a_hundred_carts_an_hour() {
    let shop = Shop::open().await;
    let guest = shop.orders.anonymous();
    let make = |address: &'static str| {
        let request = guest.request(Method::POST, "/v1/carts");
        send(request.header("x-forwarded-for", address))
    };
    for _ in 0..100 {
        assert_eq!(make("203.0.113.7").await.status, 201);
    }
    let refused = make("203.0.113.7").await;
    assert_eq!(
        (refused.status, refused.problem()),
        (429, "too-many-attempts")
    );
    assert!(refused.headers.contains_key("retry-after"));
    // Others, and a front end on this host, are not concerned.
    assert_eq!(make("203.0.113.8").await.status, 201);
    assert_eq!(guest.post("/v1/carts", json!({})).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_one_cart_and_takes_it_along() {
    let shop = Shop::open().await;
    let (guest, buyer) = (shop.orders.anonymous(), shop.orders.customer());
    let (lamp, chair) = (shop.sell(1000, "EUR").await, shop.sell(500, "EUR").await);
    let earlier = HeldCart::made(&buyer, &[(lamp, 400), (chair, 1)]).await;
    earlier
        .patch(&buyer, json!({ "note": "ring", "name": "Hana" }))
        .await;
    let cart = HeldCart::made(&guest, &[(lamp, 999)]).await;
    cart.patch(&guest, json!({ "name": "Hana Mori" })).await;
    let claimed = cart.send(&buyer, Method::POST, "/claim", Value::Null).await;
    assert_eq!(claimed.status, 200, "{:?}", claimed.body);
    assert_eq!(quantities(&claimed), [1000, 1]);
    assert_eq!(
        claimed.body["left_out"],
        json!([{ "product_id": lamp, "quantity": 399 }])
    );
    assert_eq!(
        (&claimed.body["note"], &claimed.body["name"]),
        (&json!("ring"), &json!("Hana Mori"))
    );
    assert_eq!(earlier.read(&buyer).await.status, 404);
    assert_eq!(buyer.get(&cart.path).await.status, 200);
    let again = cart.send(&buyer, Method::POST, "/claim", Value::Null).await;
    assert_eq!((again.status, quantities(&again)), (200, vec![1000, 1]));
    assert!(again.body["left_out"].is_null());

    // On another device a new cart goes on with the one there is.
    let next = HeldCart::made(&buyer, &[]).await;
    assert_eq!(buyer.get(&cart.path).await.status, 404);
    assert_eq!(quantities(&next.read(&buyer).await), [1000, 1]);

    // It is erased with the account.
    let user_id = buyer.user_id();
    let users = shop.orders.other("users");
    users
        .publish(&user_id.to_string(), Fact::UserErased { user_id })
        .await;
    let is_gone = || async { next.read(&guest).await.status == 404 };
    eventually("the cart is erased", is_gone).await;
}

/// Completes a cart and publishes the stock outcome as soon as its order is pending.
async fn complete(
    shop: &Shop,
    cart: &HeldCart,
    buyer: &Person,
    shortages: Vec<Shortage>,
) -> TestResponse {
    let before = newest(buyer).await;
    let path = format!("{}/complete", cart.path);
    let completing = tokio::spawn(send(buyer.request(Method::POST, &path)));
    let pending = || async { newest(buyer).await != before };
    eventually("the order is pending", pending).await;
    let order_id = newest(buyer).await.unwrap().parse().unwrap();
    let fact = match shortages.is_empty() {
        true => Fact::StockReserved { order_id },
        false => Fact::StockRefused { order_id, shortages },
    };
    shop.products.publish("k", fact).await;
    completing.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_owner_completes_a_cart() {
    let shop = Shop::open().await;
    let (guest, buyer) = (shop.orders.anonymous(), shop.orders.customer());
    let lamp = shop.sell(1000, "EUR").await;
    let cart = HeldCart::made(&guest, &[(lamp, 2)]).await;
    let total = |amount: i64| json!({ "expected_total": amount });
    for (who, status, problem) in [(&guest, 422, "invalid"), (&buyer, 409, "cart-not-claimed")] {
        let refused = cart.send(who, Method::POST, "/complete", total(2000)).await;
        assert_eq!((refused.status, refused.problem()), (status, problem));
    }
    assert_eq!(
        cart.send(&buyer, Method::POST, "/claim", Value::Null)
            .await
            .status,
        200
    );
    let dearer = cart
        .send(&buyer, Method::POST, "/complete", total(1999))
        .await;
    assert_eq!((dearer.status, dearer.problem()), (409, "total-changed"));
    assert_eq!(dearer.body["cart"], cart.read(&buyer).await.body);
    assert_eq!(dearer.body["cart"]["totals"]["total"], dearer.body["total"]);
    let stranger = shop.orders.customer();
    assert_eq!(
        cart.send(&stranger, Method::POST, "/complete", total(2000))
            .await
            .status,
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_that_stock_refused_is_open_again() {
    let shop = Shop::open().await;
    let buyer = shop.orders.customer();
    let lamp = shop.sell(1000, "EUR").await;
    let cart = HeldCart::made(&buyer, &[(lamp, 2)]).await;
    let shortage = Shortage { product_id: lamp, requested: 2, available: 1 };
    let refused = complete(&shop, &cart, &buyer, vec![shortage]).await;
    assert_eq!((refused.status, refused.problem()), (409, "out-of-stock"));
    assert!(cart.read(&buyer).await.body["order_id"].is_null());
    let item = format!("/items/{lamp}");
    let fewer = cart
        .send(&buyer, Method::PATCH, &item, json!({ "quantity": 1 }))
        .await;
    assert_eq!(fewer.status, 200);
    let placed = complete(&shop, &cart, &buyer, Vec::new()).await;
    assert_eq!(
        (placed.status, &placed.body["total"]["amount"]),
        (201, &json!(1000))
    );
}

/// A key whose cart is gone is answered as before: the cart was emptied, and then taken in by
/// the next one.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_cart_is_refused_for_good_under_its_key() {
    let shop = Shop::open().await;
    let buyer = shop.orders.customer();
    let lamp = shop.sell(1000, "EUR").await;
    let cart = HeldCart::made(&buyer, &[(lamp, 2)]).await;
    let complete = || {
        let request = buyer.request(Method::POST, &format!("{}/complete", cart.path));
        send(request.header("idempotency-key", "once"))
    };
    let completing = tokio::spawn(complete());
    let pending = || async { newest(&buyer).await.is_some() };
    eventually("the order is pending", pending).await;
    let order_id = newest(&buyer).await.unwrap().parse().unwrap();
    let shortages = vec![Shortage { product_id: lamp, requested: 2, available: 1 }];
    let refused = Fact::StockRefused { order_id, shortages };
    shop.products.publish("k", refused).await;
    let refused = completing.await.unwrap();
    assert_eq!((refused.status, refused.problem()), (409, "out-of-stock"));
    let again = async |state: &str| {
        let again = complete().await;
        assert_eq!((again.status, &again.body), (409, &refused.body), "{state}");
        assert_eq!(again.headers["idempotency-replayed"], "true");
    };
    again("as it was").await;
    let item = format!("/items/{lamp}");
    cart.send(&buyer, Method::DELETE, &item, Value::Null).await;
    again("empty").await;
    HeldCart::made(&buyer, &[]).await;
    assert_eq!(cart.read(&buyer).await.status, 404);
    again("gone").await;
    shop.orders.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_becomes_one_order() {
    let shop = Shop::open().await;
    let buyer = shop.orders.customer();
    let lamp = shop.sell(1000, "EUR").await;
    let cart = HeldCart::made(&buyer, &[(lamp, 1)]).await;
    let details = json!({ "note": "ring", "shipping_address": kobe() });
    cart.patch(&buyer, details).await;
    let item = format!("/items/{lamp}");
    let placed = complete(&shop, &cart, &buyer, Vec::new()).await;
    assert_eq!(placed.status, 201, "{:?}", placed.body);
    assert_eq!(placed.body["total"]["amount"], 1000);
    assert_eq!(
        (&placed.body["note"], &placed.body["shipping_address"]),
        (&json!("ring"), &kobe())
    );
    let id = &placed.body["id"];
    assert_eq!(&cart.read(&buyer).await.body["order_id"], id);
    let late = cart
        .send(&buyer, Method::PATCH, &item, json!({ "quantity": 3 }))
        .await;
    assert_eq!(
        (late.status, late.problem(), &late.body["order_id"]),
        (409, "cart-completed", id)
    );

    // The next cart is empty, and the one before still knows its order.
    let next = HeldCart::made(&buyer, &[]).await;
    assert_eq!(quantities(&next.read(&buyer).await), [0; 0]);
    let empty = next
        .send(&buyer, Method::POST, "/complete", Value::Null)
        .await;
    assert_eq!(
        (empty.status, &empty.body["errors"][0]["pointer"]),
        (422, &json!("/items"))
    );
    let cancelled = json!({ "reason": "no" });
    let order = placed.headers["location"].to_str().unwrap();
    shop.orders
        .staff()
        .post(&format!("{order}/cancel"), cancelled)
        .await;
    let again = cart
        .send(&buyer, Method::POST, "/complete", Value::Null)
        .await;
    assert_eq!((again.status, &again.body["id"]), (200, id));
    assert_eq!(again.body["status"], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_complete_a_cart_it_becomes_one_order() {
    let shop = Shop::open().await;
    let buyer = shop.orders.customer();
    let lamp = shop.sell(1000, "EUR").await;
    let cart = HeldCart::made(&buyer, &[(lamp, 1)]).await;
    let path = format!("{}/complete", cart.path);
    let requests = (0..64).map(|_| tokio::spawn(send(buyer.request(Method::POST, &path))));
    let requests: Vec<_> = requests.collect();
    let placed = || async { newest(&buyer).await.is_some() };
    eventually("the order is pending", placed).await;
    let order = newest(&buyer).await.unwrap();
    shop.reserve(&order).await;
    for request in requests {
        let response = request.await.unwrap();
        assert!([200, 201].contains(&response.status), "{:?}", response.body);
        assert_eq!(response.body["id"], order.as_str());
    }
    let orders = buyer.get("/v1/orders").await;
    assert_eq!(orders.body["items"].as_array().unwrap().len(), 1);
}
