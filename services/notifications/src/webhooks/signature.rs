//! Secrets and signatures of webhooks (Standard Webhooks 1.0.0, symmetric).
//!
//! **Invariant:** a message is signed with every valid secret, so a receiver verifies it with
//! the old or the new one during a rotation.

use data_encoding::BASE64;
use standardwebhooks::{Webhook as Signer, WebhookError};

/// Length of a secret in random bytes; the standard allows 24 to 64.
const SECRET_BYTES: usize = 32;

/// A new secret, `whsec_…`.
pub(super) fn new_secret() -> String {
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
