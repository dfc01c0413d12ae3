//! API keys: their secrets, and the exchange of one for an access token.
//!
//! A secret is the key's id and a random number, of which only a MAC is stored. It is worth
//! nothing at a service: the gateway exchanges it for an access token with the key's scopes.
//!
//! **Invariants:** a token never has a scope that the key's maker may not give at the moment of
//! the exchange. It carries the session that the key had when the maker's roles were read, and a
//! change of the maker that takes rights away revokes that session: a token that is issued
//! during such a change is revoked before it exists.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chassis::client_address::ClientAddress;
use chassis::is_clock_set;
use chassis::limits::KEY_TOKEN_LIFE;
use chassis::token::API_KEY_PREFIX;
use data_encoding::BASE64URL_NOPAD;
use mesh::{TokenAnswer, TokenOf};
use model::{ApiKeyId, Time};
use store::{Key, Read, Tx};

use crate::domain::{ApiKey, User};
use crate::tables::{self, API_KEYS, USERS};
use crate::throttle::{LoginAttempt, ThrottleTarget};
use crate::tokens::KeyToken;
use crate::{Error, Users};
use chassis::mac::MacKey;

/// How often the last use of a key is written at most.
const USE_NOTED_EVERY: Duration = Duration::from_secs(60);

/// The random part of a secret, in bytes: too many to guess.
const RANDOM_BYTES: usize = 24;

/// The secret of an API key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ApiKeySecret {
    pub(crate) id: ApiKeyId,
    random: [u8; RANDOM_BYTES],
}

impl ApiKeySecret {
    /// The secret of a new key.
    pub(crate) fn generate() -> Self {
        Self { id: ApiKeyId::new(), random: rand::random() }
    }

    /// The secret as its holder sends it.
    pub(crate) fn text(&self) -> String {
        let bytes = (self.id, self.random).encode();
        format!("{API_KEY_PREFIX}{}", BASE64URL_NOPAD.encode(&bytes))
    }

    fn parse(text: &str) -> Option<Self> {
        let encoded = text.strip_prefix(API_KEY_PREFIX)?;
        let bytes = BASE64URL_NOPAD.decode(encoded.as_bytes()).ok()?;
        let (id, random) = Key::decode(&bytes)?;
        Some(Self { id, random })
    }

    /// Its MAC, to be stored.
    pub(crate) fn mac(&self, key: &MacKey) -> [u8; 16] {
        key.mac(&[&self.id.encode(), &self.random])
    }

    fn matches(&self, key: &MacKey, mac: [u8; 16]) -> bool {
        key.is_mac(&[&self.id.encode(), &self.random], mac)
    }
}

impl Users {
    /// Exchanges an API key for an access token.
    ///
    /// A valid key is never refused for the failures of others at its address: secrets cannot be
    /// guessed, so the throttle only bounds what failures cost.
    ///
    /// # Errors
    /// When the store fails or the clock is not set.
    pub(crate) async fn exchange(self: Arc<Self>, asked: TokenOf) -> Result<TokenAnswer, Error> {
        let now = model::now();
        if !is_clock_set(now) {
            return Err(Error::ClockNotSet);
        }
        let valid = match ApiKeySecret::parse(&asked.key) {
            Some(secret) => self.valid_key(&secret, now)?,
            None => None,
        };
        let Some((id, key, token)) = valid else {
            return self.count_failed_key(asked.address, now).await;
        };
        let last = key.last_used_at;
        if last.is_none_or(|last| now.since(last) >= USE_NOTED_EVERY) {
            let store = self.store.clone();
            self.tasks.spawn(async move {
                let noted = store.write(move |tx| tables::note_use(tx, id, now)).await;
                if let Err(error) = noted {
                    tracing::warn!(%error, key = %id, "the use of an API key could not be noted");
                }
            });
        }
        let until = token.until;
        Ok(TokenAnswer::Issued { token: self.tokens.access_of_key(token, now), until })
    }

    /// The key of a secret and the token for it, if it allows anything.
    fn valid_key(
        &self,
        secret: &ApiKeySecret,
        now: Time,
    ) -> Result<Option<(ApiKeyId, ApiKey, KeyToken)>, Error> {
        // The key is read before its maker: what is taken from the maker afterwards revokes the
        // session that was read here.
        let key = self.store.get(API_KEYS, &secret.id)?;
        let Some(key) = key.filter(|key| secret.matches(&self.api_key_mac, key.mac)) else {
            return Ok(None);
        };
        let user = self.store.get(USERS, &key.user_id)?;
        let Some(user) = user.filter(User::is_active) else {
            return Ok(None);
        };
        let roles = self.token_roles(&user);
        let scopes = key.scopes_within(&roles);
        if key.is_expired(now) || scopes.is_empty() {
            return Ok(None);
        }
        let until = now.after(KEY_TOKEN_LIFE);
        let until = key.expires_at.map_or(until, |expires| expires.min(until));
        let token = KeyToken {
            key: secret.id,
            user_id: user.id,
            session_id: key.session_id,
            roles,
            scopes,
            until,
        };
        Ok(Some((secret.id, key, token)))
    }

    async fn count_failed_key(&self, address: IpAddr, now: Time) -> Result<TokenAnswer, Error> {
        let target = ThrottleTarget { email: None, user_id: None };
        let address = ClientAddress(address.to_canonical());
        let failures =
            self.throttle
                .counters(&self.store, LoginAttempt::ApiKey, target, address)?;
        // Read first, so that a flood of failures writes nothing.
        let counted = match failures.check(&self.store, now) {
            Ok(()) => {
                let count = move |tx: &mut Tx<'_>| failures.check_and_count(tx, now);
                self.store.write(count).await
            }
            Err(error) => Err(error),
        };
        match counted {
            Ok(()) => Ok(TokenAnswer::Refused),
            Err(Error::Throttled(wait)) => Ok(TokenAnswer::Throttled { wait }),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
