//! Forwarding: requests that pass, requests that are refused, and failures of services.

use std::time::Duration;

use bytes::Bytes;
use chassis::telemetry::LogFormat;
use futures::stream;
use mesh::{Instance, Presence};
use reqwest::{Body, Method};
use serde_json::json;
use testkit::{Person, TestService, eventually, send};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::protocol::talk;
use crate::stub::Stub;

const TRACE_PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async fn gateway() -> TestService {
    crate::start(gateway::Config::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_forwarded_without_hop_by_hop_headers() {
    let test = gateway().await;
    let orders = Stub::start(&test, "orders").await;
    let request = test
        .customer()
        .request(Method::POST, "/v1/orders/a%2F../pay")
        .header("x-request-id", "abc")
        .header("traceparent", TRACE_PARENT)
        .header("connection", "x-secret-hop")
        .header("x-secret-hop", "1")
        .header("te", "trailers")
        .header("x-user-id", "user_admin")
        .header("x-konbini-role", "admin")
        .header("x-forwarded-for", "9.9.9.9")
        .header("forwarded", "for=9.9.9.9")
        .json(&json!({ "items": [] }));
    let answer = send(request).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, json!({ "ok": true }));
    assert_eq!(answer.headers["etag"], "\"1\"");
    assert_eq!(answer.headers["x-request-id"], "abc");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert!(!answer.headers.contains_key("x-hop"), "named by Connection");

    let seen = orders.seen().pop().unwrap();
    assert_eq!(seen.target, "/v1/orders/a%2F../pay");
    assert_eq!(seen.body, r#"{"items":[]}"#);
    assert_eq!(seen.headers["x-request-id"], "abc");
    assert_eq!(seen.headers["traceparent"], TRACE_PARENT);
    // The sender is a proxy on this host, since it forwards.
    assert_eq!(seen.headers["x-forwarded-for"], "9.9.9.9");
    assert!(seen.headers.contains_key("authorization"));
    for gone in [
        "x-secret-hop",
        "te",
        "connection",
        "x-user-id",
        "x-konbini-role",
        "forwarded",
    ] {
        assert!(!seen.headers.contains_key(gone), "{gone} passed");
    }
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_stream_both_ways() {
    let test = gateway().await;
    let orders = Stub::start(&test, "orders").await;
    let customer = test.customer();

    let drip = orders.drip();
    drip.send("one".into()).await.unwrap();
    let request = customer.request(Method::GET, "/v1/orders/drip");
    let mut answer = request.send().await.unwrap();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "one");
    drip.send("two".into()).await.unwrap();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "two");
    drop(drip);
    assert_eq!(answer.chunk().await.unwrap(), None);

    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    let pieces = stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((Ok::<_, std::io::Error>(piece), receiver))
    });
    let request = customer
        .request(Method::POST, "/v1/orders/piecewise/pay")
        .body(Body::wrap_stream(pieces));
    let answer = tokio::spawn(send(request));
    for piece in ["three", "four"] {
        sender.send(piece.into()).await.unwrap();
        assert_eq!(orders.piece().await, piece);
    }
    drop(sender);
    assert_eq!(answer.await.unwrap().status, 200);
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_valid_credentials_are_forwarded() {
    let test = gateway().await;
    let products = Stub::start(&test, "products").await;
    let orders = Stub::start(&test, "orders").await;
    let forger = Person::new(test.address, Some("v4.public.x".into()), None);
    for path in ["/v1/products", "/v1/orders"] {
        let answer = forger.get(path).await;
        assert_eq!((answer.status, answer.problem()), (401, "unauthenticated"));
        let challenge = "Bearer error=\"invalid_token\"";
        assert_eq!(answer.headers["www-authenticate"], challenge);
        assert_eq!(
            answer.body["instance"],
            answer.headers["x-request-id"].to_str().unwrap()
        );
    }
    let anonymous = test.anonymous();
    assert_eq!(anonymous.get("/v1/orders").await.status, 401);
    let import = anonymous.post("/v1/products/import", json!({})).await;
    assert_eq!(import.status, 401);
    assert!(products.seen().is_empty() && orders.seen().is_empty());

    // A client that refreshes an expired token may still send it.
    let users = Stub::start(&test, "users").await;
    let renewal = forger.post("/v1/sessions/refresh", json!({})).await;
    assert_eq!(renewal.status, 200);
    assert!(!users.seen()[0].headers.contains_key("authorization"));
    assert_eq!(forger.get("/v1/sessions").await.status, 401);

    assert_eq!(anonymous.get("/v1/products").await.status, 200);
    assert_eq!(anonymous.get("/v1/nothing").await.status, 404);
    assert_eq!(products.seen().len(), 1);
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_service_is_a_503_until_it_returns() {
    let test = gateway().await;
    let customer = test.customer();
    let answer = customer.post("/v1/orders", json!({})).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (503, "service-unavailable")
    );
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(answer.body["service"], "orders");

    let orders = Stub::start(&test, "orders").await;
    assert_eq!(customer.get("/v1/orders").await.status, 200);
    drop(orders);
    eventually("the gateway notices its end", || async {
        customer.get("/v1/orders").await.status == 503
    })
    .await;
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_service_is_a_502_and_only_safe_requests_are_repeated() {
    let test = gateway().await;
    let orders = Stub::start(&test, "orders").await;
    let customer = test.customer();
    // A repetition needs a pooled connection of the client's worker, which may have been
    // closed at that moment.
    eventually("a safe request is repeated", || async {
        assert_eq!(customer.get("/v1/orders").await.status, 200);
        let before = orders.broken();
        let answer = customer.get("/v1/orders/broken").await;
        assert_eq!((answer.status, answer.problem()), (502, "bad-gateway"));
        orders.broken() == before + 2
    })
    .await;
    let before = orders.broken();
    let answer = customer.post("/v1/orders/broken/pay", json!({})).await;
    assert_eq!(answer.status, 502);
    assert_eq!(orders.broken(), before + 1);
    let request = customer.request(Method::POST, "/v1/orders/broken/ship");
    assert_eq!(send(request).await.status, 502);
    assert_eq!(orders.broken(), before + 2);

    // A liveliness token of an instance whose address refuses connections.
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let ghost = Instance::new("products", address);
    let _presence = Presence::declare(&test.mesh, &ghost).await.unwrap();
    eventually("the gateway has discovered it", || async {
        let answer = customer.get("/v1/products").await;
        let detail = answer.body["detail"].as_str().unwrap_or_default();
        answer.status == 503 && detail.contains("cannot be reached")
    })
    .await;
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_its_limit_is_refused() {
    let test = gateway().await;
    let orders = Stub::start(&test, "orders").await;
    let products = Stub::start(&test, "products").await;
    let staff = test.staff();
    let bytes = vec![b'x'; 1024 * 1024 + 1];
    let known = staff
        .request(Method::POST, "/v1/orders")
        .body(bytes.clone());
    let answer = send(known).await;
    assert_eq!((answer.status, answer.problem()), (413, "too-large"));

    let pieces = stream::iter(
        bytes
            .chunks(64 * 1024)
            .map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)))
            .collect::<Vec<_>>(),
    );
    let streamed = staff
        .request(Method::POST, "/v1/orders")
        .body(Body::wrap_stream(pieces));
    // The refusal may be lost while the client still writes, but nothing is forwarded.
    if let Ok(answer) = streamed.send().await {
        assert_eq!(answer.status(), 413);
    }
    assert!(orders.seen().is_empty());

    let import = staff
        .request(Method::POST, "/v1/products/import")
        .body(bytes);
    assert_eq!(send(import).await.status, 200);
    assert_eq!(products.seen()[0].body.len(), 1024 * 1024 + 1);
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_an_early_response_may_finish_its_body_and_send_again() {
    const BODY_BYTES: usize = 1024 * 1024;
    let test = gateway().await;
    let _users = Stub::start(&test, "users").await;
    let mut client = TcpStream::connect(test.address).await.unwrap();
    let head = format!(
        "POST /v1/users HTTP/1.1\r\nhost: shop.test\r\nstub: early\r\ncontent-length: {BODY_BYTES}\r\n\r\nx"
    );
    client.write_all(head.as_bytes()).await.unwrap();
    answered(&mut client, "HTTP/1.1 200 OK\r\n").await;
    client.write_all(&[b'x'; BODY_BYTES - 1]).await.unwrap();
    let next = b"GET /livez HTTP/1.1\r\nhost: shop.test\r\n\r\n";
    client.write_all(next).await.unwrap();
    answered(&mut client, "HTTP/1.1 200 OK\r\n").await;
    test.finish().await;
}

/// Reads a response's head and checks its beginning.
async fn answered(client: &mut TcpStream, begins: &str) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = tokio::time::timeout(Duration::from_secs(20), client.read_u8());
        head.push(byte.await.expect("a response arrives").unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with(begins), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_serves_its_own_pages() {
    chassis::telemetry::start(LogFormat::Human, "warn");
    let test = gateway().await;
    let anonymous = test.anonymous();
    assert_eq!(anonymous.get("/livez").await.body["status"], "ok");
    let unread = talk(test.address, "nonsense\r\n\r\n").await;
    assert!(unread.starts_with("HTTP/1.1 400 "), "{unread}");
    let metrics = anonymous.request(Method::GET, "/metrics").send().await;
    let text = metrics.unwrap().text().await.unwrap();
    for (route, status) in [("/livez", 200), ("none", 400)] {
        let counted = format!(
            r#"konbini_gateway_requests_total{{service="gateway",route="{route}",status="{status}"}}"#
        );
        assert!(text.contains(&counted), "{text}");
    }
    let asked = r#"konbini_gateway_upstream_seconds_count{service="orders",outcome="answered"}"#;
    assert!(text.contains(asked), "{text}");
    let answer = anonymous.post("/livez", json!({})).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (405, "method-not-allowed")
    );
    assert_eq!(answer.headers["allow"], "GET, HEAD, OPTIONS");

    let contract = anonymous.get("/openapi.json").await;
    assert_eq!(contract.body["openapi"], "3.1.0");
    let docs = anonymous
        .request(Method::GET, "/docs")
        .send()
        .await
        .unwrap();
    let policy = docs.headers()["content-security-policy"].clone();
    assert!(policy.to_str().unwrap().contains("default-src 'none'"));
    let page = docs.text().await.unwrap();
    let outside = page.contains("http://") || page.contains("https://");
    assert!(page.contains("/openapi.json") && !outside);

    let _users = Stub::start(&test, "users").await;
    let _orders = Stub::start(&test, "orders").await;
    let _products = Stub::start(&test, "products").await;
    let answer = anonymous.get("/readyz").await;
    assert_eq!((answer.status, answer.problem()), (503, "not-ready"));
    let services = &answer.body["services"];
    assert_eq!(services["users"], "ok");
    assert_eq!(
        services["notifications"],
        "no instance of notifications is alive"
    );

    let _notifications = Stub::start(&test, "notifications").await;
    eventually("the shop is ready", || async {
        anonymous.get("/readyz").await.status == 200
    })
    .await;
    let answer = anonymous.get("/readyz").await;
    assert_eq!(answer.body["services"]["notifications"], "ok");
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn head_has_no_body_and_preflights_stay_at_the_gateway() {
    let test = gateway().await;
    let products = Stub::start(&test, "products").await;
    let anonymous = test.anonymous();
    let head = anonymous.request(Method::HEAD, "/v1/products");
    let head = tokio::time::timeout(Duration::from_secs(5), send(head))
        .await
        .expect("the client waits for no body");
    assert_eq!((head.status, &head.body), (200, &json!(null)));
    assert_eq!(head.headers["etag"], "\"1\"");
    assert_eq!(head.headers["content-length"], "11");

    let seen = products.seen().len();
    let preflight = anonymous
        .request(Method::OPTIONS, "/v1/products")
        .header("origin", "https://shop.test")
        .header("access-control-request-method", "PATCH");
    let answer = send(preflight).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    let methods = answer.headers["access-control-allow-methods"].to_str();
    assert!(methods.unwrap().contains("PATCH"));
    assert_eq!(products.seen().len(), seen, "a preflight is not forwarded");

    let actual = anonymous
        .request(Method::GET, "/v1/products")
        .header("origin", "https://shop.test");
    let answer = send(actual).await;
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    let exposed = answer.headers["access-control-expose-headers"].to_str();
    assert!(exposed.unwrap().contains("X-Request-Id"));
    let plain = anonymous.get("/v1/products").await;
    assert_eq!(plain.headers["access-control-allow-origin"], "*");
    test.finish().await;
}
