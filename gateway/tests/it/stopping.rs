//! Graceful shutdown: requests in flight finish, idle connections close, and streams are
//! ended.

use std::time::Duration;

use reqwest::Method;
use testkit::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stub::Stub;

const TIMEOUT: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_finish_and_idle_connections_close() {
    let test = crate::start(gateway::Config::default()).await;
    let orders = Stub::start(&test, "orders").await;
    let address = test.address;

    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 15];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    let mut last = TcpStream::connect(address).await.unwrap();

    let drip = orders.drip();
    drip.send("one".into()).await.unwrap();
    let request = test.customer().request(Method::GET, "/v1/orders/drip");
    let mut answer = request.send().await.unwrap();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "one");

    let ended = tokio::spawn(test.finish());
    eventually("no connection is accepted", || async {
        TcpStream::connect(address).await.is_err()
    })
    .await;
    // A request that was in flight at the stop is still served, as the last one.
    last.write_all(b"GET /livez HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        .await
        .unwrap();
    let mut answer_to_last = Vec::new();
    tokio::time::timeout(TIMEOUT, last.read_to_end(&mut answer_to_last))
        .await
        .expect("the connection is closed")
        .unwrap();
    let answer_to_last = String::from_utf8(answer_to_last).unwrap();
    assert!(answer_to_last.starts_with("HTTP/1.1 200 OK"));
    assert!(
        answer_to_last.contains("connection: close"),
        "{answer_to_last}"
    );

    let mut rest = Vec::new();
    tokio::time::timeout(TIMEOUT, idle.read_to_end(&mut rest))
        .await
        .expect("an idle connection is closed")
        .unwrap();

    assert!(!ended.is_finished(), "a request is in flight");
    drip.send("two".into()).await.unwrap();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "two");
    drop(drip);
    assert_eq!(answer.chunk().await.unwrap(), None);
    tokio::time::timeout(TIMEOUT, ended)
        .await
        .expect("nothing is left to wait for")
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_does_not_delay_the_drain() {
    let test = crate::start(gateway::Config::default()).await;
    let notifications = Stub::start(&test, "notifications").await;
    let drip = notifications.drip();
    drip.send("id: 1\n\n".into()).await.unwrap();
    let path = "/v1/notifications/stream";
    let request = test.customer().request(Method::GET, path);
    let request = request.header("stub", "drip");
    let mut answer = request.send().await.unwrap();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "id: 1\n\n");

    tokio::time::timeout(TIMEOUT, test.finish())
        .await
        .expect("the stream is ended");
    let hint = answer.chunk().await.unwrap().unwrap();
    assert_eq!(hint, "retry: 1000\n\n", "the reconnection time");
    assert_eq!(answer.chunk().await.unwrap(), None, "and ended cleanly");
    drop(drip);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_head_does_not_delay_the_drain() {
    let test = crate::start(gateway::Config::default()).await;
    let mut half = TcpStream::connect(test.address).await.unwrap();
    half.write_all(b"GET /livez HTTP/1.1\r\nHos").await.unwrap();
    // A response on another connection, which was accepted later: the first one is served.
    assert_eq!(test.anonymous().get("/livez").await.status, 200);
    tokio::time::timeout(TIMEOUT, test.finish())
        .await
        .expect("nothing is left to wait for");
    let mut rest = Vec::new();
    half.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"", "the connection is closed");
}
