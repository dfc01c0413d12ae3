//! Rate limits, connection limits, the client address, load shedding and CORS.

use std::net::UdpSocket;
use std::time::Duration;

use gateway::Config;
use gateway::config::{CorsConfig, LimitsConfig};
use reqwest::Method;
use serde_json::json;
use testkit::{Person, TestResponse, TestService, eventually, send};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stub::Stub;

/// A connection without a response for so long waits for a place.
const UNANSWERED: Duration = Duration::from_secs(1);

/// The settings of a shop behind a proxy on this host.
fn behind_a_proxy(limits: LimitsConfig) -> Config {
    Config {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        limits,
        ..Config::default()
    }
}

async fn gateway(config: Config) -> TestService {
    crate::start(config).await
}

/// Sends a read through the proxy, which forwards for `client`.
async fn read(person: &Person, path: &str, client: &str) -> TestResponse {
    let request = person.request(Method::GET, path);
    send(request.header("x-forwarded-for", client)).await
}

/// Repeats a request until the rate limit refuses it.
async fn refused<F: Future<Output = TestResponse>>(ask: impl Fn(u8) -> F) -> TestResponse {
    for number in 1..=u8::MAX {
        let answer = ask(number).await;
        match answer.status {
            200 => {}
            429 => return answer,
            status => panic!("answered {status}"),
        }
    }
    panic!("the rate limit never refused a request");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_and_a_user_have_rate_limits() {
    let limits = LimitsConfig {
        address_per_second: 1,
        address_burst: 3,
        user_per_second: 1,
        user_burst: 4,
        ..LimitsConfig::default()
    };
    let test = gateway(behind_a_proxy(limits)).await;
    let orders = Stub::start(&test, "orders").await;
    let anonymous = test.anonymous();
    let answer = read(&anonymous, "/livez", "192.0.2.1").await;
    assert_eq!(answer.status, 200);
    let policy = "\"address\";q=3;w=3, \"user\";q=4;w=4";
    assert_eq!(answer.headers["ratelimit-policy"], policy);
    assert_eq!(answer.headers["ratelimit"], "\"address\";r=2;t=1");
    let answer = refused(|_| read(&anonymous, "/livez", "192.0.2.1")).await;
    assert_eq!(answer.problem(), "too-many-requests");
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(answer.headers["ratelimit"], "\"address\";r=0;t=3");
    assert_eq!(answer.body["violated-policies"], json!(["address"]));

    assert_eq!(read(&anonymous, "/livez", "192.0.2.2").await.status, 200);
    // A /64 network counts as one address.
    let neighbours = |number| {
        let client = format!("2001:db8::{number}");
        let request = anonymous.request(Method::GET, "/livez");
        send(request.header("x-forwarded-for", client))
    };
    refused(neighbours).await;
    let here = anonymous.get("/livez").await;
    assert!(here.status == 200 && !here.headers.contains_key("ratelimit"));

    let customer = test.customer();
    let answer = refused(|number| {
        let client = format!("198.51.100.{number}");
        let request = customer.request(Method::GET, "/v1/orders");
        send(request.header("x-forwarded-for", client))
    })
    .await;
    assert_eq!(answer.body["violated-policies"], json!(["user"]));
    let left = "\"address\";r=2;t=1, \"user\";r=0;t=4";
    assert_eq!(answer.headers["ratelimit"], left);
    let seen = orders.seen();
    assert!(seen.len() >= 4, "the burst");
    assert_eq!(seen[0].headers["x-forwarded-for"], "198.51.100.1");
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_trusted_proxy_names_the_client_address() {
    let test = gateway(behind_a_proxy(LimitsConfig::default())).await;
    let products = Stub::start(&test, "products").await;
    let anonymous = test.anonymous();
    let request = anonymous
        .request(Method::GET, "/v1/products")
        .header("forwarded", "for=127.0.0.1, for=\"[2001:db8::7]:80\"")
        .header("via", "1.1 proxy");
    assert_eq!(send(request).await.status, 200);
    let seen = products.seen().pop().unwrap();
    assert_eq!(seen.headers["x-forwarded-for"], "2001:db8::7");
    assert!(!seen.headers.contains_key("forwarded"));
    let via: Vec<_> = seen.headers.get_all("via").iter().collect();
    assert_eq!(via, ["1.1 proxy", "1.1 konbini"]);

    let contradicts = anonymous
        .request(Method::GET, "/v1/products")
        .header("forwarded", "for=127.0.0.1")
        .header("x-forwarded-for", "198.51.100.1");
    assert_eq!(send(contradicts).await.status, 200);
    let seen = products.seen().pop().unwrap();
    assert_eq!(seen.headers["x-forwarded-for"], "0.0.0.0");
    // Metrics are for this host, and a client behind a proxy on it is another one.
    let outside = read(&anonymous, "/metrics", "198.51.100.1").await;
    assert_eq!(outside.status, 401);
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a network address besides loopback"]
async fn connections_per_address_are_limited() {
    let probe = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Finds the host's own address without sending; 192.0.2.0/24 is for documentation.
    probe.connect("192.0.2.1:9").expect("this host has a route");
    let own = probe.local_addr().unwrap().ip();
    assert!(!own.is_loopback() && !own.is_unspecified(), "{own}");
    let mut config = Config { listen: ([0, 0, 0, 0], 0).into(), ..Config::default() };
    config.limits.connections_per_address = 2;
    let test = gateway(config).await;
    let mut address = test.address;
    address.set_ip(own);
    let ask = || async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET /livez HTTP/1.1\r\nHost: shop.test\r\n\r\n";
        let mut first = [0; 15];
        let asked = stream.write_all(request).await;
        let is_answered = asked.is_ok() && stream.read_exact(&mut first).await.is_ok();
        is_answered.then_some(stream)
    };
    let (one, two) = (ask().await.unwrap(), ask().await.unwrap());
    assert!(ask().await.is_none(), "closed at once");
    assert_eq!(test.anonymous().get("/livez").await.status, 200);
    drop(one);
    eventually("there is a free slot again", || async {
        ask().await.is_some()
    })
    .await;
    drop(two);
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_per_address_are_limited() {
    let limits = LimitsConfig { streams_per_address: 1, ..LimitsConfig::default() };
    let test = gateway(behind_a_proxy(limits)).await;
    let notifications = Stub::start(&test, "notifications").await;
    let customer = test.customer();
    let drip = notifications.drip();
    drip.send("id: 1\n\n".into()).await.unwrap();
    let stream = "/v1/notifications/stream";
    let open = customer
        .request(Method::GET, stream)
        .header("stub", "drip")
        .header("x-forwarded-for", "192.0.2.1");
    let open = open.send().await.unwrap();
    let answer = read(&customer, stream, "192.0.2.1").await;
    assert_eq!((answer.status, answer.problem()), (429, "too-many-streams"));
    assert_eq!(read(&customer, stream, "192.0.2.2").await.status, 200);
    assert_eq!(customer.get(stream).await.status, 200);
    drop((open, drip));
    eventually("there is a free slot again", || async {
        read(&customer, stream, "192.0.2.1").await.status == 200
    })
    .await;
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_and_streams_of_all_clients_are_limited() {
    let limits = LimitsConfig { connections: 16, streams: 2, ..LimitsConfig::default() };
    let connections_max = limits.connections as usize;
    let test = gateway(behind_a_proxy(limits)).await;
    let notifications = Stub::start(&test, "notifications").await;
    let customer = test.customer();
    let mut open = Vec::new();
    for client in ["192.0.2.1", "192.0.2.2"] {
        let drip = notifications.drip();
        drip.send("id: 1\n\n".into()).await.unwrap();
        let stream = customer
            .request(Method::GET, "/v1/notifications/stream")
            .header("stub", "drip");
        let stream = stream.header("x-forwarded-for", client).send().await;
        open.push((stream.unwrap(), drip));
    }
    let answer = read(&customer, "/v1/notifications/stream", "192.0.2.3").await;
    assert_eq!((answer.status, answer.problem()), (503, "busy"));
    drop(open);

    let mut served = Vec::new();
    let mut waiting = loop {
        let mut stream = TcpStream::connect(test.address).await.unwrap();
        let request = b"GET /livez HTTP/1.1\r\nHost: shop.test\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let answered = tokio::time::timeout(UNANSWERED, stream.readable()).await;
        if answered.is_err() {
            break stream;
        }
        served.push(stream);
        assert!(served.len() <= connections_max, "no connection waits");
    };
    // The kernel has it, and the gateway accepts it once there is a place.
    drop(served);
    let mut first = [0; 15];
    waiting.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_to_a_hanging_service_are_shed_and_other_services_respond() {
    let limits = LimitsConfig { in_flight: 8, ..LimitsConfig::default() };
    let test = gateway(behind_a_proxy(limits)).await;
    let products = Stub::start(&test, "products").await;
    let _orders = Stub::start(&test, "orders").await;
    let (anonymous, customer) = (test.anonymous(), test.customer());
    let mut hanging = Vec::new();
    let mut hang = async |method: Method, count: usize| {
        for _ in 0..count {
            let path = match method {
                Method::GET => "/v1/products/hang",
                _ => "/v1/products/hang/stock",
            };
            let request = customer.request(method.clone(), path);
            hanging.push(tokio::spawn(request.send()));
        }
        eventually("they hang", || async {
            products.hanging() == hanging.len()
        })
        .await;
    };
    let status = |person: &Person, method| {
        let request = person.request(method, "/v1/products");
        async { send(request).await.status }
    };
    hang(Method::GET, 4).await;
    let answer = anonymous.get("/v1/products").await;
    assert_eq!((answer.status, answer.problem()), (503, "busy"));
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(status(&customer, Method::GET).await, 200);
    hang(Method::GET, 1).await;
    assert_eq!(status(&customer, Method::GET).await, 503);
    assert_eq!(status(&customer, Method::POST).await, 200);
    hang(Method::POST, 2).await;
    assert_eq!(status(&customer, Method::POST).await, 503);

    assert_eq!(anonymous.get("/livez").await.status, 200);
    assert_eq!(customer.get("/v1/orders").await.status, 200);
    for one in &hanging {
        one.abort();
    }
    eventually("requests are admitted again", || async {
        status(&anonymous, Method::GET).await == 200
    })
    .await;
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_have_the_configured_cors_headers() {
    let cors = CorsConfig {
        origins: vec!["https://shop.test".into()],
        credentials: true,
        max_age_seconds: 600,
    };
    let config = Config { cors, ..Config::default() };
    let test = gateway(config).await;
    let anonymous = test.anonymous();
    let preflight = |origin| {
        let request = anonymous.request(Method::OPTIONS, "/v1/products");
        let request = request.header("origin", origin);
        send(request.header("access-control-request-method", "PATCH"))
    };
    let answer = preflight("https://shop.test").await;
    assert_eq!(answer.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", "https://shop.test"),
        ("access-control-allow-credentials", "true"),
        ("access-control-max-age", "600"),
        ("vary", "Origin"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(answer.headers[name], value, "{name}");
    }
    let stranger = preflight("https://evil.test").await;
    let allowed = "access-control-allow-origin";
    assert!(!stranger.headers.contains_key(allowed));
    let plain = anonymous.get("/livez").await;
    assert_eq!(plain.headers["vary"], "Origin");
    assert!(!plain.headers.contains_key(allowed) && !plain.headers.contains_key("server"));
    test.finish().await;
}
