//! Session: one login and its family of refresh tokens.
//!
//! A refresh token names its session and a generation; the session stores only the number
//! of the current generation, so nothing replayable is stored. **Invariant:** generations
//! only grow: each becomes the current one once.

use std::net::IpAddr;
use std::time::Duration;

use chassis::limits::ACCESS_TOKEN_LIFE;
use model::Time;
use serde::{Deserialize, Serialize};

/// How long after its rotation a spent refresh token still gets the same new pair: the
/// response may have been lost, or two requests sent concurrently.
pub(crate) const REFRESH_GRACE: Duration = Duration::from_secs(10);

/// Idle timeout of a session.
pub(crate) const SESSION_IDLE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// Absolute timeout of a session: the password is required again then (ASVS 5.0, 7.3.2).
pub(crate) const SESSION_LIFE_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Most live sessions per account; a further login ends the least recently used.
pub(crate) const SESSIONS_PER_USER_MAX: usize = 100;

const USER_AGENT_CHARS_MAX: usize = 256;

/// Stored state of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// Time of the login.
    pub(crate) created_at: Time,
    /// When the current generation began.
    pub(crate) refreshed_at: Time,
    /// The current generation, from 0.
    pub(crate) generation: u32,
    /// `User-Agent` of the login.
    pub(crate) user_agent: Option<String>,
    /// Client address of the last refresh.
    pub(crate) address: Option<IpAddr>,
}

impl store::Record for Session {}

/// Outcome of presenting a genuine refresh token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refresh {
    /// The next generation: the session's new state.
    Rotated(Session),
    /// The current pair once more, within the grace.
    Repeated,
    /// Reuse of a spent token: two parties hold it, so the session ends.
    Reused,
    /// The session has expired.
    Over,
}

impl Session {
    /// A new session.
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

    /// Whether any of its tokens may still be valid: an access token issued just before
    /// the session's end outlives it.
    pub(crate) fn has_tokens(&self, now: Time) -> bool {
        self.is_live(now) || now < self.refreshed_at.after(ACCESS_TOKEN_LIFE)
    }

    /// Presents the refresh token of `generation`. A generation above the current one was
    /// issued before an older copy of the store was restored: the holder has to log in
    /// again, but it is no reuse.
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
            panic!("the current token rotates")
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
            panic!("the current token rotates")
        };
        let mut faithful = third.clone();
        faithful.refreshed_at = start.after(SESSION_LIFE_MAX - Duration::from_secs(1));
        let end = start.after(SESSION_LIFE_MAX);
        assert!(faithful.is_live(faithful.refreshed_at));
        assert_eq!(
            faithful.refresh(2, end),
            Refresh::Over,
            "the absolute timeout"
        );
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
        assert_eq!(store::encode(&session).unwrap(), golden);
        assert_eq!(store::decode::<Session>(&golden).unwrap(), session);
    }
}
