//! A session: one login, the family of tokens that came out of it, and what a
//! refresh token may still do.
//!
//! A refresh token names its session and a generation; the session remembers only
//! which generation is the present one, so nothing that could be replayed is
//! stored. **Invariant:** a generation becomes the present one once.

use std::net::IpAddr;
use std::time::Duration;

use chassis::limits::ACCESS_TOKEN_LIFE;
use model::Time;
use serde::{Deserialize, Serialize};

/// How long after it was spent a refresh token still gets the pair it was spent
/// for: its client may not have heard the answer, or may have asked twice at once.
pub(crate) const REFRESH_GRACE: Duration = Duration::from_secs(10);

/// How long a session lives without being refreshed.
pub(crate) const SESSION_IDLE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long a session lives at all: then its owner shows their password again,
/// however often they came by (ASVS 5.0, 7.3.2).
pub(crate) const SESSION_LIFE_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// How many live sessions one account may have; a login beyond that ends the one
/// longest unused.
pub(crate) const SESSIONS_PER_USER_MAX: usize = 100;

const USER_AGENT_CHARS_MAX: usize = 256;

/// A login's family of tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// When the person logged in.
    pub(crate) created_at: Time,
    /// When the present pair of tokens was made.
    pub(crate) refreshed_at: Time,
    /// Counts the pairs, from 0.
    pub(crate) generation: u32,
    /// What the client called itself at login.
    pub(crate) user_agent: Option<String>,
    /// Where the client was when the present pair was made.
    pub(crate) address: Option<IpAddr>,
}

impl ::store::Record for Session {}

/// What a genuine refresh token gets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refresh {
    /// A new pair; the session is then this.
    Rotated(Session),
    /// The pair it was spent for, once more.
    Repeated,
    /// Nothing, and the session ends: two hold the same token, and one is a thief.
    Reused,
    /// Nothing: the session had ended by itself.
    Over,
}

impl Session {
    /// A fresh login.
    pub(crate) fn start(user_agent: Option<&str>, address: IpAddr, now: Time) -> Self {
        let user_agent = user_agent.map(|text| text.chars().take(USER_AGENT_CHARS_MAX).collect());
        Self {
            created_at: now,
            refreshed_at: now,
            generation: 0,
            user_agent,
            address: Some(address),
        }
    }

    /// Whether it can be refreshed.
    pub(crate) fn is_live(&self, now: Time) -> bool {
        now.since(self.refreshed_at) < SESSION_IDLE_MAX
            && now.since(self.created_at) < SESSION_LIFE_MAX
    }

    /// Whether any of its tokens still counts: an access token made just before the
    /// session's end outlives it.
    pub(crate) fn has_tokens(&self, now: Time) -> bool {
        self.is_live(now) || now < self.refreshed_at.after(ACCESS_TOKEN_LIFE)
    }

    /// What the refresh token of `generation` gets at `now`. One that this data
    /// never gave out comes from before an older copy of it was put back: its
    /// holder has to log in again, but is no thief.
    pub(crate) fn refresh(&self, generation: u32, now: Time) -> Refresh {
        let spent = self.generation.checked_sub(generation);
        match spent {
            _ if !self.is_live(now) => Refresh::Over,
            None => Refresh::Over,
            Some(0) => Refresh::Rotated(Self {
                refreshed_at: now,
                generation: self.generation.saturating_add(1),
                ..self.clone()
            }),
            Some(1) if now.since(self.refreshed_at) <= REFRESH_GRACE => Refresh::Repeated,
            Some(_) => Refresh::Reused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn a_refresh_token_rotates_repeats_or_ends_the_family() {
        let start = Time(1_000_000);
        let session = Session::start(Some("curl"), HERE, start);
        let Refresh::Rotated(second) = session.refresh(0, start) else {
            panic!("the present token rotates")
        };
        assert_eq!((second.generation, second.created_at), (1, start));
        let later = |span| start.after(span);
        for (generation, now, expected) in [
            (0, later(REFRESH_GRACE), Refresh::Repeated),
            (0, Time(0), Refresh::Repeated),
            (
                0,
                later(REFRESH_GRACE + Duration::from_millis(1)),
                Refresh::Reused,
            ),
            (2, start, Refresh::Over),
            (0, later(SESSION_IDLE_MAX), Refresh::Over),
            (1, later(SESSION_IDLE_MAX), Refresh::Over),
        ] {
            assert_eq!(
                second.refresh(generation, now),
                expected,
                "{generation} {now}"
            );
        }
        let Refresh::Rotated(third) = second.refresh(1, later(Duration::from_secs(60))) else {
            panic!("the present token rotates")
        };
        let mut faithful = third.clone();
        faithful.refreshed_at = start.after(SESSION_LIFE_MAX - Duration::from_secs(1));
        let end = start.after(SESSION_LIFE_MAX);
        assert!(faithful.is_live(faithful.refreshed_at));
        assert_eq!(faithful.refresh(2, end), Refresh::Over, "at last");
        assert!(faithful.has_tokens(end), "its last access token");
        assert!(!faithful.has_tokens(end.after(ACCESS_TOKEN_LIFE)));
        // Two generations back is reuse, however quick.
        assert_eq!(third.refresh(0, third.refreshed_at), Refresh::Reused);
    }

    /// The exact bytes on disk: a change here is a change of format.
    #[test]
    fn golden_bytes() {
        let session = Session::start(Some(&"a".repeat(300)), HERE, Time(5));
        let mut golden =
            b"\x01\x85\xaacreated_at\x05\xacrefreshed_at\x05\xaageneration\x00\xaauser_agent\xda\x01\x00"
                .to_vec();
        golden.extend_from_slice(&[b'a'; USER_AGENT_CHARS_MAX]);
        golden.extend_from_slice(b"\xa7address\x81\xa2V4\x94\x7f\x00\x00\x01");
        assert_eq!(::store::encode(&session).unwrap(), golden);
        assert_eq!(::store::decode::<Session>(&golden).unwrap(), session);
    }
}
