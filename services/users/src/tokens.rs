//! Access tokens and refresh tokens of sessions.
//!
//! Both are derived from the session's state alone: an access token is a PASETO, a
//! refresh token is the triple (account, session, generation) with a keyed BLAKE2b-256
//! MAC (RFC 7693 §2.9). So the pair of a generation can be reissued byte for byte, and
//! nothing replayable is stored.
//!
//! **Invariant:** a pair is signed with the key that was active when its generation
//! began, whenever it is issued.

use std::sync::Arc;

use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use blake2::digest::{KeyInit, Mac};
use chassis::limits::ACCESS_TOKEN_LIFE;
use chassis::token::{AUDIENCE, Claims, ISSUER};
use chassis::{Context, Error};
use data_encoding::BASE64URL_NOPAD;
use model::{SessionId, Time, UserId};
use store::Key;

use crate::domain::{Session, User};
use crate::keys::SigningKeys;

/// Prefix by which scanners recognise a leaked token.
const PREFIX: &str = "refresh_";
const MAC_BYTES: usize = 32;

/// Issues and parses tokens.
pub(crate) struct Tokens {
    keys: Arc<SigningKeys>,
    refreshing: RefreshKey,
}

/// MAC key of refresh tokens. It has no `Debug`, so it cannot reach a log.
struct RefreshKey([u8; 32]);

/// One generation of one session: the content of a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Generation {
    pub(crate) user_id: UserId,
    pub(crate) session_id: SessionId,
    pub(crate) number: u32,
}

impl Tokens {
    /// Reads or creates the keys and starts the task that rotates them.
    pub(crate) async fn open(context: &Context) -> Result<Self, Error> {
        let secret = context.folder.service_secret(context.name, "refresh")?;
        let refreshing = RefreshKey(secret);
        let (folder, store, log) = (&context.folder, &context.store, &context.log);
        let rotate_every = context.config.keys.rotate_every();
        let (folder, store, log) = (folder.clone(), store.clone(), log.clone());
        let keys = SigningKeys::open(folder, store, log, rotate_every, model::now());
        let keys = Arc::new(keys.await?);
        let rotation = keys.clone().run_rotation(context.stop.clone());
        context.tasks.spawn(rotation);
        Ok(Self { keys, refreshing })
    }

    /// The signing keys.
    pub(crate) fn keys(&self) -> &SigningKeys {
        &self.keys
    }

    /// When the access token of the current generation expires.
    pub(crate) fn access_ends(session: &Session) -> Time {
        session.refreshed_at.after(ACCESS_TOKEN_LIFE)
    }

    /// The access token of the current generation, issued at `now`.
    pub(crate) fn access(
        &self,
        user: &User,
        session_id: SessionId,
        session: &Session,
        now: Time,
    ) -> String {
        let signing = self.keys.signing(session.refreshed_at, now);
        signing.issue(&Claims {
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            sub: user.id,
            sid: session_id,
            exp: Self::access_ends(session),
            nbf: session.refreshed_at,
            iat: session.refreshed_at,
            jti: format!("{session_id}.{}", session.generation),
            roles: user.roles.clone(),
        })
    }

    /// The refresh token of a generation.
    pub(crate) fn refresh(&self, generation: Generation) -> String {
        self.refreshing.token(generation)
    }

    /// Parses a refresh token and verifies its MAC.
    pub(crate) fn read(&self, token: &str) -> Option<Generation> {
        self.refreshing.read(token)
    }
}

impl RefreshKey {
    fn token(&self, generation: Generation) -> String {
        let mut bytes = generation.encode();
        let mac = self.mac(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&mac);
        format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes))
    }

    /// The MAC is compared in constant time.
    fn read(&self, token: &str) -> Option<Generation> {
        let encoded = token.strip_prefix(PREFIX)?;
        let bytes = BASE64URL_NOPAD.decode(encoded.as_bytes()).ok()?;
        let (name, mac) = bytes.split_at_checked(bytes.len().checked_sub(MAC_BYTES)?)?;
        self.mac(name).verify_slice(mac).ok()?;
        Generation::decode(name)
    }

    fn mac(&self, name: &[u8]) -> Blake2bMac<U32> {
        let mac = Blake2bMac::new_from_slice(&self.0);
        mac.expect("BLAKE2b takes keys of up to 64 bytes")
            .chain_update(name)
    }
}

impl Generation {
    fn encode(self) -> Vec<u8> {
        let session = (self.user_id, self.session_id).encode();
        [session, self.number.to_be_bytes().to_vec()].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (session, number) = bytes.split_last_chunk::<4>()?;
        let (user_id, session_id) = Key::decode(session)?;
        Some(Self { user_id, session_id, number: u32::from_be_bytes(*number) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Id;

    #[test]
    fn only_our_own_refresh_tokens_are_read() {
        let ours = RefreshKey([1; 32]);
        let generation = Generation { user_id: Id::new(), session_id: Id::new(), number: 7 };
        let token = ours.token(generation);
        assert_eq!(token, ours.token(generation), "the same again");
        assert_eq!(ours.read(&token), Some(generation));
        assert_eq!(RefreshKey([2; 32]).read(&token), None);
        for wrong in [
            "",
            PREFIX,
            "refresh_AAAA",
            &token[..token.len() - 1],
            &token[1..],
        ] {
            assert_eq!(ours.read(wrong), None, "{wrong}");
        }
        // The content of one token with the MAC of another.
        let other = ours.token(Generation { number: 8, ..generation });
        let (mut forged, code) = (other[..56].to_owned(), &token[56..]);
        forged.push_str(code);
        assert_eq!(ours.read(&forged), None);
    }
}
