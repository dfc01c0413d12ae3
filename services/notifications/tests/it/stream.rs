//! The live stream, read as an `EventSource` would read it.

use std::time::Duration;

use chassis::Role;
use model::{Fact, Id, Time};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Person, TestService, eventually};

use super::{confirm, entries, start};

const STREAM: &str = "/v1/notifications/stream";
const TIMEOUT: Duration = Duration::from_secs(20);

/// An open stream and its undecoded bytes.
struct Stream {
    response: reqwest::Response,
    text: String,
}

struct StreamEvent {
    id: String,
    kind: String,
    data: Value,
}

impl Stream {
    /// Returns once the headers are there, which is before there is any event.
    async fn open(person: &Person, last_event_id: Option<&str>) -> Self {
        let mut request = person.request(Method::GET, STREAM);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        Self::of(request).await
    }

    async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = tokio::time::timeout(TIMEOUT, request.send());
        let response = response.await.expect("headers at once").unwrap();
        assert_eq!(response.status(), 200);
        for (name, value) in [
            ("content-type", "text/event-stream"),
            ("cache-control", "private, no-store, no-transform"),
            ("x-accel-buffering", "no"),
        ] {
            assert_eq!(response.headers()[name], value);
        }
        let mut stream = Self { response, text: String::new() };
        let comment = stream.block().await;
        assert_eq!(comment.as_deref(), Some(": listening"), "at once");
        stream
    }

    /// The next event; `None` when the stream has ended.
    async fn next(&mut self) -> Option<StreamEvent> {
        self.block().await.as_deref().map(parse)
    }

    /// The next event or comment.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let chunk = tokio::time::timeout(TIMEOUT, self.response.chunk());
            let chunk = chunk.await.expect("an event in time").unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    async fn orders(&mut self, count: usize) -> Vec<String> {
        let mut orders = Vec::new();
        while orders.len() < count {
            let event = self.next().await.expect("the stream goes on");
            orders.push(event.data["data"]["order_id"].as_str().unwrap().to_owned());
        }
        orders
    }
}

fn parse(event: &str) -> StreamEvent {
    let field = |name: &str| {
        let line = event.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} in {event}"))
            .trim_start()
            .to_owned()
    };
    StreamEvent {
        id: field("id:"),
        kind: field("event:"),
        data: serde_json::from_str(&field("data:")).unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_delivers_new_entries_to_its_owner() {
    let test = start().await;
    let (ann, bob, orders) = (test.customer(), test.customer(), test.other("orders"));
    confirm(&orders, &ann).await;
    entries(&ann, 1).await;

    let mut stream = Stream::open(&ann, None).await;
    confirm(&orders, &bob).await;
    let said = confirm(&orders, &ann).await;
    let event = stream.next().await.unwrap();
    let items = entries(&ann, 2).await;
    assert_eq!(event.kind, "order.confirmed");
    assert_eq!(event.data, items[0]);
    assert_eq!(event.id, items[0]["id"].as_str().unwrap());
    assert_eq!(event.data["data"]["order_id"], said.to_string());

    // An id in the query counts, and one that is none is treated as absent.
    let first = items[1]["id"].as_str().unwrap();
    let query = ann.request(Method::GET, &format!("{STREAM}?lastEventId={first}"));
    let resumed = Stream::of(query).await.next().await.unwrap();
    assert_eq!(resumed.data, items[0]);
    let mut fresh = Stream::open(&ann, Some("7")).await;
    let said = confirm(&orders, &ann).await;
    assert_eq!(fresh.orders(1).await, [said.to_string()]);
    assert_eq!(test.anonymous().get(STREAM).await.status, 401);
    test.finish().await;
}

/// A page opens its stream with a ticket, and again with another after it ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_opens_one_stream() {
    let test = start().await;
    let (users, orders) = (test.other("users"), test.other("orders"));
    let claims = testkit::claims(Id::new(), &[Role::Customer], model::now());
    let ann = Person::new(test.address, Some(test.issue(&claims)), Some(claims.sub));
    let browser = test.anonymous();
    let path = async || {
        let made = ann.post(&format!("{STREAM}-ticket"), json!({})).await;
        assert_eq!((made.status, &made.body["expires_in"]), (201, &json!(60)));
        format!("{STREAM}?ticket={}", made.body["ticket"].as_str().unwrap())
    };
    let first = path().await;
    let mut stream = Stream::of(browser.request(Method::GET, &first)).await;
    confirm(&orders, &ann).await;
    let last = stream.next().await.unwrap().id;
    let spent = browser.get(&first).await;
    assert_eq!((spent.status, spent.problem()), (401, "wrong-ticket"));
    drop(stream);
    let said = confirm(&orders, &ann).await;
    entries(&ann, 2).await;
    let again = format!("{}&lastEventId={last}", path().await);
    let mut stream = Stream::of(browser.request(Method::GET, &again)).await;
    assert_eq!(stream.orders(1).await, [said.to_string()]);

    assert_eq!(
        browser
            .post(&format!("{STREAM}-ticket"), json!({}))
            .await
            .status,
        401
    );
    let waiting = path().await;
    let refused = loop {
        let made = ann.post(&format!("{STREAM}-ticket"), json!({})).await;
        if made.status != 201 {
            break made;
        }
    };
    assert_eq!(refused.status, 429);
    // A ticket is worth what its token is worth.
    revoke(&users, &claims, claims.exp).await;
    assert!(stream.next().await.is_none());
    assert_eq!(browser.get(&waiting).await.status, 401);
    test.finish().await;
}

/// Events are published while streams break and resume anywhere: together they contain each
/// once, in order.
#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_stream_has_no_gap_and_no_duplicate() {
    const FACTS: usize = 300;
    let test = start().await;
    let (ann, orders) = (test.customer(), test.other("orders"));
    confirm(&orders, &ann).await;
    let before = entries(&ann, 1).await;
    let mut last = before[0]["id"].as_str().unwrap().to_owned();

    let saying = tokio::spawn({
        let (ann, orders) = (ann.clone(), orders.clone());
        async move {
            let mut said = Vec::new();
            for _ in 0..FACTS {
                said.push(confirm(&orders, &ann).await.to_string());
            }
            said
        }
    });
    let mut heard = Vec::new();
    for chunk in (1..).map(|place| 1 + place * 7 % 23) {
        let mut stream = Stream::open(&ann, Some(&last)).await;
        for _ in 0..chunk.min(FACTS - heard.len()) {
            let event = stream.next().await.expect("the stream goes on");
            heard.push(event.data["data"]["order_id"].as_str().unwrap().to_owned());
            last = event.id;
        }
        if heard.len() == FACTS {
            break;
        }
    }
    assert_eq!(heard, saying.await.unwrap());

    // An unbroken stream: history first, then live.
    let mut stream = Stream::open(&ann, before[0]["id"].as_str()).await;
    assert_eq!(stream.orders(FACTS).await, heard);
    let said = confirm(&orders, &ann).await;
    assert_eq!(stream.orders(1).await, [said.to_string()]);
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_with_the_service_and_resume_after_it() {
    let mut test = start().await;
    let (ann, orders) = (test.customer(), test.other("orders"));
    let mut stream = Stream::open(&ann, None).await;
    confirm(&orders, &ann).await;
    let last = stream.next().await.unwrap().id;

    let started = tokio::time::Instant::now();
    test.restart().await;
    assert!(
        started.elapsed() < chassis::limits::DRAIN_TIMEOUT,
        "an open stream held up the drain"
    );
    assert!(stream.next().await.is_none());

    let said = confirm(&orders, &ann).await;
    let mut resumed = Stream::open(&ann.at(test.address), Some(&last)).await;
    assert_eq!(resumed.orders(1).await, [said.to_string()]);
    drop(resumed);
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_session() {
    let test = start().await;
    let (orders, users) = (test.other("orders"), test.other("users"));
    let claims = testkit::claims(Id::new(), &[Role::Customer], model::now());
    let token = test.issue(&claims);
    let ann = Person::new(test.address, Some(token), Some(claims.sub));
    let mut stream = Stream::open(&ann, None).await;
    confirm(&orders, &ann).await;
    assert!(stream.next().await.is_some());

    // The end of the session ends the stream at once.
    let started = tokio::time::Instant::now();
    let mut idle = Stream::open(&ann, None).await;
    revoke(&users, &claims, claims.exp).await;
    assert!(idle.next().await.is_none());
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "only a heartbeat ended it"
    );
    let refused = || async { ann.get("/v1/notifications").await.status == 401 };
    eventually("the session has ended", refused).await;
    confirm(&orders, &ann).await;
    assert!(stream.next().await.is_none());
    test.finish().await;
}

async fn revoke(users: &testkit::OtherService, claims: &chassis::token::Claims, until: Time) {
    let (user_id, session_id) = (claims.sub, claims.sid);
    let fact = Fact::SessionRevoked { user_id, session_id, until, reason: None };
    users.publish(&session_id.to_string(), fact).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_one_account_are_bounded() {
    let test: TestService = start().await;
    let ann = test.customer();
    let mut streams = Vec::new();
    let refused = loop {
        let request = ann.request(Method::GET, "/v1/notifications/stream");
        let response = request.send().await.unwrap();
        if response.status() != 200 {
            break response;
        }
        streams.push(response);
        assert!(streams.len() < 100, "nothing bounds them");
    };
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    drop(streams);
    let again = || async {
        let request = ann.request(Method::GET, "/v1/notifications/stream");
        request.send().await.unwrap().status() == 200
    };
    eventually("there is room again", again).await;
    test.finish().await;
}
