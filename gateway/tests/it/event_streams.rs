//! The events of all services as one stream, of stub services.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::stream;
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use reqwest::Method;
use testkit::{Person, TestService, eventually};
use tokio::sync::mpsc;

use crate::stub::{Seen, Stub, StubBody};

const SERVICES: [&str; 4] = ["users", "products", "orders", "notifications"];

/// The services and the writing ends of their open streams.
struct PlayedLogs {
    stubs: Vec<Stub>,
    open: Arc<Mutex<HashMap<&'static str, mpsc::Sender<Bytes>>>>,
}

impl PlayedLogs {
    async fn start(test: &TestService) -> Self {
        let open: Arc<Mutex<HashMap<_, _>>> = Arc::default();
        let mut stubs = Vec::new();
        for service in SERVICES {
            let (stub, open) = (Stub::declare(&test.mesh, service).await, open.clone());
            stub.respond_with(move |seen| {
                let (sender, response) = event_stream(&seen);
                let begin = format!(": listening\n\nid: {service}/1/5\n\n");
                sender.try_send(begin.into()).unwrap();
                open.lock().unwrap().insert(service, sender);
                async { response }
            });
            stubs.push(stub);
        }
        Self { stubs, open }
    }

    fn write(&self, service: &str, text: &'static str) {
        let open = self.open.lock().unwrap();
        open[service].try_send(text.into()).unwrap();
    }
}

fn event_stream(seen: &Seen) -> (mpsc::Sender<Bytes>, Response<StubBody>) {
    let (sender, receiver) = mpsc::channel(16);
    let frames = stream::unfold(receiver, |mut receiver| async move {
        let data: Bytes = receiver.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(data)), receiver))
    });
    let is_stream = seen.target.starts_with("/v1/events/stream");
    let kind = if is_stream {
        "text/event-stream"
    } else {
        "application/json"
    };
    let body = StreamBody::new(frames).boxed_unsync();
    let response = Response::builder().header("content-type", kind);
    (
        sender,
        response
            .header("x-accel-buffering", "no")
            .body(body)
            .unwrap(),
    )
}

async fn open(admin: &Person, query: &str) -> reqwest::Response {
    let path = format!("/v1/events/stream{query}");
    let request = admin.request(Method::GET, &path);
    let request = request.header("last-event-id", "orders/1/4,users/1/5");
    request.send().await.unwrap()
}

/// Reads on until the text is there.
async fn read_until(response: &mut reqwest::Response, text: &mut String, wanted: &str) {
    while !text.contains(wanted) {
        let chunk = response.chunk().await.unwrap().expect("the stream goes on");
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_all_services_are_one_stream() {
    let test = crate::start(gateway::Config::default()).await;
    let admin = test.admin();
    assert_eq!(test.staff().get("/v1/events/stream").await.status, 403);
    let logs = PlayedLogs::start(&test).await;
    eventually("the gateway has discovered the services", || async {
        open(&admin, "").await.status() == 200
    })
    .await;

    let mut stream = open(&admin, "?kind=order.paid").await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_eq!(stream.headers()["x-accel-buffering"], "no");
    for stub in &logs.stubs {
        let seen = stub.seen().pop().unwrap();
        assert_eq!(seen.target, "/v1/events/stream?kind=order.paid");
        assert_eq!(seen.headers["last-event-id"], "orders/1/4,users/1/5");
        assert!(seen.headers.contains_key("authorization"));
    }
    let mut text = String::new();
    let all = "id: notifications/1/5,orders/1/5,products/1/5,users/1/5\n";
    read_until(&mut stream, &mut text, all).await;
    logs.write("orders", "id: orders/1/6\nevent: order.pa");
    logs.write("users", ": still here\n\n");
    logs.write("orders", "id\ndata: {}\n\n");
    let event =
        "id: notifications/1/5,orders/1/6,products/1/5,users/1/5\nevent: order.paid\ndata: {}\n\n";
    read_until(&mut stream, &mut text, event).await;
    read_until(&mut stream, &mut text, ": still here\n\n").await;

    // Without one of its logs there is no stream.
    logs.open.lock().unwrap().remove("products");
    while stream.chunk().await.unwrap().is_some() {}
    let of_one = open(&admin, "?source=orders").await;
    assert_eq!(of_one.status(), 200);
    let nobody = admin.get("/v1/events/stream?source=nobody").await;
    assert_eq!((nobody.status, nobody.problem()), (400, "bad-request"));
    drop((stream, of_one));
    test.finish().await;
}
