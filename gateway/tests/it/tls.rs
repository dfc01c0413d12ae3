//! TLS, its certificates, and HTTP/2 with and without TLS.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chassis::telemetry::LogFormat;
use gateway::Config;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::CertifiedKey;
use testkit::{TestService, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use crate::stub::Stub;

/// Longer than the timeout of a handshake.
const TIMEOUT: Duration = Duration::from_secs(20);

const NAME: &str = "shop.test";

/// A self-signed certificate and its key, both PEM.
struct Made {
    der: CertificateDer<'static>,
    certificate: String,
    key: String,
}

fn make() -> Made {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    Made {
        der: cert.der().clone(),
        certificate: cert.pem(),
        key: signing_key.serialize_pem(),
    }
}

impl Made {
    fn write(&self, folder: &Path) {
        std::fs::write(folder.join("key.pem"), &self.key).unwrap();
        std::fs::write(folder.join("certificate.pem"), &self.certificate).unwrap();
    }
}

fn settings(folder: &Path) -> Config {
    let mut config = Config::default();
    config.tls.certificate = Some(folder.join("certificate.pem"));
    config.tls.key = Some(folder.join("key.pem"));
    config
}

/// A handshake of a client that trusts these certificates.
async fn connect(test: &TestService, trusted: &[&Made], alpn: &[&[u8]]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    for made in trusted {
        roots.add(made.der.clone()).unwrap();
    }
    let provider = Arc::new(crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|one| one.to_vec()).collect();
    let stream = TcpStream::connect(test.address).await.unwrap();
    let name = ServerName::try_from(NAME).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap()
}

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    chain[0].clone().into_owned()
}

async fn body(answer: Response<Incoming>) -> Bytes {
    answer.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_used_for_new_connections() {
    chassis::telemetry::start(LogFormat::Human, "warn");
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (make(), make());
    first.write(folder.path());
    let test = crate::start(settings(folder.path())).await;
    let trusted = [&first, &second];

    let early = connect(&test, &trusted, &[b"http/1.1"]).await;
    assert_eq!(shown(&early), first.der);
    let (mut early, connection) = http1::handshake(TokioIo::new(early)).await.unwrap();
    tokio::spawn(connection);
    let get = |path: &str, host: &str| {
        let request = Request::get(path).header("host", host);
        request.body(Empty::<Bytes>::new()).unwrap()
    };
    let livez = || get("/livez", NAME);
    let answer = early.send_request(livez()).await.unwrap();
    assert_eq!(
        answer.headers()["strict-transport-security"],
        "max-age=31536000"
    );
    body(answer).await;

    // The new key without its certificate, as when files are copied one by one.
    std::fs::write(folder.path().join("key.pem"), &second.key).unwrap();
    test.supervision.reload();
    assert_eq!(shown(&connect(&test, &trusted, &[]).await), first.der);
    second.write(folder.path());
    test.supervision.reload();
    assert_eq!(shown(&connect(&test, &trusted, &[]).await), second.der);

    early.ready().await.expect("the open connection stays");
    let answer = early.send_request(livez()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    body(answer).await;
    // The task of the connection may not have seen the end of the response yet.
    early.ready().await.expect("the open connection stays");
    let metrics = early
        .send_request(get("/metrics", "localhost"))
        .await
        .unwrap();
    let metrics = String::from_utf8(body(metrics).await.to_vec()).unwrap();
    let name = "konbini_certificate_expiry_seconds{service=\"gateway\"} ";
    let expiry = metrics.lines().find_map(|line| line.strip_prefix(name));
    let expiry: f64 = expiry.expect("it is shown").parse().unwrap();
    assert!(expiry > model::now().0 as f64 / 1_000.0, "{expiry}");
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_with_another_key_fails_the_start() {
    let folder = tempfile::tempdir().unwrap();
    make().write(folder.path());
    std::fs::write(folder.path().join("key.pem"), make().key).unwrap();
    let start = crate::start(settings(folder.path()));
    assert!(tokio::spawn(start).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_redirected_to_https() {
    let folder = tempfile::tempdir().unwrap();
    make().write(folder.path());
    let mut config = settings(folder.path());
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = probe.local_addr().unwrap();
    drop(probe);
    config.tls.redirect_listen = Some(plain);
    let test = crate::start(config).await;

    let answer = async |host: &str| {
        let mut stream = TcpStream::connect(plain).await.unwrap();
        let request = format!("GET /v1/products?q=lamp HTTP/1.1\r\nHost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        tokio::time::timeout(TIMEOUT, read).await.unwrap().unwrap();
        answer
    };
    let redirected = answer("shop.test").await;
    assert!(redirected.starts_with("HTTP/1.1 308 "), "{redirected}");
    let port = test.address.port();
    let there = format!("location: https://shop.test:{port}/v1/products?q=lamp\r\n");
    assert!(redirected.contains(&there), "{redirected}");
    for host in ["other.test", "shop.test.evil.test", "127.0.0.1"] {
        let refused = answer(host).await;
        assert!(refused.starts_with("HTTP/1.1 421 "), "{host}: {refused}");
        assert!(!refused.contains("location: "), "{host}: {refused}");
    }
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alpn_negotiates_http2_with_concurrent_requests() {
    let folder = tempfile::tempdir().unwrap();
    let made = make();
    made.write(folder.path());
    let test = crate::start(settings(folder.path())).await;
    let stream = connect(&test, &[&made], &[b"h2", b"http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut client, connection) = handshake.unwrap();
    tokio::spawn(connection);
    let get = |path: &str| {
        let uri = format!("https://{NAME}{path}");
        Request::get(uri).body(Empty::<Bytes>::new()).unwrap()
    };
    let both = (
        client.send_request(get("/livez")),
        client.send_request(get("/v1/nothing")),
    );
    let (well, nothing) = futures::join!(both.0, both.1);
    let well = well.unwrap();
    assert_eq!(well.status(), StatusCode::OK);
    assert!(well.headers().contains_key("strict-transport-security"));
    assert_eq!(body(well).await, r#"{"status":"ok"}"#);
    assert_eq!(nothing.unwrap().status(), StatusCode::NOT_FOUND);
    drop(client);
    test.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_with_prior_knowledge_is_forwarded_and_ends_gracefully() {
    let test = crate::start(gateway::Config::default()).await;
    let products = Stub::start(&test, "products").await;
    let stream = TcpStream::connect(test.address).await.unwrap();
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut client, connection) = handshake.unwrap();
    let connection = tokio::spawn(connection);

    let mut send = async |request: http::request::Builder, body: &'static str| {
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        client.send_request(request).await
    };
    let uri = "http://shop.test/v1/products/import?currency=a%2Fb";
    let staff = test.staff().request(http::Method::POST, "/v1/products");
    let token = staff.build().unwrap().headers()["authorization"].clone();
    let request = Request::post(uri)
        .header("authorization", token)
        .header("cookie", "a=1")
        .header("cookie", "b=2");
    let answer = send(request, "{}").await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["etag"], "\"1\"");
    assert!(!answer.headers().contains_key("connection"));
    assert_eq!(body(answer).await, r#"{"ok":true}"#);
    let seen = products.seen().pop().unwrap();
    assert_eq!(seen.target, "/v1/products/import?currency=a%2Fb");
    assert_eq!(seen.body, "{}");
    assert_eq!(seen.headers["host"], "shop.test");
    let cookies: Vec<_> = seen.headers.get_all("cookie").iter().collect();
    assert_eq!(cookies, ["a=1; b=2"]);

    let two_hosts = Request::get(uri).header("host", "other.test");
    assert_eq!(send(two_hosts, "").await.unwrap().status(), 400);
    let same_host = Request::get("http://shop.test/v1/products").header("host", "shop.test");
    assert_eq!(send(same_host, "").await.unwrap().status(), 200);
    let dots = Request::get("http://shop.test/v1/products/%2e%2e/users");
    assert_eq!(send(dots, "").await.unwrap().status(), 400);
    let connect = Request::connect("shop.test:443");
    assert_eq!(send(connect, "").await.unwrap().status(), 501);
    assert_eq!(products.seen().len(), 2, "no refused one arrived");

    // After a stop the connection finishes its streams and accepts no more.
    let drip = products.drip();
    drip.send("one".into()).await.unwrap();
    let drips = Request::get("http://shop.test/v1/products/drip");
    let mut dripping = send(drips, "").await.unwrap().into_body();
    let mut next = async || dripping.frame().await.map(|frame| frame.unwrap());
    assert_eq!(next().await.unwrap().into_data().unwrap(), "one");
    let address = test.address;
    let ended = tokio::spawn(test.finish());
    eventually("no connection is accepted", || async {
        TcpStream::connect(address).await.is_err()
    })
    .await;
    drip.send("two".into()).await.unwrap();
    assert_eq!(next().await.unwrap().into_data().unwrap(), "two");
    drop(drip);
    // HTTP/2 may end a stream by an empty frame.
    while let Some(rest) = next().await {
        assert!(rest.data_ref().is_some_and(Bytes::is_empty));
    }
    let late = Request::get("http://shop.test/livez");
    assert!(send(late, "").await.is_err(), "the connection is over");
    connection.await.unwrap().expect("it ended cleanly");
    ended.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_handshake_is_disconnected() {
    let folder = tempfile::tempdir().unwrap();
    make().write(folder.path());
    let secure = crate::start(settings(folder.path())).await;
    let clear = crate::start(gateway::Config::default()).await;
    let cut = async |test: &TestService, first: &[u8]| {
        let mut stream = TcpStream::connect(test.address).await.unwrap();
        stream.write_all(first).await.unwrap();
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        let ended = tokio::time::timeout(TIMEOUT, ended).await;
        ended.expect("the client is disconnected").ok();
    };
    futures::join!(
        cut(&secure, b""),
        // A record with a longer length than its bytes.
        cut(&secure, b"\x16\x03\x01\x02\x00\x01"),
        cut(&clear, b""),
        cut(&clear, b"PRI * HTTP/2.0\r\n"),
    );
    secure.finish().await;
    clear.finish().await;
}
