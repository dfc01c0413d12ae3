//! The set-up link: the way to the first admin of a shop, for whoever starts it.
//!
//! The link's token has the time of its end and a MAC of that, by a key that only the memory
//! of this process holds. So nothing is stored, and a restart ends every link.
//!
//! **Invariant:** a link makes one admin at most, because the transaction that adds it refuses
//! once there is any.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use model::Time;

use chassis::mac::MacKey;

/// How long a link is good.
const LIFE: Duration = Duration::from_secs(30 * 60);

/// The issuer of set-up links.
pub(crate) struct SetUpLinks(MacKey);

impl SetUpLinks {
    /// An issuer whose links no other one accepts.
    pub(crate) fn new() -> Self {
        Self(MacKey::random())
    }

    /// A token, and when it ends.
    pub(crate) fn token(&self, now: Time) -> (String, Time) {
        let until = now.after(LIFE);
        let bytes = self.0.append(until.0.to_be_bytes().to_vec());
        (BASE64URL_NOPAD.encode(&bytes), until)
    }

    /// Whether a token is one of these and has not ended. Compared in constant time.
    pub(crate) fn is_good(&self, token: &str, now: Time) -> bool {
        let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).unwrap_or_default();
        let until = self
            .0
            .verify(&bytes)
            .and_then(|until| until.try_into().ok());
        until.is_some_and(|until| now < Time(i64::from_be_bytes(until)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_half_an_hour_with_its_issuer_alone() {
        let (links, begun) = (SetUpLinks::new(), Time(1_790_000_000_000));
        let (token, until) = links.token(begun);
        assert_eq!(until.since(begun), LIFE);
        let (forged, tail) = token.split_at(3);
        let forged = format!(
            "{forged}{}{}",
            if tail.starts_with('A') { 'B' } else { 'A' },
            &tail[1..]
        );
        for (token, now, is_good) in [
            (token.as_str(), begun, true),
            (&token, Time(until.0 - 1), true),
            (&token, until, false),
            (&forged, begun, false),
            (&token[..20], begun, false),
            ("", begun, false),
            ("!", begun, false),
        ] {
            assert_eq!(links.is_good(token, now), is_good, "{token} at {now}");
        }
        assert!(!SetUpLinks::new().is_good(&token, begun));
    }
}
