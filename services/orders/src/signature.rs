//! Whether a webhook comes from the payment provider: Standard Webhooks 1.0
//! (HMAC-SHA256, RFC 2104, over `id.timestamp.body`).
//!
//! **Invariant:** a signature counts for five minutes around its timestamp, under
//! any of the secrets, and is compared in constant time.

use std::time::Duration;

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use model::Time;
use sha2::Sha256;

/// How far the provider's clock and ours may differ, and how long a message may
/// have been on its way.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// The secrets that are valid now.
pub(crate) struct Secrets(Vec<Vec<u8>>);

/// A webhook's headers: its id, the second it was sent in, its signatures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signed<'a> {
    pub(crate) id: &'a str,
    pub(crate) timestamp: &'a str,
    pub(crate) signatures: &'a str,
}

impl Secrets {
    pub(crate) fn new(secrets: Vec<Vec<u8>>) -> Self {
        Self(secrets)
    }

    /// Whether there is no provider.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of the signatures was made with one of the secrets, just now.
    pub(crate) fn vouch_for(&self, signed: Signed<'_>, body: &[u8], now: Time) -> bool {
        let Signed { id, timestamp, signatures } = signed;
        let sent = timestamp.parse::<i64>().ok();
        let Some(sent) = sent.and_then(|seconds| seconds.checked_mul(1000)).map(Time) else {
            return false;
        };
        if now.since(sent) > TOLERANCE || sent.since(now) > TOLERANCE {
            return false;
        }
        let signatures = signatures
            .split(' ')
            .filter_map(|one| one.strip_prefix("v1,"));
        let signatures: Vec<_> = signatures
            .filter_map(|one| BASE64.decode(one.as_bytes()).ok())
            .collect();
        self.0.iter().any(|secret| {
            let mac =
                Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
            let mac = mac
                .chain_update(id)
                .chain_update(".")
                .chain_update(timestamp)
                .chain_update(".")
                .chain_update(body);
            signatures
                .iter()
                .any(|signature| mac.clone().verify_slice(signature).is_ok())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use standardwebhooks::Webhook;

    const OLD: [u8; 24] = [7; 24];
    const NEW: [u8; 24] = [9; 24];
    const BODY: &[u8] = br#"{"type":"payment.succeeded"}"#;

    fn sign(secret: [u8; 24], id: &str, seconds: i64) -> String {
        let webhook = Webhook::new(&BASE64.encode(&secret)).unwrap();
        webhook.sign(id, seconds, BODY).unwrap()
    }

    #[test]
    fn believes_the_provider_and_nobody_else() {
        let secrets = Secrets::new(vec![OLD.to_vec(), NEW.to_vec()]);
        let now = Time(1_000_000_500);
        let vouched = |timestamp: &str, signatures: &str, body: &[u8]| {
            secrets.vouch_for(Signed { id: "msg_1", timestamp, signatures }, body, now)
        };
        let good = sign(NEW, "msg_1", 1_000_000);
        assert!(vouched("1000000", &good, BODY));
        assert!(vouched("1000000", &sign(OLD, "msg_1", 1_000_000), BODY));
        let stranger = sign([8; 24], "msg_1", 1_000_000);
        assert!(vouched(
            "1000000",
            &format!("v2,x v1,!! {stranger} {good}"),
            BODY
        ));
        assert!(vouched("999701", &sign(NEW, "msg_1", 999_701), BODY));
        assert!(vouched("1000300", &sign(NEW, "msg_1", 1_000_300), BODY));

        let refused = [
            ("1000000", stranger.as_str(), BODY),
            ("1000000", &sign(NEW, "msg_2", 1_000_000), BODY),
            ("1000000", &good, br#"{"type":"payment.failed"}"#),
            ("1000001", &good, BODY),
            ("999700", &sign(NEW, "msg_1", 999_700), BODY),
            ("1000301", &sign(NEW, "msg_1", 1_000_301), BODY),
            ("soon", &good, BODY),
            ("9223372036854775807", &good, BODY),
            ("1000000", &good.replace("v1,", "v1a,"), BODY),
            ("1000000", "v1,", BODY),
            ("1000000", "", BODY),
        ];
        for (timestamp, signatures, body) in refused {
            assert!(
                !vouched(timestamp, signatures, body),
                "{timestamp} {signatures}"
            );
        }
        assert!(!Secrets::new(vec![]).vouch_for(
            Signed { id: "msg_1", timestamp: "1000000", signatures: &good },
            BODY,
            now
        ));
    }
}
