//! Orders priced by the shop's terms: totals, shipping, codes and their caps.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Person, send};

use crate::shop::{Shop, items, kobe};

fn euros(amount: i64) -> Value {
    json!({ "amount": amount, "currency": "EUR" })
}

/// Makes a term; returns its id.
async fn make(admin: &Person, list: &str, body: Value) -> String {
    let made = admin.post(list, body).await;
    assert_eq!(made.status, 201, "{:?}", made.body);
    made.body["id"].as_str().unwrap().to_owned()
}

fn hanover() -> Value {
    json!({ "name": "Eva Kern", "line1": "Markt 1", "city": "Hannover", "country": "DE" })
}

/// A shop in Germany, with prices that include tax.
async fn shop_with_terms() -> (Shop, Person, String) {
    let shop = Shop::open().await;
    let admin = shop.orders.admin();
    let rate = json!({ "country": "DE", "rate_bp": 1900, "name": "VAT 19 %" });
    make(&admin, "/v1/tax-rates", rate).await;
    let bands = json!([{ "price": euros(490) }]);
    let parcel = json!({ "name": "Parcel", "kind": "flat", "countries": ["DE"], "bands": bands });
    let parcel = make(&admin, "/v1/shipping-methods", parcel).await;
    (shop, admin, parcel)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_costs_what_the_terms_say() {
    let (shop, admin, parcel) = shop_with_terms().await;
    let buyer = shop.orders.customer();
    let code = json!({ "name": "Ten", "code": "TEN", "kind": "percent", "value": 1000 });
    make(&admin, "/v1/promotions", code).await;
    let (lamp, shade) = (shop.sell(2000, "EUR").await, shop.sell(990, "EUR").await);
    let mut body = items(&[(lamp, 2), (shade, 1)]);
    body["shipping_address"] = hanover();
    body["billing_address"] = kobe();
    body["shipping_method_id"] = parcel.clone().into();
    body["codes"] = json!(["ten", "TEN", "SPRING"]);
    body["expected_total"] = euros(4_981);
    let placed = shop.order(&buyer, body.clone(), Some("k"), None).await;
    assert_eq!(placed.status, 201, "{:?}", placed.body);
    let order = &placed.body;
    // 4,990 less 499, and 490 for the parcel; of 4,981 gross the tax is 795.28.
    let totals = json!({
        "items": euros(4_990), "discount": euros(499), "shipping": euros(490),
        "tax": euros(795), "total": euros(4_981),
    });
    assert_eq!(order["totals"], totals);
    let tax =
        json!({ "name": "VAT 19 %", "rate_bp": 1900, "net": euros(4_186), "tax": euros(795) });
    assert_eq!(order["tax_lines"], json!([tax]));
    let codes = json!([
        { "code": "ten", "applied": true },
        { "code": "SPRING", "applied": false, "reason": "this code is not valid" },
    ]);
    assert_eq!(order["codes"], codes);
    assert_eq!(
        order["shipping_method"],
        json!({ "id": parcel, "name": "Parcel" })
    );
    assert_eq!(order["billing_address"], kobe());
    assert_eq!(
        (order["number"].as_str(), &order["prices_include_tax"]),
        (Some("1001"), &json!(true))
    );
    let found = shop.orders.staff().get("/v1/orders?q=%231001").await.body;
    assert_eq!(found["items"][0]["id"], order["id"]);
    let read = buyer
        .get(placed.headers["location"].to_str().unwrap())
        .await
        .body;
    for member in ["totals", "tax_lines", "codes", "items", "number"] {
        assert_eq!(read[member], order[member], "{member}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sold_like_this_is_refused_with_its_field() {
    let (shop, _, parcel) = shop_with_terms().await;
    let buyer = shop.orders.customer();
    let lamp = shop.sell(2000, "EUR").await;
    let with = |changes: Value| {
        let mut body = items(&[(lamp, 1)]);
        body["shipping_address"] = hanover();
        body["shipping_method_id"] = parcel.clone().into();
        let changes = changes.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(changes);
        body
    };
    let unknown = "ship_01h455vb4pex5vsknk084sn02q";
    let many: Vec<_> = (0..11).map(|number| format!("C{number}")).collect();
    for (changes, pointer) in [
        (json!({ "shipping_method_id": null }), "/shipping_method_id"),
        (
            json!({ "shipping_method_id": unknown }),
            "/shipping_method_id",
        ),
        (
            json!({ "shipping_method_id": "parcel" }),
            "/shipping_method_id",
        ),
        (json!({ "shipping_address": kobe() }), "/shipping_method_id"),
        (
            json!({ "shipping_address": { "city": "Kobe" } }),
            "/shipping_address/name",
        ),
        (json!({ "codes": many }), "/codes"),
        (json!({ "codes": [""] }), "/codes/0"),
        (
            json!({ "billing_address": { "country": "XX" } }),
            "/billing_address/name",
        ),
    ] {
        let refused = buyer.post("/v1/orders", with(changes.clone())).await;
        assert_eq!(refused.status, 422, "{changes} {:?}", refused.body);
        assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{changes}");
    }
    let changed = buyer
        .post("/v1/orders", with(json!({ "expected_total": 2000 })))
        .await;
    assert_eq!(
        (changed.status, &changed.body["total"]),
        (409, &euros(2_490))
    );
    assert_eq!(changed.body["type"], "/problems/total-changed");
}

/// Buyers race for the last uses of a code; a cancelled order gives its own back.
#[tokio::test(flavor = "multi_thread")]
async fn the_cap_of_a_code_is_exact() {
    let shop = Shop::open().await;
    let admin = shop.orders.admin();
    let code = json!({
        "name": "First five", "code": "FIVE", "kind": "amount", "value": euros(500), "uses_max": 5,
        "uses_max_per_buyer": 1,
    });
    let path = format!(
        "/v1/promotions/{}",
        make(&admin, "/v1/promotions", code).await
    );
    let lamp = shop.sell(2000, "EUR").await;
    let mut body = items(&[(lamp, 1)]);
    body["codes"] = json!(["FIVE"]);
    let uses = || async { admin.get(&path).await.body["uses"].clone() };
    let buyers: Vec<_> = (0..12).map(|_| shop.orders.customer()).collect();
    // Without a stock outcome, so each is pending when the next is placed.
    let placing = buyers.iter().map(|buyer| {
        let request = buyer.request(Method::POST, "/v1/orders").json(&body);
        tokio::spawn(send(request))
    });
    let (mut applied, mut last) = (Vec::new(), None);
    for (placed, buyer) in futures::future::join_all(placing)
        .await
        .into_iter()
        .zip(&buyers)
    {
        let placed = placed.unwrap();
        assert_eq!(placed.status, 202, "{:?}", placed.body);
        let code = &placed.body["codes"][0];
        if code["applied"] == true {
            applied.push((
                buyer,
                format!("/v1/orders/{}", placed.body["id"].as_str().unwrap()),
            ));
        } else {
            assert_eq!(code["reason"], "this code has been used up");
            last = Some(buyer);
        }
    }
    assert_eq!((applied.len(), uses().await), (5, json!(5)));
    let (buyer, cancelled) = &applied[0];
    let cancel = buyer
        .post(&format!("{cancelled}/cancel"), json!({ "reason": "no" }))
        .await;
    assert!(cancel.status == 200, "{:?}", cancel.body);
    assert_eq!(uses().await, json!(4));
    let again = last.unwrap().post("/v1/orders", body.clone()).await;
    assert_eq!(again.body["codes"][0]["applied"], true, "{:?}", again.body);
    let (twice, _) = &applied[1];
    let twice = twice.post("/v1/orders", body).await;
    assert_eq!((twice.status, uses().await), (202, json!(5)));
    assert_eq!(twice.body["codes"][0]["applied"], false);
}
