//! Access tokens and refresh tokens of sessions.
//!
//! Both are derived from the state of session and account alone: an access token is a PASETO, a
//! refresh token is the triple (account, session, generation) with a keyed BLAKE2b-256
//! MAC (RFC 7693 §2.9). So the pair of a generation can be reissued byte for byte, and
//! nothing replayable is stored.
//!
//! **Invariant:** a pair is signed with the key that was active when its generation
//! began, whenever it is issued.

use std::sync::Arc;
use std::time::Duration;

use api::KeyScope;
use chassis::limits::ACCESS_TOKEN_LIFE;
use chassis::token::{AUDIENCE, Claims, ISSUER, KEY_AUDIENCE};
use chassis::{Context, Error, Role};
use data_encoding::BASE64URL_NOPAD;
use model::{ApiKeyId, SessionId, Time, UserId};
use store::Key;

use crate::domain::Session;
use crate::keys::SigningKeys;
use crate::mac_keys;
use chassis::mac::MacKey;

/// Prefix by which scanners recognise a leaked token.
const PREFIX: &str = "refresh_";

/// Issues and parses tokens.
pub(crate) struct Tokens {
    keys: Arc<SigningKeys>,
    refresh_key: MacKey,
}

/// One generation of one session: the content of a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Generation {
    pub(crate) user_id: UserId,
    pub(crate) session_id: SessionId,
    pub(crate) number: u32,
}

/// What the access token of an API key says.
pub(crate) struct KeyToken {
    pub(crate) key: ApiKeyId,
    pub(crate) user_id: UserId,
    pub(crate) session_id: SessionId,
    /// The roles of the account that made the key.
    pub(crate) roles: Vec<Role>,
    pub(crate) scopes: Vec<KeyScope>,
    pub(crate) until: Time,
}

impl Tokens {
    /// Reads or creates the keys and starts the task that rotates them.
    pub(crate) async fn open(context: &Context, rotate_every: Duration) -> Result<Self, Error> {
        let refresh_key = MacKey::open(context, mac_keys::REFRESH)?;
        let (folder, store, log) = (&context.folder, &context.store, &context.log);
        let (folder, store, log) = (folder.clone(), store.clone(), log.clone());
        let keys = SigningKeys::open(folder, store, log, rotate_every, model::now());
        let keys = Arc::new(keys.await?);
        let rotation = keys.clone().run_rotation(context.stop.clone());
        context.tasks.spawn(rotation);
        let checked = keys.clone();
        context.checks.add(move || {
            let checked = checked.clone();
            chassis::check::blocking(move || Ok(vec![checked.check(model::now())]))
        });
        Ok(Self { keys, refresh_key })
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
        (user_id, roles): (UserId, Vec<Role>),
        session_id: SessionId,
        session: &Session,
        now: Time,
    ) -> String {
        let signing = self.keys.signing(session.refreshed_at, now);
        signing.issue(&Claims {
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            sub: user_id,
            sid: session_id,
            exp: Self::access_ends(session),
            nbf: session.refreshed_at,
            iat: session.refreshed_at,
            jti: format!("{session_id}.{}", session.generation),
            roles,
            scopes: None,
            key: None,
        })
    }

    /// The access token of an API key, issued at `now`.
    pub(crate) fn access_of_key(&self, token: KeyToken, now: Time) -> String {
        let KeyToken { key, user_id, session_id, roles, scopes, until } = token;
        self.keys.signing(now, now).issue(&Claims {
            iss: ISSUER.into(),
            aud: KEY_AUDIENCE.into(),
            sub: user_id,
            sid: session_id,
            exp: until,
            nbf: now,
            iat: now,
            jti: format!("{session_id}.{}", now.0),
            roles,
            scopes: Some(scopes),
            key: Some(key),
        })
    }

    /// The refresh token of a generation.
    pub(crate) fn refresh(&self, generation: Generation) -> String {
        generation.token(&self.refresh_key)
    }

    /// Parses a refresh token and verifies its MAC.
    pub(crate) fn read(&self, token: &str) -> Option<Generation> {
        Generation::read(token, &self.refresh_key)
    }
}

impl Generation {
    fn token(self, key: &MacKey) -> String {
        format!(
            "{PREFIX}{}",
            BASE64URL_NOPAD.encode(&key.append(self.encode()))
        )
    }

    fn read(token: &str, key: &MacKey) -> Option<Self> {
        let encoded = token.strip_prefix(PREFIX)?;
        let bytes = BASE64URL_NOPAD.decode(encoded.as_bytes()).ok()?;
        Self::decode(key.verify(&bytes)?)
    }

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
        let ours = MacKey::of_bytes([1; 32]);
        let generation = Generation { user_id: Id::new(), session_id: Id::new(), number: 7 };
        let token = generation.token(&ours);
        assert_eq!(token, generation.token(&ours), "the same again");
        assert_eq!(Generation::read(&token, &ours), Some(generation));
        assert_eq!(Generation::read(&token, &MacKey::of_bytes([2; 32])), None);
        for wrong in [
            "",
            PREFIX,
            "refresh_AAAA",
            &token[..token.len() - 1],
            &token[1..],
        ] {
            assert_eq!(Generation::read(wrong, &ours), None, "{wrong}");
        }
        // The content of one token with the MAC of another.
        let other = Generation { number: 8, ..generation }.token(&ours);
        let (mut forged, code) = (other[..56].to_owned(), &token[56..]);
        forged.push_str(code);
        assert_eq!(Generation::read(&forged, &ours), None);
    }
}
