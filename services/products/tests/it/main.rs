//! Tests of the real service over HTTP and the mesh.

#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on ends it, like the test itself"
)]

mod catalogue;
mod check;
mod import;
mod import_files;
mod import_shops;
mod search;
mod shipping;
mod spreadsheet;
mod stock;
mod tags;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Person, TestResponse, send};

/// The demo catalogue, 200 products.
const CATALOGUE: &str = include_str!("../../../../src/demo/catalogue.jsonl");

/// A published product with its required fields only.
fn lamp(sku: &str) -> Value {
    json!({
        "sku": sku, "title": format!("Lamp {sku}"), "status": "published",
        "price": { "amount": 1999, "currency": "EUR" }
    })
}

async fn with(person: &Person, method: Method, path: &str, body: Value) -> TestResponse {
    send(person.request(method, path).json(&body)).await
}

/// Creates a product and returns its path.
async fn make(staff: &Person, product: Value) -> String {
    let made = staff.post("/v1/products", product).await;
    assert_eq!(made.status, 201, "{}", made.body);
    made.headers["location"].to_str().unwrap().to_owned()
}

async fn import(staff: &Person, lines: impl Into<reqwest::Body>) -> TestResponse {
    let request = staff
        .request(Method::POST, "/v1/products/import")
        .header("content-type", "application/x-ndjson")
        .body(lines);
    send(request).await
}
