//! The HTTP contract as snapshots: the walk calls every row of the route table behind the
//! gateway on a running shop and compares status, headers and body with `snapshots/`. A change of the contract
//! shows as a diff there; `INSTA_UPDATE=always cargo test --test it responses` records it.
//!
//! **Invariant:** a row without a call fails the test.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use api::{Access, Found, ROUTES, Route, Service};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Map, Value, json};
use standardwebhooks::Webhook;
use testkit::shop::Form;
use testkit::{PlayedKind, PlayedProvider, eventually, totp_code};

use crate::contract;
use crate::payments;
use crate::people::{PASSWORD, Person, lamp, pieces};
use crate::world::closed;

/// The secret of the payment provider's webhook.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ADMIN: &str = "admin@konbini.example";
const HEADERS: [&str; 9] = [
    "allow",
    "cache-control",
    "content-type",
    "etag",
    "idempotency-replayed",
    "location",
    "retry-after",
    "vary",
    "www-authenticate",
];
/// Members whose values differ from run to run.
const REDACTED: [&str; 19] = [
    "access_token",
    "challenge",
    "epoch",
    "etag",
    "hash",
    "instance",
    "key",
    "kid",
    "next_cursor",
    "recovery_codes",
    "refresh_token",
    "score",
    "secret",
    "seq",
    "ticket",
    "token",
    "took_us",
    "trace",
    "uri",
];

/// The rows of the route table that were called.
#[derive(Default)]
struct Calls(BTreeSet<String>);

impl Calls {
    async fn get(&mut self, person: &Person, path: &str) -> Value {
        self.send(person.request(Method::GET, path)).await
    }

    async fn post(&mut self, person: &Person, path: &str, body: Value) -> Value {
        self.send(person.request(Method::POST, path).json(&body))
            .await
    }

    async fn delete(&mut self, person: &Person, path: &str) -> Value {
        self.send(person.request(Method::DELETE, path)).await
    }

    /// Sends a request and compares its response with the snapshot of its row.
    async fn send(&mut self, request: RequestBuilder) -> Value {
        let (http, request) = request.build_split();
        let request = request.unwrap();
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let Found::Route(route) = api::find(&method, &path) else {
            panic!("{method} {path} is no row of the table");
        };
        assert!(self.0.insert(route.name()), "{} once more", route.name());
        let response = http.execute(request).await.unwrap();
        let status = response.status().as_u16();
        let headers = headers(&response);
        let text = if route.streaming {
            String::new()
        } else {
            response.text().await.unwrap()
        };
        // No cache stores what only some may see.
        if !matches!(route.access, Access::Anyone) {
            let rule = match route.streaming {
                true => "private, no-store, no-transform",
                false => "private, no-store",
            };
            assert_eq!(headers["cache-control"], rule, "{}", route.name());
        }
        let kind = headers.get("content-type").and_then(Value::as_str);
        if !route.streaming {
            contract::check(&method, &path, status, kind, &text);
        }
        let body = body(kind.unwrap_or_default(), &text);
        let mut shown = json!({ "status": status, "headers": headers, "body": body });
        if route.path == "/v1/status" {
            redact_figures(&mut shown["body"]);
        }
        redact("", &mut shown);
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_json_snapshot!(file_name(route), shown);
        });
        body
    }
}

fn headers(response: &Response) -> Map<String, Value> {
    let found = HEADERS.iter().filter_map(|name| {
        let value = response.headers().get(*name)?.to_str().unwrap();
        Some(((*name).to_owned(), value.into()))
    });
    found.collect()
}

/// A JSON body, each line of a JSON Lines body, or a placeholder for a text.
fn body(kind: &str, text: &str) -> Value {
    if text.is_empty() {
        Value::Null
    } else if kind.contains("ndjson") {
        text.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .collect()
    } else if kind.contains("json") {
        serde_json::from_str(text).unwrap()
    } else {
        "[text]".into()
    }
}

fn file_name(route: &Route) -> String {
    let name = route.name().to_lowercase();
    let parts = name.split(|sign: char| !sign.is_ascii_alphanumeric());
    let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
    parts.join("-")
}

fn redact(name: &str, value: &mut Value) {
    match value {
        Value::Null => {}
        _ if REDACTED.contains(&name) => *value = format!("[{name}]").into(),
        Value::Object(members) => members.iter_mut().for_each(|(name, of)| redact(name, of)),
        Value::Array(items) => items.iter_mut().for_each(|item| redact("", item)),
        // An event's id has its log's epoch.
        Value::String(text) if name == "id" && text.contains('/') => *text = "[event]".into(),
        Value::String(text) => *text = redacted(text),
        Value::Bool(_) | Value::Number(_) => {}
    }
}

fn redact_figures(value: &mut Value) {
    match value {
        Value::Object(members) => members.values_mut().for_each(redact_figures),
        Value::Array(items) => items.iter_mut().for_each(redact_figures),
        Value::Number(_) => *value = "[figure]".into(),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// The text with each time and each id replaced by its kind.
fn redacted(text: &str) -> String {
    let is_time = text.len() == 24 && text.ends_with('Z') && text.as_bytes()[10] == b'T';
    if is_time {
        return "[time]".into();
    }
    let is_day = text.len() == 10 && text.split('-').map(str::len).eq([4, 2, 2]);
    if is_day {
        return "[day]".into();
    }
    let is_part = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_part) {
        let (before, part) = rest.split_at(start);
        let end = part.find(|sign| !is_part(sign)).unwrap_or(part.len());
        let (part, after) = part.split_at(end);
        out.push_str(before);
        match part.rsplit_once('_') {
            Some((kind, id)) if id.len() == 26 => out.push_str(&format!("[{kind}]")),
            _ => out.push_str(part),
        }
        rest = after;
    }
    out + rest
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_responds_as_recorded() {
    let mut shop = closed();
    shop.add_user(ADMIN, "admin", PASSWORD).unwrap();
    let stripe = PlayedProvider::start(PlayedKind::Stripe).await;
    let keys = tempfile::tempdir().unwrap();
    let secret = format!("secrets = [\"{SECRET}\"]\n");
    let mollie = "https://api.mollie.com";
    let settings = payments::settings(&secret, &stripe.api_url(), mollie, keys.path());
    shop.configure(&settings).unwrap();
    shop.open(Form::Up).unwrap();
    shop.ready().await.unwrap();
    let admin = Person::stranger(&shop).log_in(ADMIN).await;
    let anyone = Person::stranger(&shop);
    let mut calls = Calls::default();
    inbox(
        &mut calls,
        &admin,
        &Person::register(&shop, "inbox@konbini.example").await,
    )
    .await;
    accounts(&mut calls, &anyone, &admin).await;
    support(&mut calls, &anyone, &admin).await;
    catalogue(&mut calls, &anyone, &admin).await;
    let ids = admin.sell(&[lamp("ORDERED-1", "Ordered lamp", 100)]).await;
    let buyer = Person::register(&shop, "buyer@konbini.example").await;
    orders(&mut calls, &buyer, &admin, &ids[0]).await;
    carts(&mut calls, &anyone, &buyer, &admin, &ids[0]).await;
    hints(&mut calls, &anyone, &stripe).await;
    terms(&mut calls, &anyone, &admin).await;
    webhooks(&mut calls, &admin).await;
    operating(&mut calls, &admin).await;
    let missing: Vec<_> = ROUTES
        .iter()
        .filter(|route| route.service != Service::Gateway)
        .map(|route| route.name())
        .filter(|name| !calls.0.contains(name))
        .collect();
    assert!(missing.is_empty(), "no call of {missing:#?}");
    shop.terminate_all().await.unwrap();
}

async fn inbox(calls: &mut Calls, admin: &Person, reader: &Person) {
    let is_welcomed = || async { !reader.all("/v1/notifications").await.is_empty() };
    eventually("the welcome arrives", is_welcomed).await;
    let list = calls.get(reader, "/v1/notifications").await;
    let entry = list["items"][0]["id"].as_str().unwrap();
    let path = format!("/v1/notifications/{entry}/read");
    calls.post(reader, &path, json!({})).await;
    calls
        .post(reader, "/v1/notifications/read", json!({}))
        .await;
    let ticket = "/v1/notifications/stream-ticket";
    let ticket = calls.post(reader, ticket, json!({})).await;
    let ticket = ticket["ticket"].as_str().unwrap();
    let stream = format!("/v1/notifications/stream?ticket={ticket}");
    calls.get(reader, &stream).await;
    let chosen = json!({ "kinds": { "order.shipped": ["inbox"] } });
    let preferences = "/v1/notifications/preferences";
    let choose = reader.request(Method::PUT, preferences).json(&chosen);
    calls.send(choose).await;
    calls.get(reader, preferences).await;
    let mail = "/v1/mails/mail_01h455vb4pex5vsknk084sn02q/resend";
    calls.post(admin, mail, json!({})).await;
}

async fn accounts(calls: &mut Calls, anyone: &Person, admin: &Person) {
    const EMAIL: &str = "mori@konbini.example";
    let account = json!({ "email": EMAIL, "password": PASSWORD, "name": "Mori" });
    let user = calls.post(anyone, "/v1/users", account).await;
    let login = json!({ "email": EMAIL, "password": PASSWORD });
    let session = calls.post(anyone, "/v1/sessions", login.clone()).await;
    let refresh = json!({ "refresh_token": session["refresh_token"] });
    calls.post(anyone, "/v1/sessions/refresh", refresh).await;
    let me = anyone.clone().log_in(EMAIL).await;
    calls.get(&me, "/v1/users/me").await;
    let rename = me.request(Method::PATCH, "/v1/users/me");
    calls.send(rename.json(&json!({ "name": "Mori O." }))).await;
    addresses(calls, &me).await;
    calls.get(&me, "/v1/users/me/export").await;
    let first =
        json!({ "token": "none", "email": "b@konbini.example", "password": PASSWORD, "name": "B" });
    calls.post(anyone, "/v1/setup", first).await;
    let code = json!({ "code": "00000000" });
    calls.post(&me, "/v1/users/me/email/confirm", code).await;
    let token = json!({ "token": "undo_none" });
    calls
        .post(anyone, "/v1/users/email-change/undo", token)
        .await;
    calls
        .post(&me, "/v1/users/me/verify-email", json!({}))
        .await;
    let code = json!({ "code": "00000000" });
    calls
        .post(&me, "/v1/users/me/verify-email/confirm", code)
        .await;
    let email = json!({ "email": EMAIL });
    calls.post(anyone, "/v1/users/password-reset", email).await;
    let reset = json!({ "email": EMAIL, "code": "00000000", "new_password": "a kettle in autumn" });
    calls
        .post(anyone, "/v1/users/password-reset/confirm", reset)
        .await;
    let change = json!({ "current_password": PASSWORD, "new_password": "a kettle in winter" });
    calls.post(&me, "/v1/users/me/password", change).await;
    second_factor(calls, &me).await;
    api_keys(calls, admin).await;
    let sessions = calls.get(&me, "/v1/sessions").await;
    let other = anyone
        .clone()
        .log_in_with(EMAIL, "a kettle in winter")
        .await;
    let session = sessions["items"][0]["id"].as_str().unwrap();
    calls
        .delete(&other, &format!("/v1/sessions/{session}"))
        .await;
    calls.delete(&other, "/v1/sessions/current").await;
    calls.get(admin, &format!("/v1/users?email={EMAIL}")).await;
    let path = format!("/v1/users/{}", user["id"].as_str().unwrap());
    calls.get(admin, &path).await;
    let disable = admin.request(Method::PATCH, &path);
    calls
        .send(disable.json(&json!({ "status": "active" })))
        .await;
    let leaving = anyone
        .clone()
        .log_in_with(EMAIL, "a kettle in winter")
        .await;
    let erase = leaving.request(Method::DELETE, "/v1/users/me");
    let erase = erase.json(&json!({ "current_password": "a kettle in winter" }));
    calls.send(erase).await;
    calls.get(anyone, "/.well-known/paserk.json").await;
}

/// Adds an address to the caller's book, replaces it, and removes another.
async fn addresses(calls: &mut Calls, me: &Person) {
    const BOOK: &str = "/v1/users/me/addresses";
    let home = json!({
        "name": "Mori O.", "line1": "1-2-3 Motomachi", "postal_code": "650-0022",
        "city": "Kobe", "region": "Hyogo", "country": "jp", "default_shipping": true,
    });
    let added = calls.post(me, BOOK, home.clone()).await;
    let other = me.post(BOOK, home.clone()).await.body;
    let path = |entry: &Value| format!("{BOOK}/{}", entry["id"].as_str().unwrap());
    calls.get(me, &path(&added)).await;
    let replace = me.request(Method::PUT, &path(&added));
    let mut moved = home;
    moved["line1"] = "4-5-6 Motomachi".into();
    calls.send(replace.json(&moved)).await;
    calls.get(me, BOOK).await;
    calls.delete(me, &path(&other)).await;
}

/// Makes an API key and revokes it.
async fn api_keys(calls: &mut Calls, admin: &Person) {
    let wanted = json!({
        "name": "ERP",
        "scopes": ["orders:read", "catalogue:write"],
        "current_password": PASSWORD,
    });
    let made = calls.post(admin, "/v1/api-keys", wanted).await;
    calls.get(admin, "/v1/api-keys").await;
    let path = format!("/v1/api-keys/{}", made["id"].as_str().unwrap());
    calls.delete(admin, &path).await;
}

/// Enrols a second factor and removes it.
async fn second_factor(calls: &mut Calls, me: &Person) {
    let proof = json!({ "current_password": "a kettle in winter" });
    let made = calls.post(me, "/v1/users/me/totp", proof).await;
    let code = totp_code(made["secret"].as_str().unwrap(), 0);
    let confirm = "/v1/users/me/totp/confirm";
    let confirmed = calls.post(me, confirm, json!({ "code": code })).await;
    let remove = me.request(Method::DELETE, "/v1/users/me/totp");
    let recovery = json!({ "code": confirmed["recovery_codes"][0] });
    calls.send(remove.json(&recovery)).await;
}

/// What admins do with the sessions and the account of another.
async fn support(calls: &mut Calls, anyone: &Person, admin: &Person) {
    const EMAIL: &str = "lima@konbini.example";
    let account = json!({ "email": EMAIL, "password": PASSWORD, "name": "Lima" });
    let user = anyone.post("/v1/users", account).await.body;
    let path = format!("/v1/users/{}", user["id"].as_str().unwrap());
    let other = anyone.clone().log_in(EMAIL).await;
    anyone.clone().log_in(EMAIL).await;
    let sessions = format!("{path}/sessions");
    let listed = calls.get(admin, &sessions).await;
    let session = listed["items"][0]["id"].as_str().unwrap();
    calls.delete(admin, &format!("{sessions}/{session}")).await;
    calls.delete(&other, "/v1/sessions").await;
    calls.delete(admin, &sessions).await;
    let reset = admin.request(Method::DELETE, &format!("{path}/totp"));
    let reset = reset.json(&json!({ "current_password": PASSWORD }));
    calls.send(reset).await;
    let erase = admin.request(Method::DELETE, &path);
    let erase = erase.json(&json!({ "current_password": PASSWORD }));
    calls.send(erase).await;
}

async fn catalogue(calls: &mut Calls, anyone: &Person, admin: &Person) {
    let mut kettle = lamp("KETTLE-1", "Enamel kettle", 5);
    kettle["categories"] = json!(["Kitchen > Kettles"]);
    let product = calls.post(admin, "/v1/products", kettle.clone()).await;
    let path = format!("/v1/products/{}", product["id"].as_str().unwrap());
    calls.get(anyone, &path).await;
    calls.get(anyone, "/v1/products/by-sku/KETTLE-1").await;
    calls.get(anyone, "/v1/products").await;
    let is_found = || async {
        let found = anyone.get("/v1/products/search?q=kettle").await;
        found.body["total"] == 1
    };
    eventually("the kettle can be found", is_found).await;
    let search = "/v1/products/search?q=kettle&facets=category,price";
    calls.get(anyone, search).await;
    calls.get(anyone, "/v1/products/suggest?q=ket").await;
    calls.get(anyone, "/v1/categories").await;
    calls.get(admin, "/v1/products/export").await;
    let import = admin
        .request(Method::POST, "/v1/products/import")
        .header("content-type", "application/x-ndjson");
    let lines = format!("{}\n{{\"sku\":\"\"}}\n", lamp("LAMP-1", "Desk lamp", 1));
    calls.send(import.body(lines)).await;
    let stock = format!("{path}/stock");
    let delivery = json!({ "delta": 2, "reason": "a delivery" });
    calls.post(admin, &stock, delivery).await;
    calls.get(admin, &stock).await;
    let count = json!({ "on_hand": 6, "reason": "counted" });
    calls
        .send(admin.request(Method::PUT, &stock).json(&count))
        .await;
    let rename = json!({ "from": "Kitchen", "to": "Home > Kitchen" });
    calls.post(admin, "/v1/categories/rename", rename).await;
    kettle.as_object_mut().unwrap().remove("stock");
    kettle["title"] = "Enamel kettle, 1 l".into();
    let replace = admin.request(Method::PUT, &path);
    calls.send(replace.json(&kettle)).await;
    let change = admin.request(Method::PATCH, &path);
    calls.send(change.json(&json!({ "brand": "Falcon" }))).await;
    calls.delete(admin, &path).await;
}

async fn orders(calls: &mut Calls, buyer: &Person, admin: &Person, lamp: &str) {
    let place = || async {
        let placed = buyer.post("/v1/orders", pieces(lamp, 1)).await;
        format!("/v1/orders/{}", placed.body["id"].as_str().unwrap())
    };
    let order = calls.post(buyer, "/v1/orders", pieces(lamp, 2)).await;
    let path = format!("/v1/orders/{}", order["id"].as_str().unwrap());
    calls.get(buyer, "/v1/orders").await;
    calls.get(buyer, &path).await;
    calls.post(admin, &format!("{path}/pay"), json!({})).await;
    let parcel = json!({ "carrier": "Yamato", "tracking": "1" });
    calls.post(admin, &format!("{path}/ship"), parcel).await;
    let correct = admin.request(Method::PATCH, &path);
    let correction = json!({ "shipping_address": { "name": "Hana Mori", "line1": "Sannomiya 1-2-3", "city": "Kobe", "country": "JP" }, "tracking": "2" });
    calls.send(correct.json(&correction)).await;
    let note = json!({ "text": "rang twice" });
    calls.post(admin, &format!("{path}/notes"), note).await;
    calls.get(admin, "/v1/orders/export").await;
    calls
        .post(admin, &format!("{path}/deliver"), json!({}))
        .await;
    let mistake = json!({ "reason": "the neighbour's parcel" });
    calls.post(admin, &format!("{path}/undo"), mistake).await;
    let half = json!({ "amount": { "amount": 1000, "currency": "EUR" }, "reason": "a scratch" });
    calls.post(admin, &format!("{path}/refund"), half).await;
    calls.get(buyer, &format!("{path}/history")).await;
    calls.get(admin, "/v1/reports/sales?by=product").await;
    let found = calls.get(admin, "/v1/customers?q=buyer").await;
    let customer = found["items"][0]["id"].as_str().unwrap();
    calls.get(admin, &format!("/v1/customers/{customer}")).await;
    calls
        .post(buyer, &format!("{path}/claim"), Value::Null)
        .await;
    let cancel = format!("{}/cancel", place().await);
    calls.post(buyer, &cancel, json!({ "reason": "no" })).await;
    let paid = place().await;
    let message = json!({
        "type": "payment.succeeded",
        "data": {
            "order_id": paid.trim_start_matches("/v1/orders/"),
            "amount": 2499,
            "currency": "EUR",
            "reference": "pay_1",
        },
    });
    calls.send(payment(buyer, &message)).await;
    let payments = format!("{}/payments", place().await);
    calls.get(buyer, "/v1/payment-methods").await;
    let transfer = json!({ "method": "transfer" });
    calls.post(buyer, &payments, transfer).await;
    calls.get(buyer, &payments).await;
    calls.get(admin, "/v1/payments/unmatched").await;
}

/// The hints of payment providers.
async fn hints(calls: &mut Calls, anyone: &Person, stripe: &PlayedProvider) {
    let (path, signature, body) = stripe.hint("cs_1", model::now().0 / 1000);
    let (name, value) = signature.unwrap();
    let hint = anyone.request(Method::POST, &path).header(name, value);
    let hint = hint.header("content-type", "application/json").body(body);
    calls.send(hint).await;
    let hint = anyone.request(Method::POST, "/v1/payments/mollie/webhook");
    let form = "application/x-www-form-urlencoded";
    calls
        .send(hint.header("content-type", form).body("id=ord_1"))
        .await;
}

#[expect(
    clippy::disallowed_methods,
    reason = "a message is stamped when it is sent"
)]
fn payment(person: &Person, message: &Value) -> RequestBuilder {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let body = message.to_string();
    let signer = Webhook::new(SECRET).unwrap();
    let signature = signer.sign("msg_1", seconds.cast_signed(), body.as_bytes());
    person
        .request(Method::POST, "/v1/payments/webhook")
        .header("content-type", "application/json")
        .header("webhook-id", "msg_1")
        .header("webhook-timestamp", seconds)
        .header("webhook-signature", signature.unwrap())
        .body(body)
}

/// A guest's cart, from the first lamp to the claim.
async fn carts(calls: &mut Calls, anyone: &Person, buyer: &Person, admin: &Person, lamp: &str) {
    const TOKEN: &str = "cart-token";
    let gone = "prod_01h455vb4pex5vsknk084sn02q";
    let items = json!({ "items": [{ "product_id": lamp, "quantity": 2 }] });
    let made = calls.post(anyone, "/v1/carts", items).await;
    let path = format!("/v1/carts/{}", made["id"].as_str().unwrap());
    let token = made["token"].as_str().unwrap();
    let held = |method, path: &str| anyone.request(method, path).header(TOKEN, token);
    let items = format!("{path}/items");
    let added = json!({ "product_id": gone, "quantity": 1 });
    calls.send(held(Method::POST, &items).json(&added)).await;
    let details = json!({
        "email": "hana@example.org", "name": "Hana Mori", "codes": ["SONNE"], "note": "ring",
        "shipping_address": { "name": "Hana Mori", "line1": "Sannomiya 1-2-3", "city": "Kobe", "country": "JP" },
    });
    calls.send(held(Method::PATCH, &path).json(&details)).await;
    let set = held(Method::PATCH, &format!("{items}/{lamp}"));
    calls.send(set.json(&json!({ "quantity": 3 }))).await;
    calls
        .send(held(Method::DELETE, &format!("{items}/{gone}")))
        .await;
    calls.send(held(Method::GET, &path)).await;
    let options = format!("{path}/shipping-options");
    calls.send(held(Method::GET, &options)).await;
    let order = anyone.order_as_guest(lamp, "mika@example.org").await;
    let order = format!("/v1/orders/{}", order["id"].as_str().unwrap());
    let order = admin.get(&order).await.body;
    let guest = order["buyer"]["id"].as_str().unwrap();
    calls.delete(admin, &format!("/v1/customers/{guest}")).await;
    let claim = buyer.request(Method::POST, &format!("{path}/claim"));
    calls.send(claim.header(TOKEN, token)).await;
    let complete = format!("{path}/complete");
    let total = json!({ "expected_total": 7497 });
    calls.post(buyer, &complete, total).await;
}

async fn terms(calls: &mut Calls, anyone: &Person, admin: &Person) {
    let price = json!({ "amount": 490, "currency": "EUR" });
    let bands = json!([{ "price": price }, { "from": 5000, "price": price }]);
    let method = json!({ "name": "Parcel", "kind": "by_weight", "countries": ["DE"], "bands": bands, "delivery_days": [1, 3] });
    let rate = json!({ "country": "DE", "rate_bp": 1900, "name": "VAT 19 %" });
    let promotion = json!({ "name": "Summer", "code": "SONNE", "kind": "percent", "value": 1000 });
    for (list, body, reader) in [
        ("/v1/shipping-methods", method, anyone),
        ("/v1/tax-rates", rate, anyone),
        ("/v1/promotions", promotion, admin),
    ] {
        let made = calls.post(admin, list, body).await;
        let path = format!("{list}/{}", made["id"].as_str().unwrap());
        calls.get(reader, list).await;
        calls.get(reader, &path).await;
        let mut next = made;
        next["name"] = "Another name".into();
        calls
            .send(admin.request(Method::PUT, &path).json(&next))
            .await;
        calls.delete(admin, &path).await;
    }
}

async fn webhooks(calls: &mut Calls, admin: &Person) {
    let hook = json!({ "url": "https://hooks.example/konbini", "events": ["order.shipped"] });
    let hook = calls.post(admin, "/v1/webhooks", hook).await;
    let path = format!("/v1/webhooks/{}", hook["id"].as_str().unwrap());
    calls.get(admin, "/v1/webhooks").await;
    calls.get(admin, &path).await;
    calls.get(admin, "/v1/webhooks/kinds").await;
    let change = admin.request(Method::PATCH, &path);
    let change = change.json(&json!({ "events": ["order.*"], "active": false }));
    calls.send(change).await;
    for step in ["rotate", "enable"] {
        calls
            .post(admin, &format!("{path}/{step}"), json!({}))
            .await;
    }
    calls.get(admin, &format!("{path}/deliveries")).await;
    calls.post(admin, &format!("{path}/test"), json!({})).await;
    let again = format!("{path}/deliveries/msg_1/redeliver");
    calls.post(admin, &again, json!({})).await;
    calls.delete(admin, &path).await;
}

async fn operating(calls: &mut Calls, admin: &Person) {
    calls.get(admin, "/v1/status").await;
    let placed = "/v1/events?source=orders&kind=order.placed&limit=1";
    calls.get(admin, placed).await;
    calls.get(admin, "/v1/events/stream?source=orders").await;
    calls.get(admin, "/v1/events/dead-letters").await;
    let dead_letter = "/v1/events/dead-letters/orders.main.products.1";
    calls
        .post(admin, &format!("{dead_letter}/retry"), json!({}))
        .await;
    calls.delete(admin, dead_letter).await;
}
