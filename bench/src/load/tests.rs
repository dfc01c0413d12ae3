//! The driver against a played server: a stall of known length, every protocol's framing, and
//! starts that are late.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::*;

/// Answers every request at once, but keeps the `stalled` one and all after it for `stall`.
async fn play(stalled: u64, stall: Duration) -> LoadTarget {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (count, resumes) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(std::sync::OnceLock::new()),
    );
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (count, resumes) = (count.clone(), resumes.clone());
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(1..) = stream.read(&mut buffer).await {
                    if count.fetch_add(1, Ordering::Relaxed) >= stalled {
                        let until = resumes.get_or_init(|| Instant::now() + stall);
                        tokio::time::sleep_until((*until).into()).await;
                    }
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    LoadTarget::plain(address)
}

struct Pages {
    left: u64,
}

impl Requests for Pages {
    fn kinds(&self) -> Vec<String> {
        vec!["page".to_owned()]
    }

    fn next(&mut self, _worker: usize, request: &mut LoadRequest) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        request.get("/");
        Some(0)
    }
}

/// One connection, 100 starts a second, and a stall of 1 s: those that were to start in the
/// stall waited for its end, though only one of them was with the server by then.
#[tokio::test]
async fn a_stall_shows_in_the_response_times_of_all_that_were_to_start_in_it() {
    const STALL: Duration = Duration::from_secs(1);
    let plan = LoadPlan {
        arrivals: Arrivals::Constant(100.0),
        late_max: Some(LATE_MAX),
        ..LoadPlan::closed(play(20, STALL).await, 1)
    };
    let (_, measured) = plan.run(Pages { left: 150 }).await.unwrap();
    let load = &measured.loads[0];
    assert_eq!(
        (load.operations, load.failed, load.answers["200"]),
        (150, 0, 150)
    );
    let above = |latency: &crate::result::Latency, millis: u64| {
        let nanos = latency.histogram().unwrap();
        nanos.count_between(millis * 1_000_000, nanos.high())
    };
    // Of the 100 that were due in the stall, the k-th waited 1000 - 10k ms.
    let late = above(&load.response, 500);
    assert!(
        (50..=130).contains(&late),
        "{late} of about 50 waited 0.5 s or more"
    );
    assert_eq!(above(&load.service, 900), 1, "one request was stalled");
    assert!(
        load.response.p90_us >= 700_000.0,
        "{} µs",
        load.response.p90_us
    );
    // The one that was stalled started in time; the other 99 or so did not.
    assert!(
        measured.client.missed_starts >= 90,
        "{}",
        measured.client.missed_starts
    );
    assert!(measured.client.start_delay.p90_us >= 700_000.0);
    let started: u64 = load.seconds.iter().map(|second| second.started).sum();
    let finished: u64 = load.seconds.iter().map(|second| second.finished).sum();
    assert_eq!((started, finished), (150, 150));
    assert_eq!(load.seconds[0].started, 100);

    // A closed loop sees one slow answer in 150, and nothing of those that never came.
    let plan = LoadPlan::closed(play(20, STALL).await, 1);
    let (_, measured) = plan.run(Pages { left: 150 }).await.unwrap();
    let load = &measured.loads[0];
    assert_eq!((load.operations, above(&load.response, 900)), (150, 1));
    assert_eq!(measured.client.missed_starts, 0);
}

/// With a connection for each, no start is missed, and the stall shows in both times.
#[tokio::test]
async fn enough_connections_miss_no_start() {
    let plan = LoadPlan {
        arrivals: Arrivals::Constant(100.0),
        measured: Some(Duration::from_secs(1)),
        ..LoadPlan::closed(play(20, Duration::from_millis(500)).await, 100)
    };
    let (_, measured) = plan.run(Pages { left: u64::MAX }).await.unwrap();
    let load = &measured.loads[0];
    assert_eq!((load.operations, load.connections), (100, 100));
    assert_eq!(measured.client.missed_starts, 0);
    assert!(load.service.p50_us > 0.0 && load.response.max_us >= 400_000.0);
}

/// Starts that are later than allowed are given up and counted.
#[tokio::test]
async fn a_late_start_is_dropped_and_counted() {
    let offsets: Arc<[Duration]> = (0..20).map(Duration::from_millis).collect();
    let plan = LoadPlan {
        arrivals: Arrivals::Replay { offsets, speed: 1.0 },
        late_max: Some(Duration::from_millis(200)),
        ..LoadPlan::closed(play(5, Duration::from_millis(500)).await, 1)
    };
    let (_, measured) = plan.run(Pages { left: u64::MAX }).await.unwrap();
    let operations = measured.loads[0].operations;
    assert_eq!(operations + measured.client.dropped_starts, 20);
    assert!(
        measured.client.dropped_starts >= 13,
        "{operations} were made"
    );
}

/// A server behind TLS that answers by HTTP/2 alone, and the certificate that it shows.
async fn play_http2() -> (reqwest::Url, tempfile::NamedTempFile) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let mut roots = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut roots, made.cert.pem().as_bytes()).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let is_right = request.uri().path() == "/" && request.method() == "GET";
                    let status = if is_right { 200 } else { 400 };
                    let head = http::Response::builder().status(status).body(()).unwrap();
                    let mut body = respond.send_response(head, false).unwrap();
                    body.send_data("ok".into(), true).unwrap();
                }
            });
        }
    });
    let url = format!("https://localhost:{port}/").parse().unwrap();
    (url, roots)
}

/// Eight workers share two connections; without the certificate there is none.
#[tokio::test]
async fn http2_by_tls_is_a_load_like_any_other() {
    let (url, roots) = play_http2().await;
    let version = HttpVersion::Http2 { streams: 4 };
    let target = LoadTarget::of(&url, version, Some(roots.path())).unwrap();
    let (_, measured) = LoadPlan::closed(target, 8)
        .run(Pages { left: 100 })
        .await
        .unwrap();
    let load = &measured.loads[0];
    assert_eq!(
        (load.operations, load.failed, load.answers["200"]),
        (100, 0, 100)
    );

    let stranger = LoadTarget::of(&url, version, None).unwrap();
    let refused = LoadPlan::closed(stranger, 1).run(Pages { left: 1 }).await;
    let error = format!("{:#}", refused.err().unwrap());
    assert!(error.contains("certificate"), "{error}");
}
