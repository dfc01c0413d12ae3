//! The key that signs access tokens, and the tokens a session is used with.
//!
//! An access token is a PASETO made of the session's present state alone, and so
//! is a refresh token: a name (account, session, generation) with a keyed
//! BLAKE2b-256 (RFC 7693 §2.9) over it. So the pair of a generation can be made
//! again, byte for byte, and nothing that could be replayed is stored.
//!
//! **Invariant:** the signing key's file is durable before the event that
//! publishes the key, so no restart finds a key without its secret.

use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use blake2::digest::{KeyInit, Mac};
use chassis::limits::ACCESS_TOKEN_LIFE;
use chassis::token::{AUDIENCE, Claims, ISSUER, KeyPair};
use chassis::{Context, Error};
use data_encoding::BASE64URL_NOPAD;
use mesh::{Id, Time, kinds};
use store::Key;

use crate::domain::{Session, User};
use crate::store::{self as tables, Cause};

/// So that a leaked one is recognised for what it is.
const PREFIX: &str = "refresh_";
const MAC_BYTES: usize = 32;

/// Makes tokens.
pub(crate) struct Tokens {
    signing: KeyPair,
    refreshing: [u8; 32],
}

/// What a refresh token names: one pair of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Generation {
    pub(crate) user_id: Id<kinds::User>,
    pub(crate) session_id: Id<kinds::Session>,
    pub(crate) number: u32,
}

impl Tokens {
    /// Reads the service's keys, or makes and publishes them.
    ///
    /// # Errors
    /// When they cannot be kept or read, or the store fails.
    pub(crate) async fn open(context: &Context) -> Result<Self, Error> {
        let refreshing = context.folder.service_secret(context.name, "refresh")?;
        let signing = match tables::active_key(&context.store)? {
            Some(kid) => context.folder.secret(&kid)?,
            None => Self::first_key(context).await?,
        };
        Ok(Self { signing, refreshing })
    }

    async fn first_key(context: &Context) -> Result<KeyPair, Error> {
        let pair = KeyPair::generate();
        context.folder.keep_secret(&pair)?;
        let published = context.folder.root_secret()?.vouch_for(&pair);
        let cause = Cause {
            log: context.log.clone(),
            at: mesh::now(),
            by: None,
            trace: None,
        };
        let publish = move |tx: &mut store::Tx<'_>| tables::publish_key(tx, published, &cause);
        context.store.write(publish).await?;
        tracing::info!(kid = pair.kid(), "made the first key that signs tokens");
        Ok(pair)
    }

    /// When the access token of the present pair ends.
    pub(crate) fn access_ends(session: &Session) -> Time {
        session.refreshed_at.after(ACCESS_TOKEN_LIFE)
    }

    /// The access token of the present pair.
    pub(crate) fn access(
        &self,
        user: &User,
        session_id: Id<kinds::Session>,
        session: &Session,
    ) -> String {
        self.signing.issue(&Claims {
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
        let mut bytes = generation.encode();
        let mac = self.mac(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&mac);
        format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes))
    }

    /// What a refresh token names, if this shop made it. Compared in constant time.
    pub(crate) fn read(&self, token: &str) -> Option<Generation> {
        let encoded = token.strip_prefix(PREFIX)?;
        let bytes = BASE64URL_NOPAD.decode(encoded.as_bytes()).ok()?;
        let (name, mac) = bytes.split_at_checked(bytes.len().checked_sub(MAC_BYTES)?)?;
        self.mac(name).verify_slice(mac).ok()?;
        Generation::decode(name)
    }

    fn mac(&self, name: &[u8]) -> Blake2bMac<U32> {
        let mac = Blake2bMac::new_from_slice(&self.refreshing);
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
        let tokens = |key| Tokens { signing: KeyPair::generate(), refreshing: [key; 32] };
        let ours = tokens(1);
        let generation = Generation { user_id: Id::new(), session_id: Id::new(), number: 7 };
        let token = ours.refresh(generation);
        assert_eq!(token, ours.refresh(generation), "the same again");
        assert_eq!(ours.read(&token), Some(generation));
        assert_eq!(tokens(2).read(&token), None);
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
        let other = ours.refresh(Generation { number: 8, ..generation });
        let (mut forged, code) = (other[..56].to_owned(), &token[56..]);
        forged.push_str(code);
        assert_eq!(ours.read(&forged), None);
    }
}
