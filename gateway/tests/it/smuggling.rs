//! Requests that make sloppy proxies and servers disagree about where one ends.
//!
//! The cases are a file of JSON lines named by `KONBINI_SMUGGLING`: `name`, `raw`
//! (the bytes, latin-1) and `expect`: `reject` (refused, and no service sees it
//! whole) or `one` (at most one request reaches a service). Each is sent from a
//! loopback address of its own, by which it is known at the service.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use chassis::testing::TestService;
use futures::future::join_all;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::stub::Stub;

/// Longer than a head may take, so that every connection ends by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// Cases that are safe by another lawful answer. Both framings: the chunks count,
/// the length is dropped and the connection closed (RFC 9112 §6.3). A fragment:
/// no part of a target, dropped by the parser.
const LAWFUL_OTHERWISE: [&str; 3] = ["cl-te", "te-cl", "fragment"];

struct Case {
    name: String,
    raw: Vec<u8>,
    is_reject: bool,
    from: Ipv4Addr,
}

fn cases(text: &str) -> Vec<Case> {
    let case = |(number, line): (usize, &str)| {
        let case: Value = serde_json::from_str(line).unwrap();
        let raw = case["raw"].as_str().unwrap();
        let name = case["name"].as_str().unwrap().to_owned();
        let is_lawful = LAWFUL_OTHERWISE.contains(&name.as_str());
        Case {
            is_reject: case["expect"] == "reject" && !is_lawful,
            raw: raw.chars().map(|one| u8::try_from(one).unwrap()).collect(),
            from: Ipv4Addr::new(127, 9, 9, u8::try_from(number + 1).unwrap()),
            name,
        }
    };
    text.lines().enumerate().map(case).collect()
}

/// The first answer's status; 0 when the connection just closed.
async fn attack(to: SocketAddr, case: &Case) -> u16 {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((case.from, 0).into()).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    // What follows tells a connection in step from one that is not. The gateway
    // may have closed it already.
    let _ = stream.write_all(&case.raw).await;
    let probe = b"GET /v1/nothing HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n";
    let _ = stream.write_all(probe).await;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(PATIENCE, read)
        .await
        .unwrap_or_else(|_| panic!("{}: neither answered nor closed", case.name));
    let head = String::from_utf8_lossy(&answer);
    let status = head
        .strip_prefix("HTTP/1.1 ")
        .or(head.strip_prefix("HTTP/1.0 "));
    status.map_or(0, |rest| rest[..3].parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_smuggled() {
    let Some(file) = std::env::var_os("KONBINI_SMUGGLING") else {
        println!("skipped: KONBINI_SMUGGLING names no file of cases");
        return;
    };
    let text = std::fs::read_to_string(&file).expect("KONBINI_SMUGGLING can be read");
    let cases = cases(&text);
    let test = TestService::start("gateway", gateway::open, &[]).await;
    let users = Stub::start(&test, "users").await;
    let products = Stub::start(&test, "products").await;
    let orders = Stub::start(&test, "orders").await;
    let statuses = join_all(cases.iter().map(|case| attack(test.address, case))).await;

    let seen: Vec<_> = [users.seen(), products.seen(), orders.seen()].concat();
    let mut faults = Vec::new();
    for (case, status) in cases.iter().zip(statuses) {
        let from = case.from.to_string();
        let seen: Vec<_> = seen
            .iter()
            .filter(|seen| seen.headers["x-forwarded-for"] == from.as_str())
            .collect();
        let is_refused = matches!(status, 0 | 400..=499 | 501);
        let is_smuggled = seen.iter().any(|seen| seen.target.contains("smuggled"));
        let seen_max = usize::from(!case.is_reject);
        println!("{}: {status}, seen {}", case.name, seen.len());
        if is_smuggled || seen.len() > seen_max || case.is_reject && !is_refused {
            faults.push(format!("{}: {status} {seen:?}", case.name));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    test.finish().await;
}
