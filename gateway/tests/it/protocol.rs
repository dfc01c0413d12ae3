//! HTTP protocol: methods, targets, expectations, traces and refusals.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{TestService, send};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stub::Stub;

const TIMEOUT: Duration = Duration::from_secs(5);

async fn gateway() -> TestService {
    crate::start(gateway::Config::default()).await
}

/// Sends a text and reads until the connection closes.
pub(crate) async fn talk(to: SocketAddr, said: &str) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(said.as_bytes()).await.unwrap();
    rest_of(&mut stream).await
}

async fn rest_of(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(TIMEOUT, read)
        .await
        .expect("the connection closes");
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn options_lists_the_methods_of_a_path() {
    let test = gateway().await;
    let orders = Stub::start(&test, "orders").await;
    let anonymous = test.anonymous();
    let options = |path: &str| send(anonymous.request(Method::OPTIONS, path));
    for (path, allow) in [
        ("/v1/orders", "GET, HEAD, POST, OPTIONS"),
        ("/livez", "GET, HEAD, OPTIONS"),
    ] {
        let answer = options(path).await;
        assert_eq!((answer.status, &answer.body), (204, &json!(null)), "{path}");
        assert_eq!(answer.headers["allow"], allow, "{path}");
    }
    assert_eq!(options("/v1/nothing").await.status, 404);
    let all = "OPTIONS * HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n";
    let all = talk(test.address, all).await;
    assert!(all.starts_with("HTTP/1.1 204 No Content\r\n"), "{all}");
    assert!(
        all.contains("allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"),
        "{all}"
    );

    let seen = orders.seen().len();
    let denied = send(test.customer().request(Method::PUT, "/v1/orders/denied")).await;
    assert_eq!(denied.status, 405);
    assert_eq!(denied.headers["allow"], "GET, HEAD, PATCH, OPTIONS");
    let trace = send(anonymous.request(Method::TRACE, "/v1/orders")).await;
    assert_eq!((trace.status, trace.problem()), (405, "method-not-allowed"));
    assert_eq!(orders.seen().len(), seen);
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_normalized_or_refused() {
    let test = gateway().await;
    let products = Stub::start(&test, "products").await;
    let get = |target: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n")
    };
    for (sent, seen) in [
        ("/v1/%70roducts/%7e%2f", "/v1/products/~%2F"),
        ("/v1/%70roducts?brand=%7e", "/v1/products?brand=%7e"),
        ("http://other.test:81/v1/products", "/v1/products"),
    ] {
        let answer = talk(test.address, &get(sent)).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n"),
            "{sent}: {answer}"
        );
        assert_eq!(products.seen().pop().unwrap().target, seen);
    }
    assert_eq!(
        products.seen().pop().unwrap().headers["host"],
        "other.test:81"
    );
    let count = products.seen().len();
    for sent in [
        "/v1/products/%2e%2e/users",
        "//v1/products",
        "/v1%2fproducts",
        "/V1/products",
    ] {
        let answer = talk(test.address, &get(sent)).await;
        assert!(answer.starts_with("HTTP/1.1 40"), "{sent}: {answer}");
    }
    assert_eq!(products.seen().len(), count);
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn continue_is_sent_only_to_an_admitted_request() {
    let test = gateway().await;
    let users = Stub::start(&test, "users").await;
    let head = |request: &str, expect: &str| {
        format!(
            "{request} HTTP/1.1\r\nHost: shop.test\r\nExpect: {expect}\r\nContent-Length: 2\r\n\r\n"
        )
    };
    let mut stream = TcpStream::connect(test.address).await.unwrap();
    stream
        .write_all(head("POST /v1/users", "100-Continue").as_bytes())
        .await
        .unwrap();
    let mut go_on = [0; 25];
    let read = stream.read_exact(&mut go_on);
    tokio::time::timeout(TIMEOUT, read).await.unwrap().unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert!(users.seen().is_empty(), "there is no body yet");
    stream.write_all(b"{}").await.unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    assert!(!users.seen()[0].headers.contains_key("expect"));

    // Answered without a byte of the body, and the connection closes.
    for (request, expect, status) in [
        ("POST /v1/nothing", "100-continue", "404"),
        ("POST /v1/orders", "100-continue", "401"),
        ("POST /v1/products/import", "100-continue", "401"),
        ("POST /v1/users", "200-ok", "417"),
        ("GET /livez", "100-continue", "200"),
        ("OPTIONS /livez", "100-continue", "204"),
    ] {
        let answer = talk(test.address, &head(request, expect)).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    assert_eq!(users.seen().len(), 1);
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unparsable_request_gets_a_problem_document() {
    let test = gateway().await;
    let long = format!(
        "GET / HTTP/1.1\r\nHost: shop.test\r\nX: {}\r\n\r\n",
        "y".repeat(300_000)
    );
    let behind = "GET /livez HTTP/1.1\r\nHost: shop.test\r\n\r\n(\r\n\r\n";
    let both = "POST /v1/users HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    for (said, status, code) in [
        ("nonsense\r\n\r\n", 400, "bad-request"),
        (&long, 431, "head-too-large"),
        (behind, 400, "bad-request"),
        (both, 400, "bad-request"),
    ] {
        let answer = talk(test.address, said).await;
        let last = answer
            .rfind("HTTP/1.1 4")
            .unwrap_or_else(|| panic!("{code}: {answer}"));
        let (head, body) = answer[last..].split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(
            head.contains("content-type: application/problem+json"),
            "{answer}"
        );
        assert!(head.contains("connection: close"), "{answer}");
        let problem: Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["type"], format!("/problems/{code}"));
        let id = problem["instance"].as_str().unwrap();
        assert!(head.contains(&format!("x-request-id: {id}")), "{answer}");
        let is_first = answer.starts_with("HTTP/1.1 200 OK\r\n");
        assert_eq!(is_first, said == behind, "{answer}");
    }
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_continued_or_started() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let test = gateway().await;
    let orders = Stub::start(&test, "orders").await;
    let customer = test.customer();
    let sane = format!("00-{TRACE}-b7ad6b7169203331-01");
    for (parent, goes_on) in [(sane.as_str(), true), ("00-1-2-01", false)] {
        let request = customer
            .request(Method::GET, "/v1/orders")
            .header("traceparent", parent)
            .header("tracestate", "a=b");
        let answer = send(request).await;
        let seen = orders.seen().pop().unwrap();
        let id = answer.headers["x-request-id"].to_str().unwrap();
        let passed = seen.headers["traceparent"].to_str().unwrap();
        assert_eq!(passed == parent, goes_on, "{passed}");
        assert_eq!(seen.headers.contains_key("tracestate"), goes_on);
        assert_eq!(seen.headers["x-request-id"], id);
        assert_eq!(&passed[3..35], id, "one id for both");
    }
    test.finish().await;
}
