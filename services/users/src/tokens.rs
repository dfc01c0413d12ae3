//! The tokens a session is used with.
//!
//! An access token is a PASETO made of the session's present state alone, and so
//! is a refresh token: a name (account, session, generation) with a keyed
//! BLAKE2b-256 (RFC 7693 §2.9) over it. So the pair of a generation can be made
//! again, byte for byte, and nothing that could be replayed is stored.
//!
//! **Invariant:** the key that signs is the one of the moment the pair was made
//! at, whenever that is done.

use std::sync::Arc;

use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use blake2::digest::{KeyInit, Mac};
use chassis::limits::ACCESS_TOKEN_LIFE;
use chassis::token::{AUDIENCE, Claims, ISSUER};
use chassis::{Context, Error};
use data_encoding::BASE64URL_NOPAD;
use model::{Id, Time, kinds};
use store::Key;

use crate::domain::{Session, User};
use crate::keys::Keys;

/// So that a leaked one is recognised for what it is.
const PREFIX: &str = "refresh_";
const MAC_BYTES: usize = 32;

/// Makes tokens.
pub(crate) struct Tokens {
    keys: Arc<Keys>,
    refreshing: RefreshKey,
}

/// What refresh tokens are made with. It is shown to nobody, not even formatted.
struct RefreshKey([u8; 32]);

/// What a refresh token names: one pair of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Generation {
    pub(crate) user_id: Id<kinds::User>,
    pub(crate) session_id: Id<kinds::Session>,
    pub(crate) number: u32,
}

impl Tokens {
    /// Reads the service's keys, or makes them, and tends them from now on.
    ///
    /// # Errors
    /// When they cannot be kept or read, or the store fails.
    pub(crate) async fn open(context: &Context) -> Result<Self, Error> {
        let secret = context.folder.service_secret(context.name, "refresh")?;
        let refreshing = RefreshKey(secret);
        let (folder, store, log) = (&context.folder, &context.store, &context.log);
        let rotate_every = context.config.keys.rotate_every();
        let (folder, store, log) = (folder.clone(), store.clone(), log.clone());
        let keys = Keys::open(folder, store, log, rotate_every, model::now());
        let keys = Arc::new(keys.await?);
        let tending = keys.clone().keep_tending(context.stop.clone());
        context.tasks.spawn(tending);
        Ok(Self { keys, refreshing })
    }

    /// The ring of keys that sign.
    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// When the access token of the present pair ends.
    pub(crate) fn access_ends(session: &Session) -> Time {
        session.refreshed_at.after(ACCESS_TOKEN_LIFE)
    }

    /// The access token of the present pair, asked for at `now`.
    pub(crate) fn access(
        &self,
        user: &User,
        session_id: Id<kinds::Session>,
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

    /// What a refresh token names, if this shop made it.
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

    /// Compared in constant time.
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
        // A name of another with the code of this one.
        let other = ours.token(Generation { number: 8, ..generation });
        let (mut forged, code) = (other[..56].to_owned(), &token[56..]);
        forged.push_str(code);
        assert_eq!(ours.read(&forged), None);
    }
}
