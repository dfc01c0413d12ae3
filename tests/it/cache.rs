//! Read-your-writes through the gateway's cache: a read that starts after a write was
//! acknowledged sees it.

use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::shop::{Form, Shop};
use testkit::{TIMEOUT, eventually};

use crate::people::{Person, lamp, pieces, send};
use crate::world::open;

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_product_is_updated_by_every_write_at_once() {
    for mut shop in [open(Form::Up).await, open(Form::Run).await] {
        let admin = Person::admin(&shop).await;
        let buyer = Person::register(&shop, "cache@konbini.example").await;
        let reader = Person::stranger(&shop);
        let ids = admin.sell(&[lamp("CACHE-1", "Cache lamp", 1)]).await;
        let path = format!("/v1/products/{}", ids[0]);
        let shown = |field: &'static str| {
            let (reader, path) = (&reader, &path);
            async move {
                let one = reader.get(path).await.body;
                let list = reader.get("/v1/products").await.body;
                assert_eq!(one[field], list["items"][0][field], "{one} {list}");
                one[field].clone()
            }
        };
        for price in 1..10 {
            is_kept(&shop, &reader, &path).await;
            change_price(&admin, &path, price).await;
            assert_eq!(shown("price").await["amount"], price);
        }
        for _ in 0..5 {
            is_kept(&shop, &reader, &path).await;
            let placed = buyer.post("/v1/orders", pieces(&ids[0], 1)).await;
            assert_eq!(placed.status, 201, "{placed:?}");
            assert_eq!(shown("available").await, false, "the last piece is sold");
            let order = placed.body["id"].as_str().unwrap();
            let cancel = format!("/v1/orders/{order}/cancel");
            let cancelled = buyer.post(&cancel, json!({ "reason": "no" })).await;
            assert_eq!(cancelled.status, 200, "{cancelled:?}");
            assert_eq!(shown("available").await, true, "and is back");
        }
        seen_from_elsewhere(&shop, &admin, &reader, &path).await;
        let output = shop.output();
        assert!(!output.contains("panicked"), "{output}");
        shop.terminate_all().await.unwrap();
    }
}

/// A write that bypasses the gateway, sent to products directly, becomes visible soon.
async fn seen_from_elsewhere(shop: &Shop, admin: &Person, reader: &Person, path: &str) {
    let elsewhere = admin.at(&address_of(shop, "products"));
    let mut delays = Vec::new();
    for price in 100..120 {
        is_kept(shop, reader, path).await;
        change_price(&elsewhere, path, price).await;
        let answered = Instant::now();
        while reader.get(path).await.body["price"]["amount"] != price {
            assert!(answered.elapsed() < TIMEOUT, "the change is never seen");
        }
        delays.push(answered.elapsed());
    }
    delays.sort();
    println!("a change that bypasses the gateway is visible after {delays:?}");
}

async fn change_price(person: &Person, path: &str, amount: u64) {
    let price = json!({ "price": { "amount": amount, "currency": "EUR" } });
    let request = person.request(Method::PATCH, path).json(&price);
    let answer = send(request).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Waits until the gateway serves the path from its cache.
async fn is_kept(shop: &Shop, reader: &Person, path: &str) {
    eventually("the answer is kept", || async {
        let before = hits(shop).await;
        reader.get(path).await;
        hits(shop).await > before
    })
    .await;
}

async fn hits(shop: &Shop) -> u64 {
    let page = reqwest::get(shop.url("/metrics")).await.unwrap();
    let page = page.text().await.unwrap();
    let mut lines = page.lines();
    lines
        .find_map(|line| {
            line.strip_prefix("konbini_gateway_cache_hits_total{service=\"gateway\"} ")
        })
        .map_or(0, |hits| hits.parse().unwrap())
}

/// The address that a service logs as its own.
fn address_of(shop: &Shop, service: &str) -> String {
    let output = shop.output();
    let lines = output.lines().filter(|line| line.contains("listening"));
    let lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut said = lines.filter(|line| line["service"] == service);
    let address = said.next().expect("it listens")["address"].clone();
    format!("http://{}", address.as_str().unwrap())
}
