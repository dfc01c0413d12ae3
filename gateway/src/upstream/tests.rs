//! Scripted services: the test writes every byte, so that each failure is exact.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use api::Timeout;

const TIMEOUT: Duration = Duration::from_secs(20);
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

type Answered = Result<Response<ServiceBody>, Error>;

/// An instance whose connections the test serves by hand.
struct Played {
    listener: TcpListener,
    instance: mesh::Instance,
}

impl Played {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let instance = mesh::Instance::new("orders", listener.local_addr().unwrap());
        Self { listener, instance }
    }

    /// The next connection.
    async fn accept(&self) -> TcpStream {
        let accepted = timeout(TIMEOUT, self.listener.accept()).await;
        accepted.expect("a connection arrives").unwrap().0
    }

    /// Waits until the gateway has processed earlier events: the runtime has one thread,
    /// which receives events of its connections in order.
    async fn settle(&self) {
        let address = self.listener.local_addr().unwrap();
        let (_one, _other) = tokio::join!(TcpStream::connect(address), self.accept());
    }
}

/// An instance whose address refuses connections.
async fn dead() -> mesh::Instance {
    Played::start().await.instance
}

fn upstreams(alive: &[&mesh::Instance]) -> Upstreams {
    let upstreams = Upstreams::new(&["orders"], &chassis::in_process::LocalServices::default());
    upstreams.update(alive.iter().copied());
    upstreams
}

fn send(upstreams: &Upstreams, which: Instances, method: Method) -> JoinHandle<Answered> {
    let upstreams = upstreams.clone();
    tokio::spawn(async move {
        let mut request = Request::new(RequestBody::empty());
        *request.method_mut() = method;
        *request.uri_mut() = "/v1/orders".parse().unwrap();
        let wait = Wait::begin(Timeout::Total(TIMEOUT));
        upstreams.send("orders", which, &wait, request).await
    })
}

/// Reads a request's head.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = timeout(TIMEOUT, stream.read_u8()).await;
        head.push(byte.expect("a request arrives").unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn answer(stream: &mut TcpStream, answer: &str) {
    stream.write_all(answer.as_bytes()).await.unwrap();
}

async fn serve(stream: &mut TcpStream) {
    head(stream).await;
    answer(stream, OK).await;
}

/// Reads the whole body of a successful response.
async fn read(answered: JoinHandle<Answered>) -> Bytes {
    let answer = answered.await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let body = timeout(TIMEOUT, answer.into_body().collect()).await;
    body.expect("it ends").unwrap().to_bytes()
}

async fn closed(mut stream: TcpStream) -> bool {
    let read = timeout(TIMEOUT, stream.read(&mut [0; 1])).await;
    read.expect("it is closed").unwrap_or(0) == 0
}

fn idle(upstreams: &Upstreams) -> usize {
    let known = upstreams.0[0].known();
    known.iter().map(|one| one.pool.len()).sum()
}

#[tokio::test]
async fn a_connection_returns_to_the_pool_only_after_a_clean_end() {
    let orders = Played::start().await;
    let upstreams = upstreams(&[&orders.instance]);
    let get = || send(&upstreams, Instances::Newest, Method::GET);
    let first = get();
    let mut stream = orders.accept().await;
    let seen = head(&mut stream).await;
    assert!(seen.starts_with("GET /v1/orders HTTP/1.1\r\n"), "{seen}");
    let host = format!("host: {}\r\n", orders.instance.address);
    assert!(seen.contains(&host), "{seen}");
    answer(&mut stream, OK).await;
    assert_eq!(read(first).await, "ok");
    assert_eq!(idle(&upstreams), 1);

    for clean in [
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ] {
        let answered = get();
        head(&mut stream).await;
        answer(&mut stream, clean).await;
        read(answered).await;
        assert_eq!(idle(&upstreams), 1, "{clean}");
    }

    let answered = get();
    head(&mut stream).await;
    answer(
        &mut stream,
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
    )
    .await;
    let half = answered.await.unwrap().unwrap();
    let mut body = half.into_body();
    let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(piece, "half");
    drop(body);
    assert!(closed(stream).await, "half of a response is unread");

    let answered = get();
    let mut stream = orders.accept().await;
    head(&mut stream).await;
    answer(
        &mut stream,
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
    )
    .await;
    read(answered).await;
    assert_eq!((closed(stream).await, idle(&upstreams)), (true, 0));
}

#[tokio::test]
async fn a_connection_closed_in_the_pool_is_replaced_without_an_error() {
    let orders = Played::start().await;
    let upstreams = upstreams(&[&orders.instance]);
    let answered = send(&upstreams, Instances::Newest, Method::POST);
    let mut stream = orders.accept().await;
    serve(&mut stream).await;
    read(answered).await;
    drop(stream);
    orders.settle().await;

    // Nothing was written to it, so even a POST is sent again.
    let answered = send(&upstreams, Instances::Newest, Method::POST);
    serve(&mut orders.accept().await).await;
    assert_eq!(read(answered).await, "ok");
}

#[tokio::test]
async fn a_safe_request_is_repeated_once_and_only_after_a_pooled_connection_broke() {
    for (method, repetitions) in [(Method::GET, 1), (Method::POST, 0), (Method::DELETE, 0)] {
        let orders = Played::start().await;
        let upstreams = upstreams(&[&orders.instance]);
        let warm = send(&upstreams, Instances::Newest, Method::GET);
        let mut stream = orders.accept().await;
        serve(&mut stream).await;
        read(warm).await;

        let answered = send(&upstreams, Instances::Newest, method.clone());
        head(&mut stream).await;
        drop(stream);
        for _ in 0..repetitions {
            head(&mut orders.accept().await).await;
        }
        let failed = answered.await.unwrap().map(|_| ()).unwrap_err();
        assert!(matches!(failed, Error::Broken { .. }), "{method}: {failed}");

        let fresh = send(&upstreams, Instances::Newest, method.clone());
        head(&mut orders.accept().await).await;
        let failed = fresh.await.unwrap().map(|_| ()).unwrap_err();
        assert!(matches!(failed, Error::Broken { .. }), "{method}: {failed}");
    }
}

#[tokio::test]
async fn a_replica_that_refuses_connections_is_replaced_and_then_ejected() {
    let (alive, dead) = (Played::start().await, dead().await);
    let upstreams = upstreams(&[&alive.instance, &dead]);
    let served = tokio::spawn(async move {
        loop {
            let mut stream = alive.accept().await;
            tokio::spawn(async move {
                loop {
                    serve(&mut stream).await;
                }
            });
        }
    });
    let is_ejected = || {
        let known = upstreams.0[0].known();
        let dead = known.iter().find(|one| one.is(&dead)).unwrap();
        dead.health.is_ejected(tokio::time::Instant::now())
    };
    let mut asked = 0;
    while !is_ejected() {
        asked += 1;
        assert!(asked < 100, "never ejected");
        // Every other request is refused by one replica, unsent, and served by the other.
        read(send(&upstreams, Instances::Any, Method::POST)).await;
    }
    served.abort();

    // The only instance is used although it is ejected.
    upstreams.update([&dead].into_iter());
    let failed = send(&upstreams, Instances::Any, Method::GET).await.unwrap();
    let failed = failed.map(|_| ()).unwrap_err();
    assert!(matches!(failed, Error::Unreachable { .. }), "{failed}");
}

#[tokio::test]
async fn no_request_is_repeated_beyond_the_budget() {
    let (alive, dead) = (Played::start().await, dead().await);
    let upstreams = upstreams(&[&dead, &alive.instance]);
    while upstreams.0[0].budget.spend() {}
    // Each instance is the first choice of one of the two requests.
    let one = send(&upstreams, Instances::Any, Method::GET);
    let other = send(&upstreams, Instances::Any, Method::GET);
    serve(&mut alive.accept().await).await;
    let outcomes = [one.await.unwrap(), other.await.unwrap()];
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
}

#[tokio::test]
async fn an_unread_body_applies_backpressure_to_the_service() {
    const BODY_BYTES: usize = 64 * 1024 * 1024;
    let orders = Played::start().await;
    let upstreams = upstreams(&[&orders.instance]);
    let answered = send(&upstreams, Instances::Newest, Method::GET);
    let mut stream = orders.accept().await;
    head(&mut stream).await;
    let length = format!("HTTP/1.1 200 OK\r\ncontent-length: {BODY_BYTES}\r\n\r\n");
    answer(&mut stream, &length).await;
    let body = answered.await.unwrap().unwrap().into_body();

    let (piece, mut written, mut refusals) = (vec![0; 64 * 1024], 0, 0);
    while refusals < 3 {
        match stream.try_write(&piece) {
            Ok(bytes) => (written, refusals) = (written + bytes, 0),
            Err(_) => refusals += 1,
        }
        assert!(written < BODY_BYTES, "the whole body was buffered unread");
        orders.settle().await;
    }
    let rest = vec![0; BODY_BYTES - written];
    let (read, wrote) = tokio::join!(body.collect(), stream.write_all(&rest));
    wrote.unwrap();
    assert_eq!(read.unwrap().to_bytes().len(), BODY_BYTES);
    assert_eq!(idle(&upstreams), 1);
}

#[tokio::test]
async fn an_unneeded_connection_is_closed_after_an_interval() {
    let orders = Played::start().await;
    let upstreams = upstreams(&[&orders.instance]);
    let get = || send(&upstreams, Instances::Newest, Method::GET);
    let together = [get(), get()];
    let (mut one, mut other) = (orders.accept().await, orders.accept().await);
    tokio::join!(serve(&mut one), serve(&mut other));
    for answered in together {
        read(answered).await;
    }
    upstreams.close_idle();
    assert_eq!(idle(&upstreams), 2, "both were needed");

    // The connection that returned to the pool last.
    let answered = get();
    let served = async {
        tokio::select! { () = serve(&mut one) => {}, () = serve(&mut other) => {} }
    };
    tokio::join!(served, read(answered));
    upstreams.close_idle();
    assert_eq!(idle(&upstreams), 1, "one was needed");
    upstreams.close_idle();
    assert_eq!(idle(&upstreams), 0, "none was needed");
}

#[tokio::test]
async fn a_request_waits_for_discovery_after_a_start() {
    let orders = Played::start().await;
    let upstreams = upstreams(&[]);
    let answered = send(&upstreams, Instances::Newest, Method::POST);
    orders.settle().await;
    assert!(!answered.is_finished(), "discovery is not over");
    upstreams.update([&orders.instance].into_iter());
    let mut stream = orders.accept().await;
    serve(&mut stream).await;
    read(answered).await;
}

#[tokio::test]
async fn the_newest_instance_is_chosen_and_known_ones_keep_their_connections() {
    let (old, new) = (Played::start().await, Played::start().await);
    let upstreams = upstreams(&[&old.instance]);
    let address = |upstreams: &Upstreams| -> SocketAddr {
        let chosen = upstreams.0[0].choose(Instances::Newest, None);
        chosen.unwrap().address
    };
    assert_eq!(address(&upstreams), old.instance.address);
    let answered = send(&upstreams, Instances::Newest, Method::GET);
    let mut stream = old.accept().await;
    serve(&mut stream).await;
    read(answered).await;
    upstreams.update([&old.instance, &new.instance].into_iter());
    assert_eq!(address(&upstreams), new.instance.address);
    assert_eq!(idle(&upstreams), 1);
    upstreams.update([&new.instance].into_iter());
    assert_eq!(idle(&upstreams), 0);
    upstreams.update([].into_iter());
    let absent = send(&upstreams, Instances::Newest, Method::GET);
    let failed = absent.await.unwrap().map(|_| ()).unwrap_err();
    assert!(matches!(failed, Error::Absent("orders")), "{failed}");
}
