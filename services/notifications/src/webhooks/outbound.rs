//! One request to somebody else's program: resolved, checked, connected to the
//! very address that was checked, answered or cut.
//!
//! **Invariants:** nothing is sent to an address that was not checked; redirects
//! are answers, not instructions; no proxy, no pool, no cookie stands between.
//! Nothing takes longer than [`TIMEOUT`].

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use axum::http::{HeaderMap, Method, Request};
use bytes::Bytes;
use chassis::config;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use url::{Host, Url};

use super::address::refuse_private;

/// How long resolving and connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long all of it may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What is read of an answer before its head must have ended, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How many addresses of a name are tried.
const ADDRESSES_MAX: usize = 4;

/// Sends requests. Cheap to clone.
#[derive(Clone)]
pub(super) struct Outbound {
    tls: TlsConnector,
    allow_private: bool,
}

impl Outbound {
    pub(super) fn new(settings: &config::Webhooks) -> Self {
        let roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        let provider = Arc::new(crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            tls: TlsConnector::from(Arc::new(config)),
            allow_private: settings.allow_private,
        }
    }

    /// Sends a JSON body and returns the answer's status.
    ///
    /// # Errors
    /// Why there was no answer, for the delivery log.
    pub(super) async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<u16, String> {
        match timeout(TIMEOUT, self.exchange(url, headers, body)).await {
            Ok(answered) => answered,
            Err(_) => Err(format!("no answer within {TIMEOUT:?}")),
        }
    }

    async fn exchange(&self, url: &str, headers: HeaderMap, body: Bytes) -> Result<u16, String> {
        let url = Url::parse(url).map_err(|error| error.to_string())?;
        let request = request(&url, headers, body)?;
        let connecting = timeout(CONNECT_TIMEOUT, self.connect(&url));
        let stream = match connecting.await {
            Ok(connected) => connected?,
            Err(_) => return Err(format!("no connection within {CONNECT_TIMEOUT:?}")),
        };
        if url.scheme() == "http" {
            return answer(stream, request).await;
        }
        let name = match url.host() {
            Some(Host::Ipv4(address)) => ServerName::from(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => ServerName::from(IpAddr::V6(address)),
            Some(Host::Domain(name)) => {
                ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?
            }
            None => return Err("the URL names no host".into()),
        };
        let secured = self.tls.connect(name, stream).await;
        let secured = secured.map_err(|error| format!("it could not be secured: {error}"))?;
        answer(secured, request).await
    }

    /// Resolves, checks, and connects to what was checked: a name that leads
    /// elsewhere a moment later leads nowhere.
    async fn connect(&self, url: &Url) -> Result<TcpStream, String> {
        let port = url.port_or_known_default().unwrap_or(443);
        let addresses: Vec<SocketAddr> = match url.host() {
            Some(Host::Ipv4(address)) => vec![(address, port).into()],
            Some(Host::Ipv6(address)) => vec![(address, port).into()],
            Some(Host::Domain(name)) => tokio::net::lookup_host((name, port))
                .await
                .map_err(|error| format!("the name cannot be resolved: {error}"))?
                .collect(),
            None => Vec::new(),
        };
        let mut why = "the name has no address".to_owned();
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            let checked = if self.allow_private {
                Ok(())
            } else {
                refuse_private(address.ip())
            };
            let connected = match checked {
                Ok(()) => TcpStream::connect(address)
                    .await
                    .map_err(|error| format!("it cannot be connected to: {error}")),
                Err(refused) => Err(refused),
            };
            match connected {
                Ok(stream) => return Ok(stream),
                Err(reason) => why = reason,
            }
        }
        Err(why)
    }
}

fn request(url: &Url, headers: HeaderMap, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
    let mut target = url.path().to_owned();
    if let Some(query) = url.query() {
        target = format!("{target}?{query}");
    }
    let host = url.host_str().unwrap_or_default();
    let host = url
        .port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(target)
        .header(HOST, host)
        .header(USER_AGENT, concat!("konbini/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/json")
        .header(CONNECTION, "close")
        .body(Full::new(body))
        .map_err(|error| error.to_string())?;
    request.headers_mut().extend(headers);
    Ok(request)
}

/// The head of the answer is all of it that matters.
async fn answer<S>(stream: S, request: Request<Full<Bytes>>) -> Result<u16, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let said = |error: hyper::Error| format!("it did not answer as HTTP has it: {error}");
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(said)?;
    // Once the connection has ended, the request says how.
    let driving = async {
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answered = sender.send_request(request) => {
            answered.map(|answer| answer.status().as_u16()).map_err(said)
        }
        () = driving => Err("the connection ended".into()),
    }
}
