//! Shipping methods, tax rates and promotions over HTTP: who may, which version, what is taken.

use reqwest::Method;
use reqwest::header::{ETAG, IF_MATCH, IF_NONE_MATCH, LOCATION};
use serde_json::{Value, json};
use testkit::{Person, TestResponse, send};

use crate::shop::Shop;

fn euros(amount: i64) -> Value {
    json!({ "amount": amount, "currency": "EUR" })
}

fn method() -> Value {
    let bands = json!([{ "price": euros(490) }]);
    json!({ "name": "Parcel", "kind": "flat", "countries": ["*"], "bands": bands })
}

fn rate() -> Value {
    json!({ "country": "DE", "rate_bp": 1900, "name": "VAT 19 %" })
}

fn promotion() -> Value {
    json!({ "name": "Summer", "code": "SONNE", "kind": "percent", "value": 1000 })
}

async fn write(
    who: &Person,
    method: Method,
    path: &str,
    body: &Value,
    version: Option<&str>,
) -> TestResponse {
    let mut request = who.request(method, path);
    if !body.is_null() {
        request = request.json(body);
    }
    if let Some(version) = version {
        request = request.header(IF_MATCH, version);
    }
    send(request).await
}

/// The lists, a body for each, and whether everybody reads it.
fn nouns() -> [(&'static str, Value, bool); 3] {
    [
        ("/v1/shipping-methods", method(), true),
        ("/v1/tax-rates", rate(), true),
        ("/v1/promotions", promotion(), false),
    ]
}

/// The body with these members set.
fn with(body: &Value, changes: &Value) -> Value {
    let mut body = body.clone();
    let changes = changes.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(changes);
    body
}

fn tag(response: &TestResponse) -> String {
    response.headers[ETAG].to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_write_terms_and_everybody_reads_what_is_public() {
    let shop = Shop::open().await;
    let (admin, staff) = (shop.orders.admin(), shop.orders.staff());
    let (buyer, anyone) = (shop.orders.customer(), shop.orders.anonymous());
    for (list, body, is_public) in nouns() {
        let made = admin.post(list, body.clone()).await;
        assert_eq!(made.status, 201, "{:?}", made.body);
        let path = made.headers[LOCATION].to_str().unwrap();
        for (who, refused) in [(&anyone, 401), (&buyer, 403), (&staff, 403)] {
            let status = if is_public { 200 } else { refused };
            assert_eq!(who.get(list).await.status, status, "{list}");
            assert_eq!(who.get(path).await.status, status, "{path}");
            assert_eq!(who.post(list, body.clone()).await.status, refused);
            for method in [Method::PUT, Method::DELETE] {
                let tried = write(who, method, path, &body, None).await;
                assert_eq!(tried.status, refused, "{path}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_of_the_version_that_it_names() {
    let shop = Shop::open().await;
    let admin = shop.orders.admin();
    for (list, body, _) in nouns() {
        let made = admin.post(list, body.clone()).await;
        let path = format!("{list}/{}", made.body["id"].as_str().unwrap());
        assert_eq!(made.headers[LOCATION], path.as_str());
        let first = tag(&made);
        // Uses of a promotion are shown beside the resource, and are no part of its version.
        let mut read = admin.get(&path).await;
        let uses = read.body.as_object_mut().unwrap().remove("uses");
        assert_eq!(uses, (list == "/v1/promotions").then_some(json!(0)));
        assert_eq!(read.body, made.body);
        let again = admin.request(Method::GET, &path);
        let again = again.header(IF_NONE_MATCH, tag(&read));
        assert_eq!(send(again).await.status, 304);

        // What was read may be sent back, and what the shop sets may not differ.
        let renamed = with(&made.body, &json!({ "name": "Another" }));
        let put = write(&admin, Method::PUT, &path, &renamed, Some(&first)).await;
        assert_eq!((put.status, &put.body["name"]), (200, &json!("Another")));
        assert_eq!(put.body["created_at"], made.body["created_at"]);
        let second = tag(&put);
        let late = write(&admin, Method::PUT, &path, &body, Some(&first)).await;
        assert_eq!(late.status, 412);
        let other = with(&put.body, &json!({ "id": list }));
        let other = write(&admin, Method::PUT, &path, &other, None).await;
        assert_eq!(other.status, 422);
        assert_eq!(other.body["errors"][0]["pointer"], "/id");
        let copy = admin.post(list, put.body).await;
        let faults = copy.body["errors"].as_array().map(Vec::len);
        assert_eq!((copy.status, faults), (422, Some(3)));

        let late = write(&admin, Method::DELETE, &path, &Value::Null, Some(&first)).await;
        assert_eq!(late.status, 412);
        let gone = write(&admin, Method::DELETE, &path, &Value::Null, Some(&second)).await;
        assert_eq!(gone.status, 204);
        for (method, body) in [
            (Method::GET, &Value::Null),
            (Method::DELETE, &Value::Null),
            (Method::PUT, &body),
        ] {
            let absent = write(&admin, method, &path, body, None).await;
            assert_eq!(absent.status, 404);
        }
        let empty = json!({ "items": [], "next_cursor": null });
        assert_eq!(admin.get(list).await.body, empty);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_is_switched_off_is_for_staff() {
    let shop = Shop::open().await;
    let (admin, anyone) = (shop.orders.admin(), shop.orders.anonymous());
    let mut paths = Vec::new();
    for active in [true, false, true] {
        let mut body = method();
        body["active"] = active.into();
        let made = admin.post("/v1/shipping-methods", body).await;
        paths.push(made.headers[LOCATION].to_str().unwrap().to_owned());
    }
    for (who, seen) in [(&anyone, 2), (&shop.orders.staff(), 3), (&admin, 3)] {
        let (mut found, mut cursor) = (0, String::new());
        loop {
            let page = who
                .get(&format!("/v1/shipping-methods?limit=1{cursor}"))
                .await
                .body;
            found += page["items"].as_array().unwrap().len();
            let Some(next) = page["next_cursor"].as_str() else {
                break;
            };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(found, seen);
        assert_eq!(
            who.get(&paths[1]).await.status,
            if seen == 2 { 404 } else { 200 }
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unique_is_taken_once() {
    let mut shop = Shop::open().await;
    let admin = shop.orders.admin();
    for (list, body, other, problem, member) in [
        (
            "/v1/promotions",
            promotion(),
            json!({ "code": "sonne" }),
            "code-taken",
            "promotion_id",
        ),
        (
            "/v1/tax-rates",
            rate(),
            json!({ "rate_bp": 700 }),
            "tax-rate-taken",
            "tax_rate_id",
        ),
    ] {
        let made = admin.post(list, body.clone()).await;
        let mut twin = body.clone();
        twin.as_object_mut()
            .unwrap()
            .extend(other.as_object().unwrap().clone());
        let taken = admin.post(list, twin).await;
        assert_eq!(
            (taken.status, taken.problem()),
            (409, problem),
            "{:?}",
            taken.body
        );
        assert_eq!(taken.body[member], made.body["id"]);
    }
    // Both are there after a restart.
    shop.orders.restart().await;
    let admin = shop.orders.admin();
    assert_eq!(admin.post("/v1/promotions", promotion()).await.status, 409);
    assert_eq!(admin.post("/v1/tax-rates", rate()).await.status, 409);
}
