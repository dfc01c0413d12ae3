//! Requests to the authority: a connection each, bounded in time and bytes.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chassis::{Error, config};
use http::header::HOST;
use http::{HeaderValue, Request, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An answer's body, in bytes: a chain of certificates at most.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Sends requests. Cheap to clone.
#[derive(Clone)]
pub(super) struct Wire(TlsConnector);

impl Wire {
    /// Believes the settings' authority, else those that everybody believes.
    ///
    /// # Errors
    /// [`Error::Config`] when that one cannot be read.
    pub(super) fn new(
        settings: &config::Acme,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        match &settings.authority {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(file) => {
                let failed = |why: &dyn std::fmt::Display| {
                    Error::Config(format!("{}: {why}", file.display()))
                };
                let root = CertificateDer::from_pem_file(file).map_err(|error| failed(&error))?;
                roots.add(root).map_err(|error| failed(&error))?;
            }
        }
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Service(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    async fn exchange(
        self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<BytesResponse, BoxError> {
        let uri = request.uri().clone();
        let host = uri.host().ok_or("the authority's URL names no host")?;
        let is_secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let stream = TcpStream::connect((host, port)).await?;
        if !is_secure {
            return answer(stream, request).await;
        }
        let name = ServerName::try_from(host.to_owned())?;
        answer(self.0.connect(name, stream).await?, request).await
    }
}

impl HttpClient for Wire {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let exchange = self.clone().exchange(request);
        Box::pin(async move {
            let answered = tokio::time::timeout(TIMEOUT, exchange).await;
            let late = |_| BoxError::from(format!("no answer within {} s", TIMEOUT.as_secs()));
            answered
                .map_err(late)
                .flatten()
                .map_err(instant_acme::Error::Other)
        })
    }
}

async fn answer<I>(
    stream: I,
    mut request: Request<BodyWrapper<Bytes>>,
) -> Result<BytesResponse, BoxError>
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let authority = request.uri().authority().ok_or("the URL names no host")?;
    let host = HeaderValue::try_from(authority.as_str())?;
    request.headers_mut().insert(HOST, host);
    let target = request.uri().path_and_query().cloned();
    *request.uri_mut() = target.map_or_else(|| Uri::from_static("/"), Uri::from);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX)
            .collect()
            .await?
            .to_bytes();
        Ok(BytesResponse { parts, body: Box::new(body) })
    };
    // The connection lives only as long as the exchange over it.
    tokio::select! {
        biased;
        answered = exchange => answered,
        Err(error) = connection => Err(error.into()),
    }
}
