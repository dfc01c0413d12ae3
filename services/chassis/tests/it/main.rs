//! What every service promises, seen from outside on a tiny one.
//!
//! `refusals` and `resources` hold the HTTP contract, `tokens` who is believed,
//! `folder` and `life` what a process finds and leaves behind, `operating` what it
//! tells whoever runs the shop.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report")]

mod folder;
mod life;
mod operating;
mod refusals;
mod resources;
mod shelf;
mod tokens;

use reqwest::Method;
use testkit::{Person, TestResponse, TestService, send};

async fn start() -> TestService {
    TestService::start(shelf::NAME, shelf::open, &[]).await
}

/// Sends a body as it is.
async fn send_body(person: &Person, kind: &str, body: impl Into<reqwest::Body>) -> TestResponse {
    let request = person.request(Method::POST, "/things");
    send(request.header("content-type", kind).body(body)).await
}
