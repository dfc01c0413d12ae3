//! Secrets and signatures (Standard Webhooks 1.0.0, "Signature scheme":
//! symmetric).

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What a secret begins with.
const PREFIX: &str = "whsec_";

/// How many random bytes one has; 24 to 64 are allowed.
const SECRET_BYTES: usize = 32;

/// A new secret.
pub(super) fn fresh() -> String {
    let bytes: [u8; SECRET_BYTES] = rand::random();
    format!("{PREFIX}{}", BASE64.encode(&bytes))
}

/// The header `webhook-signature`: one signature a secret, over the id, the second
/// and the very bytes of the body.
pub(super) fn sign<'a>(
    secrets: impl Iterator<Item = &'a str>,
    id: &str,
    second: i64,
    payload: &[u8],
) -> String {
    let signatures: Vec<_> = secrets
        .map(|secret| {
            let text = secret.strip_prefix(PREFIX).unwrap_or(secret);
            let key = BASE64.decode(text.as_bytes()).unwrap_or_default();
            let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any length is a key");
            mac.update(format!("{id}.{second}.").as_bytes());
            mac.update(payload);
            format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
        })
        .collect();
    signatures.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    #[test]
    fn the_published_vector() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let payload = b"{\"test\": 2432232314}";
        let signed = sign(
            [secret].into_iter(),
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            payload,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    /// Whoever verifies with the published crate believes both secrets while one
    /// takes the place of the other, and no third.
    #[test]
    fn the_published_crate_verifies() {
        let (old, new, other) = (fresh(), fresh(), fresh());
        assert_ne!(old, new);
        let (id, second, payload) = ("msg_1", model::now().0 / 1000, b"{\"type\":\"order.paid\"}");
        let signature = sign(
            [new.as_str(), old.as_str()].into_iter(),
            id,
            second,
            payload,
        );
        let verify = |secret: &str, payload: &[u8]| {
            let mut headers = axum::http::HeaderMap::new();
            headers.insert("webhook-id", id.parse().unwrap());
            headers.insert("webhook-timestamp", second.into());
            headers.insert("webhook-signature", signature.parse().unwrap());
            let webhook = standardwebhooks::Webhook::new(secret).unwrap();
            webhook.verify(payload, &headers).is_ok()
        };
        assert!(verify(&new, payload) && verify(&old, payload));
        assert!(!verify(&other, payload));
        assert!(!verify(&new, b"{\"type\":\"order.paid\"} "));
    }
}
