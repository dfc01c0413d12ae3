//! Outbound connections to hosts on the internet, and the HTTP client for webhooks and the
//! certificate authority. Mail connects the same way ([`connect`]).
//!
//! One request has one connection: a pool would keep connections to addresses that were
//! checked long ago. Redirects are not followed and no proxy is used.
//!
//! The addresses of a name are tried one after another with little time between them, the two
//! versions of IP in turn, and the first that accepts is used (RFC 8305): a version of IP that
//! swallows packets costs a quarter of a second.
//!
//! **Invariants:** a name is resolved once, and the connection is made to the very address
//! that passed the filter. Resolving, connecting, the whole exchange and the size of a
//! response are bounded.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::{Request, Response, Uri};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use tower_service::Service;

use crate::Error;

/// Most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 6;

/// How long an address has to accept before the next one is tried as well (RFC 8305 §8).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How long the beginning of a response's body is waited for.
const BEGINNING_TIMEOUT: Duration = Duration::from_secs(1);

/// Largest head of a response, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Decides whether an address may be connected to; the error has the reason why not.
pub type AddressFilter = fn(IpAddr) -> Result<(), String>;

/// The bounds of an exchange.
#[derive(Debug, Clone, Copy)]
pub struct OutboundLimits {
    /// Resolving and connecting.
    pub connect_timeout: Duration,
    /// The whole exchange.
    pub timeout: Duration,
    /// The body of a response, or what is read of it.
    pub body_bytes_max: usize,
}

/// Sends requests. Cheap to clone.
#[derive(Clone)]
pub struct Outbound {
    client: Client<HttpsConnector<Connector>, Full<Bytes>>,
    limits: OutboundLimits,
}

/// The reason why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The exchange exceeded its timeout.
    #[error("no response within {0:?}")]
    Timeout(Duration),
    /// Connecting or the exchange failed.
    #[error("{0}")]
    Failed(String),
}

impl Outbound {
    /// A client that trusts the public authorities and those of `authority`, a PEM file.
    ///
    /// # Errors
    /// [`Error::Config`] when the file cannot be read.
    pub fn new(
        authority: Option<&Path>,
        filter: AddressFilter,
        limits: OutboundLimits,
    ) -> Result<Self, Error> {
        let config = tls_config(authority)?;
        let connector = Connector { filter, timeout: limits.connect_timeout };
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .retry_canceled_requests(false)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .build(HttpsConnector::from((connector, config)));
        Ok(Self { client, limits })
    }

    /// Sends a request and returns the head of the response with the beginning of its body, as
    /// far as that comes within [`BEGINNING_TIMEOUT`].
    ///
    /// # Errors
    /// When there is no response within the limits.
    pub async fn beginning(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, OutboundError> {
        let (parts, mut body) = self.bounded(self.head(request)).await?.into_parts();
        let (mut beginning, bytes_max) = (Vec::new(), self.limits.body_bytes_max);
        let reading = async {
            while beginning.len() < bytes_max {
                let Some(Ok(frame)) = body.frame().await else {
                    break;
                };
                let data = frame.into_data().unwrap_or_default();
                let room = bytes_max - beginning.len();
                beginning.extend_from_slice(&data[..data.len().min(room)]);
            }
        };
        // The head has decided; what is late or broken is left out.
        let _ = timeout(BEGINNING_TIMEOUT, reading).await;
        Ok(Response::from_parts(parts, beginning.into()))
    }

    /// Sends a request and returns the whole response.
    ///
    /// # Errors
    /// When there is no response within the limits.
    pub async fn fetch(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, OutboundError> {
        self.bounded(async {
            let (parts, body) = self.head(request).await?.into_parts();
            let body = Limited::new(body, self.limits.body_bytes_max)
                .collect()
                .await;
            let body = body.map_err(|error| OutboundError::Failed(error.to_string()))?;
            Ok(Response::from_parts(parts, body.to_bytes()))
        })
        .await
    }

    async fn bounded<T>(
        &self,
        exchange: impl Future<Output = Result<T, OutboundError>>,
    ) -> Result<T, OutboundError> {
        let late = OutboundError::Timeout(self.limits.timeout);
        timeout(self.limits.timeout, exchange)
            .await
            .unwrap_or(Err(late))
    }

    async fn head(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, OutboundError> {
        let response = self.client.request(request).await;
        response.map_err(|error| OutboundError::Failed(reason(&error)))
    }
}

/// The cause behind the client's own wrapper of an error.
fn reason(error: &legacy::Error) -> String {
    let cause = std::error::Error::source(error);
    match cause {
        Some(cause) if error.is_connect() => cause.to_string(),
        Some(cause) => format!("the exchange failed: {cause}"),
        None => error.to_string(),
    }
}

/// Resolves a name, filters its addresses, and connects to the first that accepts.
#[derive(Clone)]
struct Connector {
    filter: AddressFilter,
    timeout: Duration,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = OutboundError;
    type Future = BoxFuture<'static, Result<Self::Response, OutboundError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OutboundError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let Self { filter, timeout: limit } = *self;
        Box::pin(async move {
            let connected = connect_to(&target, filter, limit).await;
            connected.map(TokioIo::new).map_err(OutboundError::Failed)
        })
    }
}

async fn connect_to(
    target: &Uri,
    filter: AddressFilter,
    limit: Duration,
) -> Result<TcpStream, String> {
    let host = target.host().ok_or("the URL names no host")?;
    let default = if target.scheme_str() == Some("http") { 80 } else { 443 };
    let port = target.port_u16().unwrap_or(default);
    // A literal IPv6 address has brackets in a URL.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    connect(host, port, filter, limit).await
}

/// Resolves a name and connects to the first of its addresses that passes the filter and
/// accepts, all within `limit`.
///
/// # Errors
/// Why there is no connection: of the last address that failed.
pub async fn connect(
    host: &str,
    port: u16,
    filter: AddressFilter,
    limit: Duration,
) -> Result<TcpStream, String> {
    let connecting = async {
        let addresses = tokio::net::lookup_host((host, port))
            .await
            .map_err(|error| format!("the name cannot be resolved: {error}"))?;
        let (mut allowed, mut why) = (Vec::new(), "the name has no address".to_owned());
        for address in addresses {
            match filter(address.ip()) {
                Ok(()) => allowed.push(address),
                Err(refused) => why = refused,
            }
        }
        race(in_turn(allowed), why).await
    };
    match timeout(limit, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(format!("no connection within {limit:?}")),
    }
}

/// The addresses that are tried, in the resolver's order but with the two versions of IP in
/// turn (RFC 8305 §4).
fn in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let is_first_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (VecDeque<_>, VecDeque<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == is_first_v6);
    let mut queues = [one, other];
    let mut ordered = Vec::new();
    while ordered.len() < ADDRESSES_MAX && queues.iter().any(|queue| !queue.is_empty()) {
        ordered.extend(queues.iter_mut().filter_map(VecDeque::pop_front));
    }
    ordered.truncate(ADDRESSES_MAX);
    ordered
}

/// Connects to the first address that accepts. The next one is tried when the one before it
/// fails, or has not accepted within [`ATTEMPT_DELAY`]; slower ones go on meanwhile.
async fn race(addresses: Vec<SocketAddr>, mut why: String) -> Result<TcpStream, String> {
    let (mut waiting, mut attempts) = (addresses.into_iter(), FuturesUnordered::new());
    attempts.extend(waiting.next().map(TcpStream::connect));
    while !attempts.is_empty() {
        tokio::select! {
            Some(attempt) = attempts.next() => {
                match attempt {
                    Ok(stream) => return Ok(stream),
                    Err(error) => why = format!("it cannot be connected to: {error}"),
                }
            }
            () = tokio::time::sleep(ATTEMPT_DELAY), if waiting.len() > 0 => {}
        }
        attempts.extend(waiting.next().map(TcpStream::connect));
    }
    Err(why)
}

/// TLS that trusts the public authorities and those of `authority`, a PEM file.
///
/// # Errors
/// [`Error::Config`] when the file cannot be read.
pub fn tls_config(authority: Option<&Path>) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(file) = authority {
        add_authorities(&mut roots, file)
            .map_err(|why| Error::Config(format!("{}: {why}", file.display())))?;
    }
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Service(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// Adds every certificate of a PEM file.
fn add_authorities(roots: &mut RootCertStore, file: &Path) -> Result<(), String> {
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| error.to_string())?;
    let mut count = 0;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
        count += 1;
    }
    match count {
        0 => Err("it has no certificate".into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const LIMITS: OutboundLimits = OutboundLimits {
        connect_timeout: Duration::from_secs(5),
        timeout: Duration::from_secs(5),
        body_bytes_max: 8,
    };

    /// A server that sends the same bytes to every connection, and its address.
    async fn serve(response: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = [0; 1024];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(response.as_bytes()).await;
                if response.is_empty() {
                    std::future::pending::<()>().await;
                }
            }
        });
        address
    }

    fn request(url: String) -> Request<Full<Bytes>> {
        Request::get(url).body(Full::default()).unwrap()
    }

    fn client(filter: AddressFilter, limits: OutboundLimits) -> Outbound {
        Outbound::new(None, filter, limits).unwrap()
    }

    #[tokio::test]
    async fn literals_and_names_are_filtered() {
        let address = serve("HTTP/1.1 204 No Content\r\n\r\n").await;
        let refuse: AddressFilter = |address| Err(format!("{address} is refused"));
        for host in ["127.0.0.1", "localhost"] {
            let url = format!("http://{host}:{}/", address.port());
            let error = client(refuse, LIMITS).beginning(request(url.clone())).await;
            let error = error.unwrap_err().to_string();
            assert!(error.contains("is refused"), "{error}");
            let allowed = client(|_| Ok(()), LIMITS).beginning(request(url)).await;
            assert_eq!(allowed.unwrap().status(), 204);
        }
        let error = client(refuse, LIMITS)
            .beginning(request("http://[::1]:1/".into()))
            .await;
        assert_eq!(error.unwrap_err().to_string(), "::1 is refused");
    }

    #[tokio::test]
    async fn redirects_are_responses_and_bodies_are_bounded() {
        let moved = "HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 9\r\n\r\n123456789";
        let client = client(|_| Ok(()), LIMITS);
        let url = format!("http://{}/", serve(moved).await);
        let beginning = client.beginning(request(url.clone())).await.unwrap();
        assert_eq!(
            (beginning.status().as_u16(), &beginning.body()[..]),
            (302, &b"12345678"[..])
        );
        assert!(client.fetch(request(url)).await.is_err());
        let short = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n12345678";
        let url = format!("http://{}/", serve(short).await);
        assert_eq!(client.fetch(request(url)).await.unwrap().body(), "12345678");
    }

    #[tokio::test]
    async fn a_silent_server_times_out() {
        let limits = OutboundLimits { timeout: Duration::from_millis(50), ..LIMITS };
        let url = format!("http://{}/", serve("").await);
        let started = Instant::now();
        let error = client(|_| Ok(()), limits).beginning(request(url)).await;
        assert_eq!(error.unwrap_err().to_string(), "no response within 50ms");
        assert!(started.elapsed() < LIMITS.timeout);
    }

    /// A listener whose queue is full: the kernel drops further packets of it, as a broken
    /// network does.
    async fn black_hole() -> (TcpListener, Vec<TcpStream>) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let (address, mut filling) = (listener.local_addr().unwrap(), Vec::new());
        let patience = Duration::from_millis(300);
        while let Ok(stream) = timeout(patience, TcpStream::connect(address)).await {
            filling.push(stream.unwrap());
        }
        (listener, filling)
    }

    #[tokio::test]
    async fn an_address_that_swallows_packets_delays_the_next_one_a_little() {
        let (hole, _filling) = black_hole().await;
        let hole = hole.local_addr().unwrap();
        let good = serve("HTTP/1.1 204 No Content\r\n\r\n").await;
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refusing = closed.local_addr().unwrap();
        drop(closed);
        // The kernel would try the first address for two minutes.
        let racing = race(vec![hole, refusing, hole, good], String::new());
        let stream = timeout(LIMITS.timeout, racing).await.unwrap();
        assert_eq!(stream.unwrap().peer_addr().unwrap(), good);
        let why = race(vec![refusing], String::new()).await.unwrap_err();
        assert!(why.contains("refused"), "{why}");
        assert_eq!(race(Vec::new(), "none".into()).await.unwrap_err(), "none");
    }

    #[test]
    fn addresses_are_tried_with_the_versions_of_ip_in_turn() {
        let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let resolved = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "1.1.1.2:1"]);
        let tried = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "1.1.1.2:1", "[::3]:1"]);
        assert_eq!(in_turn(resolved), tried);
        let many: Vec<SocketAddr> = (0..20).map(|host| ([1, 1, 1, host], 1).into()).collect();
        assert_eq!(in_turn(many.clone()), many[..ADDRESSES_MAX]);
        assert!(in_turn(Vec::new()).is_empty());
    }
}
