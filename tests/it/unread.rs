//! Clients that request large responses and do not read them: the memory that they take is
//! bounded, their streams are reset, others are served, and a shutdown does not wait.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::Signal;
use serde_json::Value;
use testkit::shop::{Form, Shop};
use testkit::{TIMEOUT, eventually};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::people::{Person, lamp};
use crate::world::{closed, open};

/// A response of 2 MB.
const PAGE: &str = "/v1/products/search?limit=100";
const PRODUCTS: usize = 100;
const DESCRIPTION_CHARS: usize = 6_700;

/// Streams of one connection.
const STREAMS: usize = 100;

/// Streams of a client that reads, several times the share of a connection.
const READ_STREAMS: usize = 6;

/// The default of `[gateway.limits] sending_mib`, in bytes.
const SENDING_BYTES_MAX: f64 = 16.0 * 1024.0 * 1024.0;

/// Clients that read nothing or slowly, and what became of their requests.
#[derive(Default)]
struct Unreading {
    http1: Vec<TcpStream>,
    /// The status of each response that ended, `None` for a reset.
    http2: JoinSet<Option<u16>>,
}

impl Unreading {
    /// A connection whose streams have a flow control window of 0.
    async fn http2(&mut self, shop: &Shop, from: Ipv4Addr, streams: usize) {
        self.http2_with_window(0, shop, from, streams).await;
    }

    async fn http2_with_window(
        &mut self,
        window: u32,
        shop: &Shop,
        from: Ipv4Addr,
        streams: usize,
    ) {
        let stream = TokioIo::new(connect(shop, from).await);
        let mut client = http2::Builder::new(TokioExecutor::new());
        client.initial_stream_window_size(window);
        let (sender, connection) = client.handshake(stream).await.unwrap();
        tokio::spawn(connection);
        for _ in 0..streams {
            let mut sender = sender.clone();
            let request = Request::get(shop.url(PAGE).as_str());
            let request = request.body(Empty::<Bytes>::new()).unwrap();
            self.http2.spawn(async move {
                let response = sender.send_request(request).await.ok()?;
                let status = response.status().as_u16();
                response.into_body().collect().await.ok().map(|_| status)
            });
        }
    }

    async fn http1(&mut self, shop: &Shop, from: Ipv4Addr) {
        let mut stream = connect(shop, from).await;
        let request = format!("GET {PAGE} HTTP/1.1\r\nHost: shop.test\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        self.http1.push(stream);
    }
}

async fn connect(shop: &Shop, from: Ipv4Addr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect(shop.address()).await.unwrap()
}

/// Puts the products of [`PAGE`] on sale, and waits until the page is whole.
async fn stock(shop: &Shop) -> String {
    let admin = Person::admin(shop).await;
    let product = |number| {
        let mut product = lamp(&format!("LAMP-{number}"), "Lamp", 1);
        product["description"] = "€".repeat(DESCRIPTION_CHARS).into();
        product
    };
    let products: Vec<Value> = (0..PRODUCTS).map(product).collect();
    let ids = admin.sell(&products).await;
    eventually("the page is whole", || async {
        let page = admin.get(PAGE).await.body;
        page["items"].as_array().map(Vec::len) == Some(PRODUCTS)
    })
    .await;
    format!("/v1/products/{}", ids[0])
}

/// A metric of the gateway.
async fn metric(shop: &Shop, name: &str) -> f64 {
    let page = reqwest::get(shop.url("/metrics")).await.unwrap();
    let page = page.text().await.unwrap();
    let name = format!("{name}{{service=\"gateway\"}} ");
    let value = page.lines().find_map(|line| line.strip_prefix(&name));
    value.map_or(0.0, |value| value.trim().parse().unwrap())
}

async fn sending(shop: &Shop) -> f64 {
    metric(shop, "konbini_gateway_sending_bytes").await
}

/// Checks the bound and that another client is served.
async fn is_bounded(shop: &Shop, product: &str) {
    let bytes = sending(shop).await;
    assert!(bytes <= SENDING_BYTES_MAX, "{bytes} bytes are being sent");
    let reader = Person::stranger(shop);
    for path in [product, "/v1/products?limit=1"] {
        assert_eq!(reader.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_responses_are_bounded_for_any_number_of_connections() {
    let mut shop = open(Form::Up).await;
    let product = stock(&shop).await;
    let mut unreading = Unreading::default();
    // A client that reads gets every response, one after another.
    let window = 64 * 1024;
    unreading
        .http2_with_window(window, &shop, Ipv4Addr::LOCALHOST, READ_STREAMS)
        .await;
    while let Some(ended) = unreading.http2.join_next().await {
        assert_eq!(ended.unwrap(), Some(200));
    }
    for (connections, addresses) in [(1_u8, 1), (4, 1), (64, 1), (64, 64)] {
        unreading = Unreading::default();
        for number in 0..connections {
            let from = Ipv4Addr::new(127, 0, 0, 1 + number % addresses);
            unreading.http2(&shop, from, STREAMS).await;
            unreading.http1(&shop, from).await;
        }
        eventually("responses are being sent", || async {
            sending(&shop).await > 0.0
        })
        .await;
        for _ in 0..10 {
            is_bounded(&shop, &product).await;
        }
    }
    // The last ones stay connected, and the shutdown does not wait for them.
    shop.signal("up", Signal::TERM).unwrap();
    let deadline = Instant::now() + TIMEOUT;
    while shop.check().is_ok() {
        assert!(Instant::now() < deadline, "the shop does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let output = shop.output();
    assert!(!output.contains("the drain timed out"), "{output}");
    assert!(!output.contains("panicked"), "{output}");
    drop(unreading);
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_streams_are_reset_after_write_ms() {
    let mut shop = closed();
    shop.init().unwrap();
    let settings = "[gateway.limits]\nwrite_ms = 500\n";
    shop.configure(settings).unwrap();
    shop.open(Form::Up).unwrap();
    shop.ready().await.unwrap();
    stock(&shop).await;
    let mut unreading = Unreading::default();
    unreading.http2(&shop, Ipv4Addr::LOCALHOST, 3).await;
    while let Some(ended) = unreading.http2.join_next().await {
        assert_eq!(ended.unwrap(), None, "a response was read");
    }
    eventually("nothing is being sent", || async {
        sending(&shop).await == 0.0
    })
    .await;
    let stalled = metric(&shop, "konbini_gateway_sending_stalled_total").await;
    assert!(stalled >= 1.0, "{stalled} streams stalled");
    shop.terminate_all().await.unwrap();
}
