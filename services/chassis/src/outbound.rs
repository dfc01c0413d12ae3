//! Outbound HTTP client for hosts on the internet: webhooks and the certificate authority.
//!
//! One request has one connection: a pool would keep connections to addresses that were
//! checked long ago. Redirects are not followed and no proxy is used.
//!
//! **Invariants:** a name is resolved once, and the connection is made to the very address
//! that passed the filter. Resolving, connecting, the whole exchange and the size of a
//! response are bounded.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::{Request, Response, StatusCode, Uri};
use futures::future::BoxFuture;
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
const ADDRESSES_MAX: usize = 4;

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
    /// The body of a response.
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
    /// A client that trusts `authority`, a PEM file, or the public authorities.
    ///
    /// # Errors
    /// [`Error::Config`] when the file cannot be read.
    pub fn new(
        authority: Option<&Path>,
        filter: AddressFilter,
        limits: OutboundLimits,
    ) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        match authority {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(file) => {
                let failed = |why: &dyn std::fmt::Display| {
                    Error::Config(format!("{}: {why}", file.display()))
                };
                let root = CertificateDer::from_pem_file(file).map_err(|error| failed(&error))?;
                roots.add(root).map_err(|error| failed(&error))?;
            }
        }
        let config =
            ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|error| Error::Service(error.to_string()))?
                .with_root_certificates(roots)
                .with_no_client_auth();
        let connector = Connector { filter, timeout: limits.connect_timeout };
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .retry_canceled_requests(false)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .build(HttpsConnector::from((connector, config)));
        Ok(Self { client, limits })
    }

    /// Sends a request and returns the status; the body of the response is not read.
    ///
    /// # Errors
    /// When there is no response within the limits.
    pub async fn status(&self, request: Request<Full<Bytes>>) -> Result<StatusCode, OutboundError> {
        let head = self.bounded(self.head(request)).await?;
        Ok(head.status())
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
            let connected = match timeout(limit, connect(&target, filter)).await {
                Ok(connected) => connected,
                Err(_) => Err(format!("no connection within {limit:?}")),
            };
            connected.map(TokioIo::new).map_err(OutboundError::Failed)
        })
    }
}

async fn connect(target: &Uri, filter: AddressFilter) -> Result<TcpStream, String> {
    let host = target.host().ok_or("the URL names no host")?;
    let default = if target.scheme_str() == Some("http") { 80 } else { 443 };
    let port = target.port_u16().unwrap_or(default);
    // A literal IPv6 address has brackets in a URL.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| format!("the name cannot be resolved: {error}"))?
        .collect();
    let mut why = "the name has no address".to_owned();
    for address in addresses.into_iter().take(ADDRESSES_MAX) {
        match filter(address.ip()) {
            Ok(()) => match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => why = format!("it cannot be connected to: {error}"),
            },
            Err(refused) => why = refused,
        }
    }
    Err(why)
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
            let error = client(refuse, LIMITS).status(request(url.clone())).await;
            let error = error.unwrap_err().to_string();
            assert!(error.contains("is refused"), "{error}");
            let allowed = client(|_| Ok(()), LIMITS).status(request(url)).await;
            assert_eq!(allowed.unwrap(), 204);
        }
        let error = client(refuse, LIMITS)
            .status(request("http://[::1]:1/".into()))
            .await;
        assert_eq!(error.unwrap_err().to_string(), "::1 is refused");
    }

    #[tokio::test]
    async fn redirects_are_responses_and_bodies_are_bounded() {
        let moved = "HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 9\r\n\r\n123456789";
        let client = client(|_| Ok(()), LIMITS);
        let url = format!("http://{}/", serve(moved).await);
        assert_eq!(client.status(request(url.clone())).await.unwrap(), 302);
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
        let error = client(|_| Ok(()), limits).status(request(url)).await;
        assert_eq!(error.unwrap_err().to_string(), "no response within 50ms");
        assert!(started.elapsed() < LIMITS.timeout);
    }
}
