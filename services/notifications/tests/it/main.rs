//! The real service over HTTP, with the logs of orders and users as its sources.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report")]

mod audience;
mod backups;
mod dual_stack;
mod mail;
mod mail_server;
mod orders;
mod stream;
mod webhooks;

use model::{Fact, Id, Time, kinds};
use reqwest::Method;
use serde_json::Value;
use testkit::{OtherService, Person, TestService, eventually, send};

const NAME: &str = "notifications";

async fn start() -> TestService {
    TestService::start(NAME, notifications::open, &["orders", "products"]).await
}

/// Publishes that an order of `person` is confirmed, and returns its id.
async fn confirm(orders: &OtherService, person: &Person) -> Id<kinds::Order> {
    let (order_id, user_id) = (Id::new(), person.user_id());
    let fact = Fact::OrderConfirmed { order_id, user_id: Some(user_id) };
    orders.publish(&order_id.to_string(), fact).await;
    order_id
}

/// The orders that inbox entries name, in order.
async fn orders_in(person: &Person, query: &str) -> Vec<String> {
    let answer = person.get(&format!("/v1/notifications{query}")).await;
    assert_eq!(answer.status, 200);
    let items = answer.body["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["data"]["order_id"].as_str().unwrap().to_owned())
        .collect()
}

async fn entries(person: &Person, count: usize) -> Vec<Value> {
    let inbox = || async {
        let answer = person.get("/v1/notifications?limit=100").await;
        answer.body["items"].as_array().unwrap().clone()
    };
    let there =
        || async { inbox().await.len() >= count && (count > 0 || inbox().await.is_empty()) };
    eventually("the inbox has the entries", there).await;
    let items = inbox().await;
    assert_eq!(items.len(), count, "{items:?}");
    items
}

/// The kinds in an inbox of so many entries, newest first.
async fn kinds_of(person: &Person, count: usize) -> Vec<String> {
    let items = entries(person, count).await;
    let kinds = items.iter().map(|item| item["kind"].as_str().unwrap());
    kinds.map(ToOwned::to_owned).collect()
}

async fn mark(person: &Person, path: &str) -> u16 {
    let path = format!("/v1/notifications{path}");
    send(person.request(Method::POST, &path)).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_notifies_its_owner_once() {
    let mut test = start().await;
    let (mut ann, bob) = (test.customer(), test.customer());
    let (orders, users) = (test.other("orders"), test.other("users"));
    let at = Time(1_795_369_454_120);

    let welcome = Fact::UserRegistered { user_id: ann.user_id(), staff: false };
    users.publish_at("ann", welcome, at).await;
    entries(&ann, 1).await;
    let (order_id, user_id) = (Id::new(), ann.user_id());
    let rejected = Fact::OrderRejected { order_id, user_id: Some(user_id) };
    orders.publish_at("o", rejected, at).await;
    let items = entries(&ann, 2).await;

    let newest = items[0].as_object().unwrap();
    let mut members: Vec<_> = newest.keys().map(String::as_str).collect();
    members.sort_unstable();
    let contract = [
        "body",
        "created_at",
        "data",
        "id",
        "kind",
        "read_at",
        "title",
    ];
    assert_eq!(members, contract);
    assert!(newest["id"].as_str().unwrap().starts_with("notif_"));
    assert_eq!(newest["kind"], "order.rejected");
    assert_eq!(newest["data"]["order_id"], order_id.to_string());
    assert_eq!(newest["created_at"], "2026-11-22T17:44:14.120Z");
    assert_eq!(newest["read_at"], Value::Null);
    assert_eq!(items[1]["kind"], "user.registered");
    assert_eq!(items[1]["data"], serde_json::json!({}));
    assert!(!items[1]["title"].as_str().unwrap().is_empty());
    assert_eq!(entries(&bob, 0).await, Vec::<Value>::new());

    // Entries survive restarts, and events during one are notified once, too.
    for round in 3..6 {
        let before = entries(&ann, round - 1).await;
        let (ended, said) = tokio::join!(
            async {
                test.restart().await;
                test
            },
            confirm(&orders, &ann)
        );
        test = ended;
        ann = ann.at(test.address);
        let after = entries(&ann, round).await;
        assert_eq!(after[0]["data"]["order_id"], said.to_string());
        assert_eq!(after[1..], before[..]);
    }
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_is_paged_newest_first() {
    let test = start().await;
    let (ann, orders) = (test.customer(), test.other("orders"));
    let mut newest_first = Vec::new();
    for _ in 0..5 {
        newest_first.insert(0, confirm(&orders, &ann).await.to_string());
    }
    entries(&ann, 5).await;

    let (mut seen, mut query) = (Vec::new(), "?limit=2".to_owned());
    loop {
        let page = ann.get(&format!("/v1/notifications{query}")).await;
        seen.extend(orders_in(&ann, &query).await);
        // New entries are before this page and move nothing in it.
        confirm(&orders, &ann).await;
        let Some(cursor) = page.body["next_cursor"].as_str() else {
            break;
        };
        query = format!("?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, newest_first);

    for query in [
        "limit=0",
        "limit=101",
        "cursor=!",
        "cursor=AAAA",
        "unread=yes",
    ] {
        let answer = ann.get(&format!("/v1/notifications?{query}")).await;
        assert_eq!((answer.status, answer.problem()), (400, "bad-request"));
    }
    assert_eq!(test.anonymous().get("/v1/notifications").await.status, 401);
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn read_marks_belong_to_the_owner() {
    let test = start().await;
    let (ann, bob, orders) = (test.customer(), test.customer(), test.other("orders"));
    for _ in 0..3 {
        confirm(&orders, &ann).await;
    }
    confirm(&orders, &bob).await;
    let items = entries(&ann, 3).await;
    entries(&bob, 1).await;
    let middle = format!("/{}/read", items[1]["id"].as_str().unwrap());

    assert_eq!(mark(&test.anonymous(), &middle).await, 401);
    assert_eq!(mark(&bob, &middle).await, 404);
    assert_eq!(mark(&test.staff(), &middle).await, 404);
    assert_eq!(mark(&ann, "/notif_nonsense/read").await, 404);
    let never = Id::<kinds::Notification>::new();
    assert_eq!(mark(&ann, &format!("/{never}/read")).await, 404);
    assert_eq!(orders_in(&ann, "?unread=true").await.len(), 3);

    assert_eq!(mark(&ann, &middle).await, 204);
    let first_read = entries(&ann, 3).await;
    assert!(first_read[1]["read_at"].is_string());
    assert_eq!(orders_in(&ann, "?unread=true").await.len(), 2);
    assert_eq!(orders_in(&ann, "?unread=true&limit=1").await.len(), 1);
    assert_eq!(orders_in(&ann, "?unread=false").await.len(), 3);
    assert_eq!(mark(&ann, &middle).await, 204);
    assert_eq!(entries(&ann, 3).await, first_read);

    assert_eq!(mark(&ann, "/read").await, 204);
    assert_eq!(mark(&ann, "/read").await, 204);
    assert!(orders_in(&ann, "?unread=true").await.is_empty());
    let all_read = entries(&ann, 3).await;
    assert!(all_read.iter().all(|item| item["read_at"].is_string()));
    assert_eq!(all_read[1]["read_at"], first_read[1]["read_at"]);
    assert_eq!(orders_in(&bob, "?unread=true").await.len(), 1);
    test.finish().await;
}
