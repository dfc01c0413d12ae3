//! Login challenges: what a right password gives where a second factor is enrolled.
//!
//! A challenge is the account, the generation of its password, an expiry and a random number,
//! with a MAC. Nothing is stored for it but its wrong tries, which the throttle counts.
//!
//! **Invariants:** a challenge ends after [`CHALLENGE_LIFE`], after the wrong tries that the
//! throttle allows, and with the password that it was given for. It proves the password alone,
//! so it is worth nothing without a code.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use model::{Time, UserId};
use store::Key;

use chassis::mac::MacKey;

/// How long a challenge can be answered.
pub(crate) const CHALLENGE_LIFE: Duration = Duration::from_secs(5 * 60);

/// Prefix by which scanners recognise a leaked token.
const PREFIX: &str = "challenge_";

/// The content of a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Challenge {
    pub(crate) user_id: UserId,
    /// Generation of the password that was verified.
    pub(crate) generation: u32,
    until: Time,
    /// Its number among the challenges whose tries are counted.
    pub(crate) number: u64,
}

impl Challenge {
    /// A challenge for an account whose password was verified.
    pub(crate) fn new(user_id: UserId, generation: u32, now: Time) -> Self {
        let until = now.after(CHALLENGE_LIFE);
        Self { user_id, generation, until, number: rand::random() }
    }

    /// Its token.
    pub(crate) fn token(self, key: &MacKey) -> String {
        let generation = u64::from(self.generation);
        let content = ((self.user_id, self.until), (generation, self.number));
        let token = key.append(content.encode());
        format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&token))
    }

    /// Parses a token, verifies its MAC, and checks that it has not expired.
    pub(crate) fn read(token: &str, key: &MacKey, now: Time) -> Option<Self> {
        let encoded = token.trim().strip_prefix(PREFIX)?;
        let bytes = BASE64URL_NOPAD.decode(encoded.as_bytes()).ok()?;
        let content: ((UserId, Time), (u64, u64)) = Key::decode(key.verify(&bytes)?)?;
        let ((user_id, until), (generation, number)) = content;
        let generation = u32::try_from(generation).ok()?;
        let challenge = Self { user_id, generation, until, number };
        (now < until).then_some(challenge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_challenges_are_read_and_only_in_time() {
        let ours = MacKey::of_bytes([7; 32]);
        let challenge = Challenge::new(UserId::new(), 3, Time(1000));
        let token = challenge.token(&ours);
        let last = Time(challenge.until.0 - 1);
        assert_eq!(Challenge::read(&token, &ours, last), Some(challenge));
        assert_eq!(Challenge::read(&token, &ours, challenge.until), None);
        let other = MacKey::of_bytes([8; 32]);
        assert_eq!(Challenge::read(&token, &other, last), None);
        for wrong in ["", PREFIX, &token[1..], &token[..token.len() - 4]] {
            assert_eq!(Challenge::read(wrong, &ours, last), None, "{wrong}");
        }
    }
}
