//! The real service over HTTP and over its control socket.
//!
//! `accounts` registers, changes and administers people, `addresses` keeps their address books, `sessions` logs them in
//! and out, `passwords` changes and resets what they log in with, `throttling`
//! guesses passwords, `email` changes addresses, `takeover` holds a stolen access token, `second_factor` enrols, uses and loses factors, `rights` exports and erases accounts, `control` is the operator, `api_keys`
//! makes, uses and revokes API keys, `keys` rotates the signing keys, `events` follows the log as another service would, and
//! `restart` compares the state before and after.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report")]

mod accounts;
mod addresses;
mod api_keys;
mod control;
mod email;
mod events;
mod keys;
mod passwords;
mod restart;
mod rights;
mod second_factor;
mod sessions;
mod takeover;
mod throttling;

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Person, TestResponse, TestService, eventually, send};

const PASSWORD: &str = "correct horse";

/// Timeout of a mesh query on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(20);

async fn start() -> TestService {
    TestService::start("users", users::open, &[]).await
}

/// Registers an account and returns it.
async fn register(app: &TestService, email: &str) -> Value {
    let body = json!({ "email": email, "password": PASSWORD, "name": "Ana Lima" });
    let request = app.anonymous().request(Method::POST, "/v1/users");
    let request = request.header("accept-language", "pt-BR,pt;q=0.9");
    let answer = send(request.json(&body)).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.body
}

async fn try_log_in(app: &TestService, email: &str, password: &str) -> TestResponse {
    let body = json!({ "email": email, "password": password });
    app.anonymous().post("/v1/sessions", body).await
}

/// Logs in and returns the pair of tokens.
async fn log_in(app: &TestService, email: &str) -> Value {
    let answer = try_log_in(app, email, PASSWORD).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(answer.headers["cache-control"], "private, no-store");
    answer.body
}

/// The holder of a pair's access token.
fn holder(app: &TestService, pair: &Value) -> Person {
    let token = pair["access_token"].as_str().unwrap().to_owned();
    Person::new(app.address, Some(token), None)
}

/// An account with a session of its own.
async fn newcomer(app: &TestService, email: &str) -> Person {
    register(app, email).await;
    holder(app, &log_in(app, email).await)
}

/// An admin, created through the control socket.
async fn admin(app: &TestService) -> Person {
    let email = "root@localhost";
    let body = json!({ "email": email, "password": PASSWORD, "roles": ["admin"] });
    assert_eq!(control(app, body).await.status, 201);
    holder(app, &log_in(app, email).await)
}

/// `POST /control/users` on the control socket.
async fn control(app: &TestService, body: Value) -> TestResponse {
    let socket = app.folder.path().join("users/control.sock");
    let client = reqwest::Client::builder().unix_socket(socket);
    let client = client.build().unwrap();
    let request = client.post("http://control/control/users").json(&body);
    send(request).await
}

async fn patch(person: &Person, path: &str, body: Value) -> TestResponse {
    send(person.request(Method::PATCH, path).json(&body)).await
}

async fn delete(person: &Person, path: &str) -> TestResponse {
    send(person.request(Method::DELETE, path)).await
}

/// Erases the caller's own account, or the one of `path`.
async fn erase(person: &Person, path: &str) -> TestResponse {
    let body = json!({ "current_password": PASSWORD });
    send(person.request(Method::DELETE, path).json(&body)).await
}

/// The pointers of all invalid fields.
fn pointers(answer: &TestResponse) -> Vec<&str> {
    let faults = answer.body["errors"].as_array().into_iter().flatten();
    faults
        .filter_map(|fault| fault["pointer"].as_str())
        .collect()
}

/// Waits until a person's token no longer works.
async fn locked_out(person: &Person) {
    let refused = || async { person.get("/v1/users/me").await.status == 401 };
    eventually("the token stops working", refused).await;
}
