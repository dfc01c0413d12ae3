//! Timeouts of slow clients: heads, bodies and readers.

use std::time::Duration;

use bytes::Bytes;
use gateway::Config;
use gateway::config::LimitsConfig;
use reqwest::Method;
use testkit::TestService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::stub::Stub;

/// The timeouts of these tests.
const SHORT_MS: u64 = 100;
const TIMEOUT: Duration = Duration::from_secs(20);

async fn gateway(limits: LimitsConfig) -> TestService {
    let config = Config { limits, ..Config::default() };
    crate::start(config).await
}

/// Sends `start` and then single bytes until the gateway closes the connection; returns its
/// response.
async fn drip(test: &TestService, start: &str) -> String {
    let stream = TcpStream::connect(test.address).await.unwrap();
    let (mut from, mut to) = stream.into_split();
    to.write_all(start.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    let dripping = async {
        let mut pace = tokio::time::interval(Duration::from_millis(SHORT_MS / 10));
        while to.write_all(b"x").await.is_ok() {
            pace.tick().await;
        }
        std::future::pending::<()>().await;
    };
    let ended = async {
        tokio::select! {
            // The rest may be lost to a reset.
            _ = from.read_to_end(&mut said) => {}
            () = dripping => {}
        }
    };
    timeout(TIMEOUT, ended)
        .await
        .expect("the client is disconnected");
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_too_slowly_is_disconnected() {
    let test = gateway(LimitsConfig {
        head_ms: SHORT_MS,
        body_ms: SHORT_MS,
        ..LimitsConfig::default()
    })
    .await;
    let users = Stub::start(&test, "users").await;
    let head = "GET /v1/products HTTP/1.1\r\nHost: shop.test\r\nX-Slow: ";
    let said = drip(&test, head).await;
    assert!(!said.contains(" 200 "), "{said}");

    let body = "POST /v1/sessions HTTP/1.1\r\nHost: shop.test\r\n\
                Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{";
    let said = drip(&test, body).await;
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    assert!(said.contains("/problems/body-too-slow"), "{said}");
    assert!(users.seen().is_empty());
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_is_disconnected_after_write_ms() {
    let test = gateway(LimitsConfig { write_ms: SHORT_MS, ..LimitsConfig::default() }).await;
    let orders = Stub::start(&test, "orders").await;
    let customer = test.customer();
    let request = customer.request(Method::GET, "/v1/orders/drip");
    let token = request.build().unwrap().headers()["authorization"].clone();

    let drip = orders.drip();
    let mut stream = TcpStream::connect(test.address).await.unwrap();
    let head = format!(
        "GET /v1/orders/drip HTTP/1.1\r\nHost: shop.test\r\nAuthorization: {}\r\n\r\n",
        token.to_str().unwrap()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    let pouring = async { while drip.send(piece.clone()).await.is_ok() {} };
    timeout(TIMEOUT, pouring)
        .await
        .expect("the client is disconnected");
    drop(stream);
    test.finish().await;
}
