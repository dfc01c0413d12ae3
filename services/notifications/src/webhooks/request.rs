//! Request of a webhook: a JSON body with its signature, posted to the webhook's URL
//! (Standard Webhooks 1.0.0, symmetric).
//!
//! The status of the response decides; the beginning of its body is kept for people.
//! **Invariants:** a message is
//! signed with every valid secret, so a receiver verifies it with the old or the new one
//! during a rotation. Unless the settings allow private addresses, every address is checked
//! after resolution, since a name may resolve to another address at every attempt.

use crate::config::WebhooksConfig;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use axum::http::{HeaderMap, Method, Request};
use bytes::Bytes;
use chassis::Error;
use chassis::outbound::{AddressFilter, Outbound, OutboundLimits};
use data_encoding::BASE64;
use http_body_util::Full;
use model::Time;
use standardwebhooks::{Webhook as Signer, WebhookError};
use url::Url;

use super::ANSWER_BYTES_MAX;
use super::address::refuse_private;

/// Length of a secret in random bytes; the standard allows 24 to 64.
const SECRET_BYTES: usize = 32;

const LIMITS: OutboundLimits = OutboundLimits {
    // A lost packet of another continent costs a second or more.
    connect_timeout: Duration::from_secs(4),
    timeout: Duration::from_secs(10),
    body_bytes_max: ANSWER_BYTES_MAX,
};

/// A client that connects to public addresses, or to all if the settings say so.
pub(super) fn client(settings: &WebhooksConfig) -> Result<Outbound, Error> {
    let any_address = |_: IpAddr| Ok(());
    let filter: AddressFilter = match settings.allow_private {
        true => any_address,
        false => refuse_private,
    };
    Outbound::new(settings.authority.as_deref(), filter, LIMITS)
}

/// What a receiver answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ReceiverAnswer {
    pub(super) status: u16,
    /// The pause that it asked for (RFC 9110 §10.2.3).
    pub(super) retry_after: Option<Duration>,
    /// The beginning of its body.
    pub(super) beginning: String,
}

/// Posts a JSON body.
///
/// # Errors
/// Why there was no response, for the delivery log.
pub(super) async fn post(
    client: &Outbound,
    url: &str,
    headers: HeaderMap,
    body: Bytes,
) -> Result<ReceiverAnswer, String> {
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
    let response = client.beginning(request).await;
    let response = response.map_err(|error| error.to_string())?;
    let retry_after = response.headers().get(RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok());
    Ok(ReceiverAnswer {
        status: response.status().as_u16(),
        retry_after: retry_after.and_then(|text| pause(text, model::now())),
        beginning: text(response.body()),
    })
}

/// The pause that a `Retry-After` asks for, in seconds or until a date.
fn pause(text: &str, now: Time) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let until = until.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Time(0).after(until).since(now))
}

/// The text of a body's beginning, which may end within a character or be no text at all.
fn text(beginning: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(beginning).into_owned();
    text.truncate(text.floor_char_boundary(ANSWER_BYTES_MAX));
    text
}

/// A new secret, `whsec_…`.
pub(crate) fn new_secret() -> String {
    let bytes: [u8; SECRET_BYTES] = rand::random();
    format!("whsec_{}", BASE64.encode(&bytes))
}

/// The header `webhook-signature`: one signature per secret, over the id, the time in seconds
/// and the bytes of the body.
pub(super) fn sign<'a>(
    secrets: impl Iterator<Item = &'a str>,
    id: &str,
    second: i64,
    payload: &[u8],
) -> Result<String, WebhookError> {
    let signatures: Vec<_> = secrets
        .map(|secret| Signer::new(secret)?.sign(id, second, payload))
        .collect::<Result<_, _>>()?;
    Ok(signatures.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_asked_for_in_seconds_or_until_a_date() {
        let now = Time(784_111_770_000);
        for (text, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
        ] {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(pause(text, now), expected, "{text}");
        }
        assert_eq!(
            text(&[0xff; ANSWER_BYTES_MAX]).len(),
            ANSWER_BYTES_MAX / 3 * 3
        );
        assert_eq!(text("a\u{e9}".as_bytes()), "a\u{e9}");
    }

    /// The example of the specification.
    #[test]
    fn the_published_vector() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let payload = b"{\"test\": 2432232314}";
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signed = sign([secret].into_iter(), id, 1_614_265_330, payload).unwrap();
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_message_verifies_with_each_valid_secret() {
        let (old, new, other) = (new_secret(), new_secret(), new_secret());
        assert_ne!(old, new);
        let (id, second, payload) = ("msg_1", model::now().0 / 1000, b"{\"type\":\"order.paid\"}");
        let secrets = [new.as_str(), old.as_str()];
        let signature = sign(secrets.into_iter(), id, second, payload).unwrap();
        let verify = |secret: &str, payload: &[u8]| {
            let mut headers = axum::http::HeaderMap::new();
            headers.insert("webhook-id", id.parse().unwrap());
            headers.insert("webhook-timestamp", second.into());
            headers.insert("webhook-signature", signature.parse().unwrap());
            Signer::new(secret)
                .unwrap()
                .verify(payload, &headers)
                .is_ok()
        };
        assert!(verify(&new, payload) && verify(&old, payload));
        assert!(!verify(&other, payload));
        assert!(!verify(&new, b"{\"type\":\"order.paid\"} "));
    }
}
