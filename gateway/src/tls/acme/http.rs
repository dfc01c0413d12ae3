//! HTTP transport of the ACME client: requests to the certificate authority.
//!
//! The authority may be a private one inside the network, so its address is not filtered.
//! **Invariant:** a request is bounded in time and in the size of its response.

use crate::config::AcmeConfig;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use chassis::Error;
use chassis::outbound::{Outbound, OutboundLimits};
use http::Request;
use http_body_util::{BodyExt, Full};
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};

/// Timeout of one request, and the size of a response: a chain of certificates at most.
const LIMITS: OutboundLimits = OutboundLimits {
    connect_timeout: Duration::from_secs(30),
    timeout: Duration::from_secs(30),
    body_bytes_max: 256 * 1024,
};

/// Sends requests to the authority. Cheap to clone.
#[derive(Clone)]
pub(super) struct AuthorityClient(Outbound);

impl AuthorityClient {
    /// Trusts the public authorities and that of the settings.
    ///
    /// # Errors
    /// [`Error::Config`] when its certificate cannot be read.
    pub(super) fn new(settings: &AcmeConfig) -> Result<Self, Error> {
        let any_address = |_: IpAddr| Ok(());
        let outbound = Outbound::new(settings.authority.as_deref(), any_address, LIMITS)?;
        Ok(Self(outbound))
    }
}

impl HttpClient for AuthorityClient {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let outbound = self.0.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await;
            let body = body.map_or_else(|never: Infallible| match never {}, |body| body.to_bytes());
            let request = Request::from_parts(head, Full::new(body));
            let response = outbound.fetch(request).await;
            let response = response.map_err(|error| instant_acme::Error::Other(error.into()))?;
            let (parts, body) = response.into_parts();
            Ok(BytesResponse { parts, body: Box::new(body) })
        })
    }
}
