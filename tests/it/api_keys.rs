//! An API key on a whole shop of five processes: made, used, and revoked everywhere.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::eventually;
use testkit::shop::Form;

use crate::people::{PASSWORD, Person, lamp, pieces, send};
use crate::world::open;

/// Makes a key of these scopes and returns its path, and the program that has it.
async fn key(admin: &Person, scopes: &[&str]) -> (String, Person) {
    let body = json!({ "name": "ERP", "scopes": scopes, "current_password": PASSWORD });
    let made = admin.post("/v1/api-keys", body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let text = |name: &str| made.body[name].as_str().unwrap().to_owned();
    let path = format!("/v1/api-keys/{}", text("id"));
    (path, admin.with_token(text("secret")))
}

/// A program follows the events of the whole shop, and goes on after the last id it got.
async fn follow_events(admin: &Person, buyer: &Person, product: &str) {
    let (path, follower) = key(admin, &["events:read"]).await;
    let stream = async |last: &str| {
        let stream = follower.request(Method::GET, "/v1/events/stream?kind=order.placed");
        stream.header("last-event-id", last).send().await.unwrap()
    };
    let mut last = String::new();
    for _ in 0..2 {
        let mut open = stream(&last).await;
        assert_eq!(open.status(), 200);
        let placed = buyer.post("/v1/orders", pieces(product, 1)).await.body;
        let mut text = String::new();
        while !text.contains(placed["id"].as_str().unwrap()) {
            let chunk = open.chunk().await.unwrap().expect("the stream goes on");
            text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        let events = text.matches("event: order.placed").count();
        assert_eq!(events, if last.is_empty() { 1 } else { 2 }, "{text}");
        let mut ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
        last = ids.next_back().unwrap().to_owned();
        drop(open);
        // One that is missed, but for the last id.
        buyer.post("/v1/orders", pieces(product, 1)).await;
    }
    let revoked = send(admin.request(Method::DELETE, &path)).await.unwrap();
    assert_eq!(revoked.status, 204);
}

/// Orders show their buyers only to keys that may read people, too.
async fn shows_people(admin: &Person, reader: &Person, order: &str) {
    let (_, packer) = key(admin, &["orders:read", "customers:read"]).await;
    for (program, is_shown, found) in [(reader, false, 403), (&packer, true, 200)] {
        for path in [order, "/v1/orders/export?format=ndjson"] {
            let answer = program.request(Method::GET, path).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
            let text = answer.text().await.unwrap();
            assert_eq!(
                text.contains("buyer@konbini.example"),
                is_shown,
                "{path}: {text}"
            );
        }
        assert_eq!(program.get("/v1/orders?q=buyer").await.status, found);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_works_everywhere_until_it_is_revoked() {
    let mut shop = open(Form::Run).await;
    let admin = Person::admin(&shop).await;
    let ids = admin.sell(&[lamp("LAMP-1", "Lamp", 9)]).await;
    let buyer = Person::register(&shop, "buyer@konbini.example").await;
    let order = buyer.post("/v1/orders", pieces(&ids[0], 1)).await.body;
    let path = format!("/v1/orders/{}", order["id"].as_str().unwrap());

    let (reads, reader) = key(&admin, &["orders:read"]).await;
    let (writes, writer) = key(&admin, &["orders:write"]).await;
    assert_eq!(
        reader.get("/v1/orders").await.body["items"][0]["id"],
        order["id"]
    );
    assert_eq!(reader.get(&path).await.status, 200);
    shows_people(&admin, &reader, &path).await;
    let pay = format!("{path}/pay");
    let refused = reader.post(&pay, json!({})).await;
    assert_eq!(refused.body["type"], "/problems/insufficient-scope");
    assert_eq!(writer.get(&path).await.status, 403);
    assert_eq!(writer.post(&pay, json!({})).await.status, 200);
    // An event says who caused it, and with which key.
    for (kind, by, via) in [
        ("order.placed", &buyer, Value::Null),
        ("order.paid", &admin, json!(writes.rsplit('/').next())),
    ] {
        let path = format!("/v1/events?source=orders&kind={kind}");
        let event = admin.get(&path).await.body["items"][0].clone();
        let id = by.get("/v1/users/me").await.body["id"].clone();
        assert_eq!((&event["by"], &event["via"]), (&id, &via), "{event}");
    }
    assert_eq!(reader.get("/v1/status").await.status, 403);
    follow_events(&admin, &buyer, &ids[0]).await;

    for (path, program) in [(&reads, &reader), (&writes, &writer)] {
        let revoked = admin.request(Method::DELETE, path);
        assert_eq!(send(revoked).await.unwrap().status, 204);
        let is_refused = || async { program.get("/v1/orders").await.status == 401 };
        eventually("the key is refused", is_refused).await;
    }
    let listed = admin.get("/v1/api-keys").await.body;
    let left = listed["items"].as_array().unwrap();
    assert_eq!(left.len(), 1, "that of `shows_people`: {left:?}");
    for service in ["gateway", "users", "orders"] {
        shop.kill(&[service]).unwrap();
        shop.start(service).unwrap();
    }
    shop.ready().await.unwrap();
    assert_eq!(reader.get("/v1/orders").await.status, 401);
    let (_, another) = key(&admin, &["orders:read"]).await;
    assert_eq!(another.get("/v1/orders").await.status, 200);
    shop.terminate_all().await.unwrap();
}
