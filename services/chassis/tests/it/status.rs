//! The status, the events and the dead letters of a service.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use axum::Router;
use chassis::Context;
use mesh::{Cause, Draft, Refusal};
use model::{Fact, Id};
use reqwest::Method;
use serde_json::json;
use testkit::{TestService, eventually, send};

/// The number of events in the service's log.
const EVENTS: u64 = 25;

static IS_STUBBORN: AtomicBool = AtomicBool::new(true);

fn registered(staff: bool) -> Fact {
    Fact::UserRegistered { user_id: Id::new(), staff }
}

fn open(ctx: Context, _: ()) -> chassis::Opening {
    Box::pin(async move {
        let following = ctx.follow("orders", |_, event| match event.kind.as_str() {
            "user.registered" if IS_STUBBORN.load(SeqCst) => {
                Err(Refusal::Never("not today".into()))
            }
            _ => Ok(()),
        });
        following.await?;
        let log = ctx.log.clone();
        let appended = ctx.store.write(move |tx| {
            (0..EVENTS).try_for_each(|number| {
                let fact = match number % 5 {
                    0 => Fact::UserErased { user_id: Id::new() },
                    _ => registered(false),
                };
                let (key, at) = (number.to_string(), model::now());
                let cause = Cause { trace: Some("a-request".into()), ..Cause::own(at) };
                let draft = Draft { key, fact, cause };
                log.append(tx, draft).map(|_| ())
            })
        });
        let appended: Result<(), store::Error> = appended.await;
        appended?;
        ctx.status.report("cupboard", || json!({ "shelves": 3 }));
        Ok(ctx.serve(Router::new()))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_lists_its_events() {
    let test = TestService::start("shelf", open, &["orders"]).await;
    let admin = test.admin();
    for path in ["/v1/status", "/v1/events", "/v1/events/dead-letters"] {
        assert_eq!(test.anonymous().get(path).await.status, 401, "{path}");
        assert_eq!(test.staff().get(path).await.status, 403, "{path}");
    }

    let mut newest_first = Vec::new();
    let mut path = "/v1/events?limit=10".to_owned();
    loop {
        let page = admin.get(&path).await.body;
        let events = page["items"].as_array().unwrap().clone();
        newest_first.extend(events.iter().map(|event| event["seq"].as_u64().unwrap()));
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/v1/events?limit=10&cursor={cursor}");
    }
    assert!(
        newest_first.iter().copied().eq((1..=EVENTS).rev()),
        "{newest_first:?}"
    );

    let erased = admin.get("/v1/events?after=3&kind=user.erased").await.body;
    let places: Vec<_> = erased["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["seq"])
        .collect();
    assert_eq!(places, [6, 11, 16, 21]);
    let one = &erased["items"][0];
    assert_eq!(one["trace"], "a-request");
    assert!(
        one["data"]["user_id"]
            .as_str()
            .unwrap()
            .starts_with("user_"),
        "{one}"
    );
    let onwards = admin
        .get(&format!("/v1/events?after={}", one["id"].as_str().unwrap()))
        .await;
    assert_eq!(onwards.body["items"][0]["seq"], 7);
    for wrong in ["after=users/1/3", "after=x", "source=users"] {
        assert_eq!(
            admin.get(&format!("/v1/events?{wrong}")).await.status,
            400,
            "{wrong}"
        );
    }
    test.finish().await;
}

/// As `open`, with a log that is trimmed up to the event before the sixth.
fn open_trimmed(ctx: Context, config: ()) -> chassis::Opening {
    Box::pin(async move {
        let (store, log) = (ctx.store.clone(), ctx.log.clone());
        let opened = open(ctx, config).await?;
        log.note_follower("reader/main", 6);
        let trimmed = store.write(move |tx| log.trim(tx, &["reader/main"], model::Time(i64::MAX)));
        let trimmed: Result<bool, store::Error> = trimmed.await;
        assert!(!trimmed?, "one batch is enough");
        Ok(opened)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn trimmed_events_are_gone() {
    let test = TestService::start("shelf", open_trimmed, &["orders"]).await;
    let admin = test.admin();
    for (query, first) in [
        ("after=0", None),
        ("after=4", None),
        ("after=5&limit=1", Some(6)),
        ("limit=1", Some(EVENTS)),
    ] {
        let listed = admin.get(&format!("/v1/events?{query}")).await;
        match first {
            Some(first) => assert_eq!(listed.body["items"][0]["seq"], first, "{query}"),
            None => {
                assert_eq!((listed.status, listed.problem()), (410, "events-trimmed"));
                assert_eq!(listed.body["first"], 6, "{query}");
            }
        }
    }
    let oldest = admin.get("/v1/events?limit=100").await.body;
    assert_eq!(
        oldest["items"].as_array().unwrap().last().unwrap()["seq"],
        6
    );
    assert_eq!(oldest["next_cursor"], json!(null));
    let log = &admin.get("/v1/status").await.body["log"];
    assert_eq!(*log, json!({ "first": 6, "tail": EVENTS }));
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_retried_and_discarded() {
    let test = TestService::start("shelf", open, &["orders"]).await;
    let admin = test.admin();
    let orders = test.other("orders");
    for key in ["a", "b"] {
        orders.publish(key, registered(true)).await;
    }
    let parked = || async { admin.get("/v1/events/dead-letters").await.body["items"].clone() };
    eventually("both are parked", || async {
        parked()
            .await
            .as_array()
            .is_some_and(|items| items.len() == 2)
    })
    .await;
    let status = admin.get("/v1/status").await.body;
    assert_eq!(
        (&status["parked"], &status["log"]["tail"]),
        (&json!(2), &json!(EVENTS))
    );
    assert_eq!(
        (&status["state"], &status["cupboard"]["shelves"]),
        (&json!("ready"), &json!(3))
    );
    let main = &status["followers"].as_array().unwrap()[1];
    assert_eq!(
        (&main["source"], &main["lag"]),
        (&json!("orders"), &json!(0)),
        "{status}"
    );

    let items = parked().await;
    assert_eq!(items[0]["reason"], "not today");
    let (first, second) = (
        items[0]["id"].as_str().unwrap(),
        items[1]["id"].as_str().unwrap(),
    );
    let retry = |id: &str| {
        send(admin.request(Method::POST, &format!("/v1/events/dead-letters/{id}/retry")))
    };
    let refused = retry(first).await;
    assert_eq!((refused.status, refused.problem()), (409, "refused-again"));
    IS_STUBBORN.store(false, SeqCst);
    assert_eq!(retry(first).await.status, 204);
    assert_eq!(retry(first).await.status, 404);
    let given_up = admin.request(Method::DELETE, &format!("/v1/events/dead-letters/{second}"));
    assert_eq!(send(given_up).await.status, 204);
    assert_eq!(parked().await, json!([]));
    test.finish().await;
}

/// The next event of a stream, without comments.
async fn next(stream: &mut reqwest::Response, text: &mut String) -> serde_json::Value {
    loop {
        if let Some((block, rest)) = text.split_once("\n\n") {
            let (block, rest) = (block.to_owned(), rest.to_owned());
            *text = rest;
            let Some(data) = block.lines().find_map(|line| line.strip_prefix("data: ")) else {
                continue;
            };
            let event: serde_json::Value = serde_json::from_str(data).unwrap();
            let id = format!("id: {}", event["id"].as_str().unwrap());
            assert!(block.lines().any(|line| line == id), "{block}");
            return event;
        }
        let chunk = stream.chunk().await.unwrap().expect("the stream goes on");
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_events_goes_on_after_the_last_one() {
    let mut test = TestService::start("shelf", open, &["orders"]).await;
    let admin = test.admin();
    let path = "/v1/events/stream";
    assert_eq!(test.staff().get(path).await.status, 403);
    let wrong = admin.get("/v1/events/stream?source=users").await;
    assert_eq!((wrong.status, wrong.problem()), (400, "bad-request"));

    let page = admin.get("/v1/events?after=0&limit=100").await.body;
    let listed = page["items"].as_array().unwrap().clone();
    assert_eq!(listed.len() as u64, EVENTS);
    let id = |place: usize| listed[place]["id"].as_str().unwrap().to_owned();
    let open = async |query: &str, last: Option<String>| {
        let request = admin.request(Method::GET, &format!("{path}{query}"));
        let request = match last {
            Some(id) => request.header("last-event-id", id),
            None => request,
        };
        let stream = request.send().await.unwrap();
        assert_eq!(stream.status(), 200);
        assert_eq!(stream.headers()["x-accel-buffering"], "no");
        (stream, String::new())
    };
    let (mut stream, mut text) = open("?source=shelf", Some(id(4))).await;
    for event in &listed[5..] {
        assert_eq!(next(&mut stream, &mut text).await, *event);
    }
    let query = format!("?kind=user.erased&lastEventId=orders/1/9,{}", id(6));
    let (mut erased, mut text) = open(&query, None).await;
    for place in [10, 15, 20] {
        assert_eq!(next(&mut erased, &mut text).await, listed[place]);
    }
    // Without an id, or with none of this log, there are only new events: those of a restart.
    let mut fresh = Vec::new();
    for last in [None, Some("orders/1/7".to_owned()), Some("x".to_owned())] {
        fresh.push(open("", last).await);
    }
    test.restart().await;
    for (mut stream, _) in fresh {
        let mut rest = String::new();
        while let Ok(Some(chunk)) = stream.chunk().await {
            rest.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        let begins = rest.starts_with(": listening\n\nid: shelf/") && !rest.contains("data:");
        assert!(begins, "it ended with the service: {rest}");
    }
    test.finish().await;
}

fn open_stubborn(ctx: Context, _: ()) -> chassis::Opening {
    Box::pin(async move {
        let following = ctx.follow("orders", |_, _| Err(Refusal::Never("never".into())));
        let following = following.await?;
        chassis::dead_letters::publish(&ctx, vec![following]);
        Ok(ctx.serve(Router::new()))
    })
}

/// Each dead letter is published once. A start looks for new ones at once.
#[tokio::test(flavor = "multi_thread")]
async fn new_dead_letters_are_published_once() {
    let mut test = TestService::start("shelf", open_stubborn, &["orders"]).await;
    for count in 1..=3 {
        let admin = test.admin();
        let parked = || async { admin.get("/v1/events/dead-letters").await.body["items"].clone() };
        test.other("orders").publish("a", registered(true)).await;
        let is_parked = || async { parked().await.as_array().unwrap().len() == count };
        eventually("it is parked", is_parked).await;
        test.restart().await;
        let admin = test.admin();
        let published = || async {
            let events = admin.get("/v1/events?kind=event.parked").await.body;
            let events = events["items"].as_array().unwrap().iter();
            let data: Vec<_> = events.map(|event| event["data"].clone()).collect();
            data
        };
        let is_published = || async { published().await.len() >= count };
        eventually("it is published", is_published).await;
        let newest_first: Vec<_> = (1..=count)
            .rev()
            .map(|seq| json!({ "service": "shelf", "source": "orders", "seq": seq, "count": 1 }))
            .collect();
        assert_eq!(published().await, newest_first);
    }
    test.finish().await;
}
