//! Request smuggling: requests whose end lenient proxies and servers disagree about.
//!
//! Each case is sent on a raw socket from a loopback address of its own, by which the
//! services identify it; they record every byte. `Reject`: the case is refused, and no
//! service receives it whole. `One`: at most one request reaches a service. In every case no
//! hidden request is forwarded, and every refusal is a problem document.
//!
//! `KONBINI_SMUGGLING` names a JSON Lines file with further cases: `name`, `raw` (the bytes
//! in latin-1) and `expect` (`reject` or `one`).

mod cases;
mod recorder;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use recorder::{Recorder, Request};

/// Longer than the timeout of a head, so that the gateway closes every connection.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Cases of the file with another valid outcome: a fragment is not part of a target (RFC
/// 9112 §3.2), so the parser drops it, and no service receives it.
const LAWFUL_OTHERWISE: [&str; 1] = ["fragment"];

/// The expected outcome of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Reject,
    One,
}

#[derive(Debug, Clone)]
struct Case {
    name: String,
    raw: Vec<u8>,
    expect: Expect,
}

impl Case {
    fn new(name: String, raw: Vec<u8>, expect: Expect) -> Self {
        Self { name, raw, expect }
    }
}

fn from_file(text: &str) -> Vec<Case> {
    let case = |line: &str| {
        let case: Value = serde_json::from_str(line).unwrap();
        let name = case["name"].as_str().unwrap();
        let is_lawful = LAWFUL_OTHERWISE.contains(&name);
        let is_reject = case["expect"] == "reject" && !is_lawful;
        let expect = if is_reject { Expect::Reject } else { Expect::One };
        Case::new(
            name.to_owned(),
            cases::latin1(case["raw"].as_str().unwrap()),
            expect,
        )
    };
    text.lines().map(case).collect()
}

/// Sends a case, and reads until the connection closes.
async fn attack(to: SocketAddr, from: Ipv4Addr, case: &Case) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    // The next request shows whether both sides agree where the case ended. The gateway may
    // have closed the connection already.
    let _ = stream.write_all(&case.raw).await;
    let probe = b"GET /v1/nothing HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n";
    let _ = stream.write_all(probe).await;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(TIMEOUT, read)
        .await
        .unwrap_or_else(|_| panic!("{}: neither a response nor a close", case.name));
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status of the first response; 0 when the connection was closed without one.
fn status(answer: &str) -> u16 {
    let head = answer
        .strip_prefix("HTTP/1.1 ")
        .or(answer.strip_prefix("HTTP/1.0 "));
    head.and_then(|rest| rest.get(..3)?.parse().ok())
        .unwrap_or(0)
}

/// The fault in the outcome of a case, if there is one.
fn fault(case: &Case, answer: &str, seen: &[&Request]) -> Option<String> {
    let status = status(answer);
    let whole = seen.iter().filter(|request| request.is_whole).count();
    let (whole_max, is_refused) = match case.expect {
        Expect::Reject => (0, matches!(status, 0 | 400..=499 | 501)),
        Expect::One => (1, true),
    };
    let is_explained = status < 400
        || answer.contains("application/problem+json") && answer.contains("x-request-id: ");
    let odd = seen.iter().find_map(|request| request.fault());
    let fault = match () {
        () if seen
            .iter()
            .any(|request| request.line().contains("smuggled")) =>
        {
            "smuggled"
        }
        () if whole > whole_max || seen.len() > 1 => "seen too often",
        () if !is_refused => "not refused",
        () if !is_explained => "not explained",
        () => odd?,
    };
    Some(format!("{}: {fault}: {status} {seen:?}", case.name))
}

async fn replay(cases: &[Case]) {
    let test = crate::start(gateway::Config::default()).await;
    let mut recorders = Vec::new();
    for service in ["users", "products", "orders"] {
        recorders.push(Recorder::start(&test, service).await);
    }
    let from = |number: usize| {
        let [high, low] = u16::try_from(number).unwrap().to_be_bytes();
        Ipv4Addr::new(127, 9, high, low)
    };
    let attacks = cases.iter().enumerate();
    let attacks = attacks.map(|(number, case)| attack(test.address, from(number), case));
    let answers = join_all(attacks).await;
    // An interrupted request is recorded when its connection closes.
    test.finish().await;
    let seen: Vec<_> = recorders.iter().flat_map(Recorder::seen).collect();

    let mut faults = Vec::new();
    for (number, (case, answer)) in cases.iter().zip(&answers).enumerate() {
        let from = from(number).to_string();
        let seen: Vec<_> = seen
            .iter()
            .filter(|request| request.is_from(&from))
            .collect();
        println!("{}: {}, seen {}", case.name, status(answer), seen.len());
        faults.extend(fault(case, answer, &seen));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_smuggled() {
    replay(&cases::own()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a file of cases, named by KONBINI_SMUGGLING"]
async fn no_case_of_the_file_is_smuggled() {
    let file = std::env::var_os("KONBINI_SMUGGLING").expect("KONBINI_SMUGGLING names a file");
    let text = std::fs::read_to_string(&file).expect("KONBINI_SMUGGLING can be read");
    replay(&from_file(&text)).await;
}
