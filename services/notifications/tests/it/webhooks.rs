//! Webhooks, delivered to a server that verifies them with the reference implementation.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use mesh::{OrderBody, OrderBodyOf};
use model::{Fact, Time};
use notifications::Config;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Person, TestResponse, TestService, eventually, send};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::{ServerConfig, crypto};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{NAME, confirm, entries};

/// A program that receives webhooks.
#[derive(Clone, Default)]
struct Receiver {
    address: Option<SocketAddr>,
    answers: Arc<Mutex<VecDeque<u16>>>,
    got: Arc<Mutex<Vec<Got>>>,
}

#[derive(Clone)]
struct Got {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Got {
    fn id(&self) -> String {
        self.headers["webhook-id"].to_str().unwrap().to_owned()
    }

    fn verifies(&self, secret: &str) -> bool {
        let webhook = standardwebhooks::Webhook::new(secret).unwrap();
        webhook.verify(&self.body, &self.headers).is_ok()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Receiver {
    /// Responds with these statuses first, and then with 204.
    async fn start(first: &[u16]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            address: Some(listener.local_addr().unwrap()),
            answers: Arc::new(Mutex::new(first.iter().copied().collect())),
            got: Arc::default(),
        };
        let router = Router::new()
            .route("/{path}", axum::routing::any(Self::receive))
            .with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    async fn receive(
        State(receiver): State<Self>,
        Path(path): Path<String>,
        headers: HeaderMap,
        body: Bytes,
    ) -> (StatusCode, HeaderMap, &'static str) {
        let pause = match path.as_str() {
            "silent" => 60,
            "slow" => 7,
            _ => 0,
        };
        receiver
            .got
            .lock()
            .unwrap()
            .push(Got { path, headers, body });
        tokio::time::sleep(Duration::from_secs(pause)).await;
        let answer = receiver.answers.lock().unwrap().pop_front().unwrap_or(204);
        let mut headers = HeaderMap::new();
        headers.insert("location", "/elsewhere".parse().unwrap());
        let mut body = "";
        if answer == 503 {
            headers.insert("retry-after", "1".parse().unwrap());
            body = "busy";
        }
        (StatusCode::from_u16(answer).unwrap(), headers, body)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address.unwrap())
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    async fn gets(&self, count: usize) -> Vec<Got> {
        eventually("the webhook is called", || async {
            self.got().len() >= count
        })
        .await;
        self.got()
    }

    /// So many messages, each once: one whose answer was not noted before a restart is sent again
    /// under its id.
    async fn gets_distinct(&self, count: usize) -> BTreeMap<String, Value> {
        let distinct = || {
            self.got()
                .iter()
                .map(|got| (got.id(), got.json()))
                .collect()
        };
        let has_all = || async { BTreeMap::<_, _>::len(&distinct()) >= count };
        eventually("the webhook is called", has_all).await;
        distinct()
    }
}

async fn start(allow_private: bool) -> TestService {
    let mut config = Config::default();
    config.webhooks.allow_http = true;
    config.webhooks.allow_private = allow_private;
    config.webhooks.retry_first_ms = 20;
    let others = ["orders", "products"];
    TestService::start_with(config, NAME, notifications::open, &others).await
}

async fn register(admin: &Person, url: &str) -> Value {
    let body = json!({"url": url, "events": ["order.confirmed"]});
    let answer = admin.post("/v1/webhooks", body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let path = format!("/v1/webhooks/{}", answer.body["id"].as_str().unwrap());
    assert_eq!(answer.headers["location"], path.as_str());
    answer.body
}

async fn post(person: &Person, path: &str) -> TestResponse {
    send(person.request(Method::POST, path)).await
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap()
}

/// The deliveries of a webhook, once all of them have this status.
async fn deliveries(admin: &Person, hook: &Value, status: &str) -> Vec<Value> {
    let path = format!("/v1/webhooks/{}/deliveries", text(hook, "id"));
    let all = || async {
        let answer = admin.get(&path).await;
        answer.body["items"].as_array().unwrap().clone()
    };
    let settled = || async {
        let items = all().await;
        !items.is_empty() && items.iter().all(|item| item["status"] == status)
    };
    eventually(status, settled).await;
    all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_signed_retried_and_logged() {
    let receiver = Receiver::start(&[500, 302]).await;
    let test = start(true).await;
    let (admin, ann, orders) = (test.admin(), test.customer(), test.other("orders"));
    let hook = register(&admin, &receiver.url("hook")).await;
    let path = format!("/v1/webhooks/{}", text(&hook, "id"));
    let secret = text(&hook, "secret");
    assert!(secret.starts_with("whsec_"));
    let shown = admin.get(&path).await;
    assert_eq!(shown.body["secret"], Value::Null);
    assert_eq!(shown.body["url"], hook["url"]);

    let order = confirm(&orders, &ann).await;
    let got = receiver.gets(3).await;
    for one in &got {
        assert!(one.verifies(secret));
        assert_eq!((one.id(), one.path.as_str()), (got[0].id(), "hook"));
        assert_eq!(one.body, got[0].body);
    }
    let body = got[0].json();
    assert_eq!(body["type"], "order.confirmed");
    assert!(text(&body, "timestamp").ends_with('Z'));
    let user = ann.user_id().to_string();
    assert_eq!(
        body["data"],
        json!({"order_id": order.to_string(), "user_id": user})
    );

    let delivery = deliveries(&admin, &hook, "delivered").await.remove(0);
    assert_eq!(text(&delivery, "id"), got[0].id());
    let tries = delivery["attempts"].as_array().unwrap().iter();
    let statuses: Vec<_> = tries.map(|one| one["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [500, 302, 204]);

    // Both secrets are valid for a while; a redelivered message is identical.
    let rotated = post(&admin, &format!("{path}/rotate")).await;
    let fresh = text(&rotated.body, "secret");
    assert_ne!(fresh, secret);
    let again = format!("{path}/deliveries/{}/redeliver", got[0].id());
    assert_eq!(post(&admin, &again).await.status, 202);
    let last = receiver.gets(4).await.remove(3);
    assert!(last.verifies(secret) && last.verifies(fresh));
    assert_eq!((last.id(), &last.body), (got[0].id(), &got[0].body));

    for (who, status) in [(test.anonymous(), 401), (ann, 403), (test.staff(), 403)] {
        assert_eq!(who.get("/v1/webhooks").await.status, status);
        assert_eq!(post(&who, &again).await.status, status);
    }
    let wrong = json!({"url": "nonsense", "events": []});
    assert_eq!(admin.post("/v1/webhooks", wrong).await.status, 422);
    assert_eq!(send(admin.request(Method::DELETE, &path)).await.status, 204);
    assert_eq!(admin.get(&path).await.status, 404);
    assert_eq!(admin.get(&format!("{path}/deliveries")).await.status, 404);
    assert_eq!(admin.get("/v1/webhooks").await.body["items"], json!([]));
    test.finish().await;
}

/// Names are resolved and filtered at every delivery.
#[tokio::test(flavor = "multi_thread")]
async fn no_webhook_reaches_a_private_address() {
    let receiver = Receiver::start(&[]).await;
    let test = start(false).await;
    let (admin, ann) = (test.admin(), test.customer());
    let port = receiver.address.unwrap().port();
    for url in [
        format!("http://127.0.0.1:{port}/hook"),
        format!("http://[::ffff:127.0.0.1]:{port}/hook"),
        format!("http://0:{port}/hook"),
    ] {
        let body = json!({"url": url, "events": ["order.confirmed"]});
        let answer = admin.post("/v1/webhooks", body).await;
        assert_eq!((answer.status, answer.problem()), (422, "invalid"), "{url}");
    }
    let hook = register(&admin, &format!("http://localhost:{port}/hook")).await;
    confirm(&test.other("orders"), &ann).await;
    let path = format!("/v1/webhooks/{}/deliveries", text(&hook, "id"));
    let refused = || async {
        let answer = admin.get(&path).await;
        let why = &answer.body["items"][0]["attempts"][0]["error"];
        why.as_str()
            .is_some_and(|why| why.contains("not an address on the internet"))
    };
    eventually("it is refused", refused).await;
    assert!(receiver.got().is_empty());
    test.finish().await;
}

/// A receiver that works for some seconds before it responds is called once.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_webhook_is_waited_for() {
    let receiver = Receiver::start(&[]).await;
    let test = start(true).await;
    let (admin, ann) = (test.admin(), test.customer());
    let hook = register(&admin, &receiver.url("slow")).await;
    confirm(&test.other("orders"), &ann).await;
    let sent = deliveries(&admin, &hook, "delivered").await;
    assert_eq!((sent.len(), receiver.got().len()), (1, 1));
    let attempts = sent[0]["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 1, "{}", sent[0]);
    test.finish().await;
}

/// A silent webhook delays no other; one that responds 410 is disabled, staff are notified,
/// and it can be enabled again.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_webhook_affects_no_other() {
    const ORDERS: usize = 30;
    let (good, bad) = (Receiver::start(&[]).await, Receiver::start(&[410]).await);
    let test = start(true).await;
    let (admin, ann, orders) = (test.admin(), test.customer(), test.other("orders"));
    let hired = Fact::UserRegistered { user_id: admin.user_id(), staff: true };
    test.other("users").publish("admin", hired).await;
    entries(&admin, 1).await;
    register(&admin, &good.url("silent")).await;
    let gone = register(&admin, &bad.url("gone")).await;
    register(&admin, &good.url("quick")).await;
    for _ in 0..ORDERS {
        confirm(&orders, &ann).await;
    }
    let quick = || async {
        let got = good.got();
        got.iter().filter(|one| one.path == "quick").count() == ORDERS
    };
    eventually("the quick one has all", quick).await;

    // From the 21st on, orders share an entry.
    let items = entries(&admin, 21 + 2).await;
    let mut notices = items
        .iter()
        .filter(|item| item["kind"] == "webhook.disabled");
    let notice = notices.next().unwrap();
    assert!(notices.next().is_none(), "it is told once");
    assert_eq!(notice["data"]["webhook_id"], gone["id"]);
    let path = format!("/v1/webhooks/{}", text(&gone, "id"));
    assert!(admin.get(&path).await.body["disabled_at"].is_string());
    let waits = admin.get(&format!("{path}/deliveries")).await.body["items"][0].clone();
    let next = &waits["next_attempt_at"];
    assert_eq!((&waits["status"], next), (&json!("pending"), &Value::Null));
    let enabled = post(&admin, &format!("{path}/enable")).await;
    assert_eq!(enabled.body["disabled_at"], Value::Null);
    let before = bad.got().len();
    confirm(&orders, &ann).await;
    bad.gets(before + 1).await;
    test.finish().await;
}

/// Restarts during a series of orders: each order has one inbox entry and is delivered at least
/// once, always as the same message.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_the_service_is_down() {
    const ORDERS: usize = 200;
    let receiver = Receiver::start(&[]).await;
    let mut test = start(true).await;
    let (admin, ann, orders) = (test.admin(), test.customer(), test.other("orders"));
    register(&admin, &receiver.url("hook")).await;
    let saying = tokio::spawn({
        let ann = ann.clone();
        async move {
            let mut said = HashSet::new();
            for _ in 0..ORDERS {
                said.insert(confirm(&orders, &ann).await.to_string());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            said
        }
    });
    while !saying.is_finished() {
        test.restart().await;
    }
    let said = saying.await.unwrap();
    let all = || async {
        let got = receiver.got();
        let orders: HashSet<_> = got
            .iter()
            .map(|one| one.json()["data"]["order_id"].clone())
            .collect();
        orders.len() == ORDERS
    };
    eventually("every order went out", all).await;
    let mut ids: HashMap<String, String> = HashMap::new();
    for one in receiver.got() {
        let order = text(&one.json()["data"], "order_id").to_owned();
        assert!(said.contains(&order));
        assert_eq!(*ids.entry(order).or_insert_with(|| one.id()), one.id());
    }
    let ann = ann.at(test.address);
    let (mut listed, mut query) = (Vec::new(), "?limit=100".to_owned());
    loop {
        let page = ann.get(&format!("/v1/notifications{query}")).await.body;
        assert_eq!(page["unread_count"], ORDERS);
        for item in page["items"].as_array().unwrap() {
            listed.push(text(&item["data"], "order_id").to_owned());
        }
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        query = format!("?limit=100&cursor={cursor}");
    }
    assert_eq!(listed.len(), ORDERS);
    assert_eq!(listed.into_iter().collect::<HashSet<_>>(), said);
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_changed_and_tested() {
    let (old, new) = (Receiver::start(&[]).await, Receiver::start(&[503]).await);
    let test = start(true).await;
    let (admin, ann, orders) = (test.admin(), test.customer(), test.other("orders"));
    let hook = register(&admin, &old.url("old")).await;
    let path = format!("/v1/webhooks/{}", text(&hook, "id"));
    let patch = async |body: Value| send(admin.request(Method::PATCH, &path).json(&body)).await;

    let kinds = admin.get("/v1/webhooks/kinds").await.body["items"].clone();
    let kinds = kinds.as_array().unwrap();
    let names: Vec<_> = kinds.iter().map(|one| text(one, "kind")).collect();
    assert!(model::described_kinds().map(|(kind, _)| kind).eq(names));

    let wrong = patch(json!({ "url": "ftp://x", "events": ["orders.*", "order.paid"] })).await;
    let faults = wrong.body["errors"].as_array().unwrap().clone();
    let pointers: Vec<_> = faults.iter().map(|fault| text(fault, "pointer")).collect();
    assert_eq!(pointers, ["/url", "/events/0"]);
    assert!(text(&faults[1], "detail").contains("/v1/webhooks/kinds"));
    assert_eq!(patch(json!({ "events": [] })).await.status, 422);

    let paused = patch(json!({ "active": false })).await;
    assert_eq!(
        (paused.status, &paused.body["active"]),
        (200, &json!(false))
    );
    assert_eq!(paused.body["events"], hook["events"], "the rest stays");
    let refused = post(&admin, &format!("{path}/test")).await;
    assert_eq!(
        (refused.status, refused.problem()),
        (409, "webhook-disabled")
    );
    confirm(&orders, &ann).await;
    entries(&ann, 1).await;

    let change =
        json!({ "url": new.url("new"), "events": ["user.erased", "order.*"], "active": true });
    let changed = patch(change).await;
    assert_eq!(changed.body["events"], json!(["user.erased", "order.*"]));
    let stale = admin
        .request(Method::PATCH, &path)
        .header("if-match", "\"1\"");
    assert_eq!(send(stale.json(&json!({}))).await.status, 412);
    let order = confirm(&orders, &ann).await;
    // Refused once, with a wish to wait a second.
    let got = new.gets(2).await;
    assert_eq!(got[0].json()["data"]["order_id"], order.to_string());
    assert!(got[1].verifies(text(&hook, "secret")), "the secret stays");
    let sent = post(&admin, &format!("{path}/test")).await;
    assert_eq!(
        (sent.status, text(&sent.body, "kind")),
        (202, "webhook.test")
    );
    let tested = new.gets(3).await.remove(2);
    assert_eq!(
        (tested.id(), &tested.json()["data"]["webhook_id"]),
        (text(&sent.body, "id").into(), &hook["id"])
    );
    assert!(old.got().is_empty(), "events of a pause are not sent");

    let delivered = deliveries(&admin, &hook, "delivered").await;
    let (test_event, order_event) = (&delivered[0], &delivered[1]);
    assert_eq!(test_event["payload"], tested.json());
    assert_eq!(order_event["payload"], got[0].json());
    let attempts = order_event["attempts"].as_array().unwrap();
    assert_eq!(attempts[0]["answer"], "busy");
    let at = |place: usize| serde_json::from_value::<Time>(attempts[place]["at"].clone()).unwrap();
    assert!(
        at(1).since(at(0)) >= Duration::from_secs(1),
        "Retry-After is heeded"
    );
    test.finish().await;
}

/// Webhooks are sent what staff are told that no event says, once each, also across restarts.
#[tokio::test(flavor = "multi_thread")]
async fn staff_notices_are_sent_once() {
    let (receiver, gone) = (Receiver::start(&[]).await, Receiver::start(&[410]).await);
    let mut test = start(true).await;
    let (mut admin, ann) = (test.admin(), test.customer());
    let hired = Fact::UserRegistered { user_id: admin.user_id(), staff: true };
    test.other("users").publish("admin", hired).await;
    entries(&admin, 1).await;
    for (url, events) in [
        (
            receiver.url("notices"),
            json!(["refund.due", "webhook.*", "backup.*"]),
        ),
        (gone.url("gone"), json!(["order.*"])),
    ] {
        let body = json!({ "url": url, "events": events });
        assert_eq!(admin.post("/v1/webhooks", body).await.status, 201);
    }
    let (order_id, user_id) = (model::Id::new(), ann.user_id());
    let amount = model::Money { amount: 1999, currency: "EUR".parse().unwrap() };
    let cancelled = Fact::OrderCancelled {
        order_id,
        user_id: Some(user_id),
        refunded: Some(amount),
        refund_pending: None,
    };
    test.other("orders")
        .publish_by(ann.user_id(), "order", cancelled)
        .await;
    receiver.gets(2).await;
    for error in [Some("no room"), Some("no room again"), None] {
        let outcome = error.map(str::to_owned);
        chassis::backup_state::note(&test.folder, model::now(), outcome).unwrap();
        test.restart().await;
        admin = admin.at(test.address);
    }
    let got = receiver.gets_distinct(4).await;
    let told: Vec<_> = got.into_values().collect();
    let kinds: HashSet<_> = told.iter().map(|body| text(body, "type")).collect();
    let expected = [
        "refund.due",
        "webhook.disabled",
        "backup.failed",
        "backup.recovered",
    ];
    assert_eq!((told.len(), kinds), (4, expected.into()));
    let due = told
        .iter()
        .find(|body| body["type"] == "refund.due")
        .unwrap();
    let data = json!({
        "order_id": order_id,
        "amount": { "amount": 1999, "currency": "EUR" },
        "by_buyer": true,
    });
    assert_eq!(due["data"], data);
    // The four, and the greeting.
    entries(&admin, 5).await;
    test.finish().await;
}

/// A receiver on the local network, whose certificate is signed by a private authority.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_may_have_an_authority_of_the_house() {
    let names = vec!["localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await;
            let _ = stream.shutdown().await;
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("house.pem");
    std::fs::write(&authority, made.cert.pem()).unwrap();
    for (authority, status) in [(None, "failed"), (Some(authority), "delivered")] {
        let mut config = Config::default();
        config.webhooks.allow_private = true;
        config.webhooks.authority = authority;
        config.webhooks.retry_first_ms = 3_600_000;
        config.webhooks.retry_hours = 1;
        let others = ["orders", "products"];
        let test = TestService::start_with(config, NAME, notifications::open, &others).await;
        let admin = test.admin();
        let hook = register(&admin, &format!("https://localhost:{port}/")).await;
        let path = format!("/v1/webhooks/{}/test", text(&hook, "id"));
        assert_eq!(post(&admin, &path).await.status, 202);
        let attempt = || async {
            let path = format!("/v1/webhooks/{}/deliveries", text(&hook, "id"));
            let items = admin.get(&path).await.body["items"].clone();
            items[0]["attempts"][0].clone()
        };
        eventually("it was tried", || async { attempt().await.is_object() }).await;
        let attempt = attempt().await;
        match status {
            "delivered" => assert_eq!(
                (&attempt["status"], &attempt["answer"]),
                (&json!(200), &json!("ok"))
            ),
            _ => assert!(text(&attempt, "error").contains("certificate"), "{attempt}"),
        }
        test.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_order_is_sent_along_and_never_stored() {
    let receiver = Receiver::start(&[]).await;
    let test = start(true).await;
    let (admin, ann, orders) = (test.admin(), test.customer(), test.other("orders"));
    let body = json!({ "url": receiver.url("hook"), "events": ["*"], "expand": ["order"] });
    let hook = admin.post("/v1/webhooks", body).await.body;
    assert_eq!(hook["expand"], json!(["order"]));
    let order = confirm(&orders, &ann).await;
    // Orders does not answer yet: the message waits.
    let path = format!("/v1/webhooks/{}/deliveries", text(&hook, "id"));
    eventually("an attempt fails", || async {
        let items = admin.get(&path).await.body["items"].clone();
        let why = items[0]["attempts"][0]["error"].clone();
        why.as_str()
            .is_some_and(|why| why.starts_with("orders did not answer"))
    })
    .await;
    assert!(receiver.got().is_empty());
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let answer = |asked: OrderBodyOf| -> futures::future::BoxFuture<'static, _> {
        let json = json!({ "id": asked.order_id, "note": "by the door" }).to_string();
        Box::pin(std::future::ready(Some(OrderBody { json: Some(json) })))
    };
    test.mesh.answer(&tasks, stop, answer).await.unwrap();

    let got = receiver.gets(1).await.remove(0);
    assert!(got.verifies(text(&hook, "secret")));
    let whole = json!({ "id": order.to_string(), "note": "by the door" });
    assert_eq!(got.json()["data"]["order"], whole);
    let delivery = deliveries(&admin, &hook, "delivered").await.remove(0);
    assert_eq!(delivery["payload"]["data"]["order_id"], order.to_string());
    assert!(delivery["payload"]["data"].get("order").is_none());
    // An event about no order is sent as it is.
    let erased = Fact::UserErased { user_id: test.customer().user_id() };
    test.other("users").publish("erased", erased).await;
    let got = receiver.gets(2).await.remove(1);
    assert!(got.json()["data"].get("order").is_none());
    test.finish().await;
}
