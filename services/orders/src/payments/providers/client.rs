//! Requests to a provider's API, and what the status of a response says.
//!
//! **Invariant:** the key is in no URL, log line or error.

use std::time::Duration;

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use axum::http::{HeaderValue, Method, Request, StatusCode};
use bytes::Bytes;
use chassis::Error;
use chassis::outbound::{Outbound, OutboundLimits};
use http_body_util::Full;
use serde_json::Value;

use super::CallFault;

const LIMITS: OutboundLimits = OutboundLimits {
    // A lost packet of another continent costs a second or more.
    connect_timeout: Duration::from_secs(4),
    // A refund asks a bank; what takes longer is asked for again.
    timeout: Duration::from_secs(30),
    // A hundred refunds of a payment, with their metadata, are a fraction of it.
    body_bytes_max: 1024 * 1024,
};

/// Characters of a provider's explanation that are kept.
const WHY_CHARS_MAX: usize = 300;

/// The client of one provider.
pub(super) struct ProviderClient {
    outbound: Outbound,
    api_url: String,
    authorization: HeaderValue,
    headers: Vec<(&'static str, HeaderValue)>,
}

/// A request, without what all of a provider's have.
pub(super) struct ProviderCall<'a> {
    pub(super) method: Method,
    /// With the query.
    pub(super) path: &'a str,
    pub(super) idempotency_key: Option<String>,
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

impl<'a> ProviderCall<'a> {
    pub(super) fn get(path: &'a str) -> Self {
        Self {
            method: Method::GET,
            path,
            idempotency_key: None,
            content_type: "",
            body: String::new(),
        }
    }
}

impl ProviderClient {
    /// `headers` are added to every request.
    pub(super) fn new(
        key: &str,
        api_url: &str,
        headers: Vec<(&'static str, HeaderValue)>,
    ) -> Result<Self, Error> {
        // The address is the operator's own setting, so none is refused.
        let outbound = Outbound::new(None, |_| Ok(()), LIMITS)?;
        let authorization = HeaderValue::try_from(format!("Bearer {key}"))
            .map_err(|_| Error::Config("a payment provider's key is one line of ASCII".into()))?;
        let api_url = api_url.trim_end_matches('/').to_owned();
        Ok(Self { outbound, api_url, authorization, headers })
    }

    /// The body of a 2xx response, null in a 204; `None` for a 404.
    pub(super) async fn send(&self, call: ProviderCall<'_>) -> Result<Option<Value>, CallFault> {
        let request = self.request(call)?;
        let response = self.outbound.fetch(request).await;
        let response = response.map_err(|error| CallFault::Later(error.to_string()))?;
        let (status, body) = (response.status(), response.body());
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if status == StatusCode::NO_CONTENT {
            return Ok(Some(Value::Null));
        }
        let body = serde_json::from_slice::<Value>(body);
        if status.is_success() {
            let unreadable = |_| CallFault::Later("the response is no JSON".into());
            return body.map(Some).map_err(unreadable);
        }
        let why = format!("{status}: {}", why(&body.unwrap_or_default()));
        Err(match status.as_u16() {
            // The key can be corrected; a call under the same id may be in flight.
            401 | 403 | 408 | 409 | 425 | 429 => CallFault::Later(why),
            400..=499 => CallFault::Refused(why),
            _ => CallFault::Later(why),
        })
    }

    fn request(&self, call: ProviderCall<'_>) -> Result<Request<Full<Bytes>>, CallFault> {
        let ProviderCall { method, path, idempotency_key, content_type, body } = call;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.api_url))
            .header(USER_AGENT, concat!("konbini/", env!("CARGO_PKG_VERSION")))
            .header(AUTHORIZATION, self.authorization.clone());
        for (name, value) in &self.headers {
            request = request.header(*name, value.clone());
        }
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if !content_type.is_empty() {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let request = request.body(Full::new(Bytes::from(body)));
        request.map_err(|error| CallFault::Refused(error.to_string()))
    }
}

/// The provider's explanation: Stripe's `error.message`, Mollie's `detail`.
fn why(body: &Value) -> String {
    let text = body["error"]["message"]
        .as_str()
        .or(body["detail"].as_str());
    let text = text.unwrap_or("no reason was given");
    text.chars()
        .filter(|sign| !sign.is_control())
        .take(WHY_CHARS_MAX)
        .collect()
}

/// The text of a member that is needed.
///
/// # Errors
/// The response is not understood; a later one may be.
pub(super) fn text(body: &Value, member: &str) -> Result<String, CallFault> {
    let text = body[member].as_str().filter(|text| !text.is_empty());
    let missing = || CallFault::Later(format!("the response has no `{member}`"));
    text.map(str::to_owned).ok_or_else(missing)
}
