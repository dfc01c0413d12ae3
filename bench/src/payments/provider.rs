//! The provider's side of Standard Webhooks 1.0: secrets, signatures, and every
//! way to get them wrong.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::client::ShopClient;

/// The specification asks for 24 to 64 bytes.
const SECRET_BYTES: usize = 32;

type Secret = [u8; SECRET_BYTES];

/// The secrets of a rotation, and one that the shop has never seen.
pub(crate) struct WebhookSecrets {
    pub(crate) present: Secret,
    pub(crate) previous: Secret,
    pub(crate) stranger: Secret,
}

impl WebhookSecrets {
    pub(crate) fn new() -> Self {
        let [present, previous, stranger] = std::array::from_fn(|_| rand::random());
        Self { present, previous, stranger }
    }

    /// The shop's settings, with the two that count.
    pub(crate) fn settings(&self) -> String {
        let shown = |secret: &Secret| format!("\"whsec_{}\"", BASE64.encode(secret));
        let (present, previous) = (shown(&self.present), shown(&self.previous));
        format!("[payments]\nsecrets = [{present}, {previous}]\n")
    }
}

/// A webhook before it is signed.
#[derive(Clone)]
pub(crate) struct ProviderMessage {
    pub(crate) id: String,
    /// Seconds since 1970.
    pub(crate) timestamp: u64,
    pub(crate) body: Vec<u8>,
}

/// A payment, as its provider reports it.
#[derive(Clone)]
pub(crate) struct Payment {
    pub(crate) succeeded: bool,
    pub(crate) order_id: String,
    pub(crate) amount: i64,
    pub(crate) currency: &'static str,
    pub(crate) reference: String,
}

impl Payment {
    /// A message about it, sent now under an id of its own.
    pub(crate) fn message(&self) -> ProviderMessage {
        let Self { succeeded, order_id, amount, currency, reference } = self;
        let kind = if *succeeded {
            "payment.succeeded"
        } else {
            "payment.failed"
        };
        ProviderMessage::of(&json!({
            "type": kind,
            "data": {
                "order_id": order_id,
                "amount": amount,
                "currency": currency,
                "reference": reference,
            },
        }))
    }
}

impl ProviderMessage {
    /// A message with this body, sent now under an id of its own.
    pub(crate) fn of(body: &Value) -> Self {
        Self::raw(body.to_string().into_bytes())
    }

    /// As [`of`](Self::of), with a body that may be no JSON at all.
    pub(crate) fn raw(body: Vec<u8>) -> Self {
        let id = format!("msg_{:016x}", rand::random::<u64>());
        Self { id, timestamp: now(), body }
    }

    /// The same, as if it had been sent so many seconds earlier; later, if negative.
    pub(crate) fn earlier(mut self, seconds: i64) -> Self {
        self.timestamp = self.timestamp.saturating_add_signed(-seconds);
        self
    }

    /// `v1,` and the signature under `secret`.
    pub(crate) fn signed_by(&self, secret: &[u8]) -> String {
        let mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
        let mac = mac
            .chain_update(format!("{}.{}.", self.id, self.timestamp))
            .chain_update(&self.body);
        format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
    }

    /// The request with these signatures, whether they fit or not.
    pub(crate) fn request(&self, client: &ShopClient, signatures: &str) -> RequestBuilder {
        client
            .request(Method::POST, &["v1", "payments", "webhook"])
            .header("content-type", "application/json")
            .header("webhook-id", &self.id)
            .header("webhook-timestamp", self.timestamp)
            .header("webhook-signature", signatures)
            .body(self.body.clone())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a message is stamped when it is sent"
)]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or(Duration::ZERO).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the specification's own libraries are tested with.
    #[test]
    fn signs_as_the_specification_does() {
        let message = ProviderMessage {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek".into(),
            timestamp: 1_614_265_330,
            body: br#"{"test": 2432232314}"#.to_vec(),
        };
        let secret = BASE64.decode(b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!(
            message.signed_by(&secret),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }
}
