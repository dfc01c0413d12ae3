//! Tests of the promises of every service, over HTTP on a minimal one.
//!
//! `refusals` and `resources` test the HTTP contract, `tokens` authorisation, `folder` and
//! `life` the start and end of a process, `supervision` its progress, `status` its status,
//! events and dead letters.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report")]

mod folder;
mod life;
mod refusals;
mod resources;
mod shelf;
mod status;
mod supervision;
mod tokens;

use reqwest::Method;
use testkit::{Person, TestResponse, TestService, send};

async fn start() -> TestService {
    TestService::start(shelf::NAME, shelf::open, &[]).await
}

/// Sends a body with a media type.
async fn send_body(person: &Person, kind: &str, body: impl Into<reqwest::Body>) -> TestResponse {
    let request = person.request(Method::POST, "/things");
    send(request.header("content-type", kind).body(body)).await
}
