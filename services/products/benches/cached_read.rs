//! A cached product read at the service beside a bare axum handler that returns a
//! constant body of the same size: how much of the rate is left after everything
//! a service does for a request.
//!
//! Both run in this process on ports of their own; rounds alternate, so that
//! whatever else the host does meets both. Prints both rates and their ratio, the
//! median over the rounds. Run with `cargo bench -p products`; a number is how many
//! rounds. With `serve` it prints the service's address instead and answers until its
//! input ends: for counting what one request takes (`valgrind --tool=callgrind`)
//! without what it takes to ask.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use serde_json::json;
use testkit::TestService;

const CONNECTIONS: usize = 8;
const ROUND: Duration = Duration::from_millis(700);
const WARM_UP: usize = 2;

fn main() {
    // As the shop itself does: what is logged and measured is part of the work.
    chassis::telemetry::start(chassis::telemetry::LogFormat::Human, "info");
    let serve = std::env::args().any(|argument| argument == "serve");
    let rounds: usize = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(11);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(async {
        let app = TestService::start("products", products::open, &["orders"]).await;
        let product = json!({
            "sku": "A1", "title": "Lamp", "status": "published", "description": "x".repeat(1500),
            "price": { "amount": 1999, "currency": "EUR" },
        });
        let made = app.staff().post("/v1/products", product).await;
        let id = made.body["id"].as_str().expect("a product has an id");
        let path = format!("/v1/products/{id}");
        let body = made.body.to_string();
        if serve {
            println!("http://{}{path}", app.address);
            let ended =
                tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
            let _ = ended.await;
            return app.finish().await;
        }
        let bare = bare(&path, body).await;
        let (shop, measured) = (app.address, path.clone());
        let work = move || compare(shop, bare, &measured, rounds);
        tokio::task::spawn_blocking(work)
            .await
            .expect("the comparison ends");
        app.finish().await;
    });
}

/// The bare handler.
async fn bare(path: &str, body: String) -> SocketAddr {
    use axum::serve::ListenerExt;
    let body: &'static str = body.leak();
    let answer = move || async move { ([(CONTENT_TYPE, "application/json")], body) };
    let router = Router::new().route(path, get(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address");
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn compare(shop: SocketAddr, bare: SocketAddr, path: &str, rounds: usize) {
    let mut measured = Vec::new();
    for round in 0..rounds + WARM_UP {
        let (one, other) = (rate(shop, path), rate(bare, path));
        if round >= WARM_UP {
            println!(
                "service {one:9.0}/s   bare {other:9.0}/s   {:5.1} %",
                100.0 * one / other
            );
            measured.push(one / other);
        }
    }
    measured.sort_by(f64::total_cmp);
    let median = measured[measured.len() / 2];
    println!(
        "a cached read reaches {:.1} % of a bare handler (median of {rounds})",
        100.0 * median
    );
}

/// Requests a second over all connections, each asking again once it is answered.
fn rate(address: SocketAddr, path: &str) -> f64 {
    let (stop, count) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let started = Instant::now();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (stop, count) = (stop.clone(), count.clone());
            let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n");
            std::thread::spawn(move || ask(address, request.as_bytes(), &stop, &count))
        })
        .collect();
    std::thread::sleep(ROUND);
    stop.store(true, Ordering::Relaxed);
    let elapsed = started.elapsed();
    let asked = count.load(Ordering::Relaxed);
    for client in clients {
        client.join().expect("a client does not panic");
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of a second")]
    let asked = asked as f64;
    asked / elapsed.as_secs_f64()
}

fn ask(address: SocketAddr, request: &[u8], stop: &AtomicBool, count: &AtomicU64) {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_nodelay(true).expect("the socket takes options");
    let mut buffer = vec![0; 64 * 1024];
    let mut length = 0;
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(request).expect("the server reads");
        let mut filled = 0;
        while length == 0 || filled < length {
            let read = stream
                .read(&mut buffer[filled..])
                .expect("the server answers");
            assert!(read > 0, "the server hung up");
            filled += read;
            if length == 0 {
                length = whole_length(&buffer[..filled]).unwrap_or(0);
            }
        }
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// The length of the answer that begins here, which every further one has too.
fn whole_length(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&answer[..head]).to_lowercase();
    assert!(text.starts_with("http/1.1 200"), "{text}");
    let length = text
        .split("content-length: ")
        .nth(1)?
        .split("\r\n")
        .next()?;
    Some(head + length.parse::<usize>().ok()?)
}
