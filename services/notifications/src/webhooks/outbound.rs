//! Request of a webhook: a JSON body posted to the webhook's URL.
//!
//! The body of the response is not read; its status decides. **Invariant:** unless the
//! settings allow private addresses, every address is checked after resolution, since a
//! name may resolve to another address at every attempt.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::header::{CONNECTION, CONTENT_TYPE, USER_AGENT};
use axum::http::{HeaderMap, Method, Request};
use bytes::Bytes;
use chassis::outbound::{AddressFilter, Outbound, OutboundLimits};
use chassis::{Error, config};
use http_body_util::Full;
use url::Url;

use super::address::refuse_private;

const LIMITS: OutboundLimits = OutboundLimits {
    connect_timeout: Duration::from_secs(1),
    timeout: Duration::from_secs(5),
    body_bytes_max: 0,
};

/// A client that connects to public addresses, or to all if the settings say so.
pub(super) fn client(settings: &config::Webhooks) -> Result<Outbound, Error> {
    let any_address = |_: IpAddr| Ok(());
    let filter: AddressFilter = match settings.allow_private {
        true => any_address,
        false => refuse_private,
    };
    Outbound::new(None, filter, LIMITS)
}

/// Posts a JSON body and returns the status of the response.
///
/// # Errors
/// Why there was no response, for the delivery log.
pub(super) async fn post(
    client: &Outbound,
    url: &str,
    headers: HeaderMap,
    body: Bytes,
) -> Result<u16, String> {
    // Normalised as browsers do: international names become ASCII.
    let url = Url::parse(url).map_err(|error| error.to_string())?;
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(url.as_str())
        .header(USER_AGENT, concat!("konbini/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/json")
        .header(CONNECTION, "close")
        .body(Full::new(body))
        .map_err(|error| error.to_string())?;
    request.headers_mut().extend(headers);
    let status = client.status(request).await;
    status
        .map(|status| status.as_u16())
        .map_err(|error| error.to_string())
}
