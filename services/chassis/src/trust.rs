//! Which tokens are believed: the shop's keys and what was revoked, followed from
//! users and kept in the service's own store, so tokens are checked while users
//! is down.
//!
//! **Invariants:** a key counts only with the word of the root key that this
//! data folder was made with, so a stranger on the mesh cannot publish one.
//! Revocation is looked up on every request, cached token or not.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use mesh::{Event, Fact, Following, Id, KeyPublished, Refusal, Time, kinds};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use store::{Read, Store, Table, Tx};

use crate::limits::{CATCH_UP_PATIENCE, CLOCK_LEEWAY, TOKENS_CACHED_MAX};
use crate::token::{self, AUDIENCE, Claims, ISSUER, VerifyingKey};
use crate::{Error, Folder};

/// kid → the public key, vouched for.
const KEYS: Table<String, TrustedKey> = Table::new("trust_keys");
/// session → until when its tokens must be refused.
const REVOKED: Table<Id<kinds::Session>, Time> = Table::new("trust_revoked");

#[derive(Debug, Clone, Serialize, Deserialize)]
struct TrustedKey {
    key: String,
}

impl store::Record for TrustedKey {}

/// Checks tokens. Cheap to clone.
#[derive(Clone)]
pub struct Trust(Arc<Inner>);

struct Inner {
    root: VerifyingKey,
    keys: RwLock<HashMap<String, VerifyingKey>>,
    revoked: RwLock<HashMap<Id<kinds::Session>, Time>>,
    verified: Cache<String, Arc<Claims>>,
    following: OnceLock<Following>,
}

/// Why a token is not believed. For the log; a client is told only that it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a `v4.public` token of ours.
    #[error("malformed token")]
    Malformed,
    /// Signed by a key this service does not know.
    #[error("unknown key")]
    UnknownKey,
    /// The signature, the issuer or the audience is wrong.
    #[error("not signed for this shop")]
    Forged,
    /// Not valid yet, or no longer.
    #[error("expired")]
    Expired,
    /// Its session was ended.
    #[error("revoked")]
    Revoked,
}

impl Trust {
    /// Loads what is known from the store.
    ///
    /// # Errors
    /// When the store cannot be read or the folder's root key is damaged.
    pub fn open(folder: &Folder, store: &Store) -> Result<Self, Error> {
        let root = VerifyingKey::parse(folder.root_key()).ok_or_else(|| Error::Folder {
            path: folder.path().to_owned(),
            why: "the root key in its marker is damaged".into(),
        })?;
        let mut keys = HashMap::new();
        for row in store.scan(KEYS.all())? {
            let (kid, trusted) = row?;
            if let Some(key) = VerifyingKey::parse(&trusted.key) {
                keys.insert(kid, key);
            }
        }
        let revoked = store.scan(REVOKED.all())?.collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(Inner {
            root,
            keys: RwLock::new(keys),
            revoked: RwLock::new(revoked),
            verified: Cache::new(TOKENS_CACHED_MAX),
            following: OnceLock::new(),
        })))
    }

    /// Takes in an event of users.
    pub(crate) fn apply(&self, tx: &mut Tx<'_>, event: &Event) -> Result<(), Refusal> {
        match &event.fact {
            Some(Fact::KeyPublished(published)) => self.admit(tx, published),
            Some(Fact::SessionRevoked { session_id, until, .. }) => {
                self.revoke(tx, *session_id, *until, event.at)
            }
            _ => Ok(()),
        }
    }

    fn admit(&self, tx: &mut Tx<'_>, published: &KeyPublished) -> Result<(), Refusal> {
        let key = VerifyingKey::parse(&published.key);
        let Some(key) = key.filter(|_| self.0.root.vouched_for(published)) else {
            tracing::error!(
                kid = published.kid,
                "a key without the shop's root signature was published and ignored"
            );
            return Ok(());
        };
        let trusted = TrustedKey { key: published.key.clone() };
        tx.put(KEYS, &published.kid, &trusted)?;
        let (inner, kid) = (self.0.clone(), published.kid.clone());
        tx.on_durable(move || {
            let mut keys = inner.keys.write().unwrap_or_else(PoisonError::into_inner);
            keys.insert(kid, key);
        });
        Ok(())
    }

    /// Also drops revocations whose tokens have expired anyway, a few each time,
    /// so that the table stays as large as what happened in a quarter of an hour.
    fn revoke(
        &self,
        tx: &mut Tx<'_>,
        session: Id<kinds::Session>,
        until: Time,
        now: Time,
    ) -> Result<(), Refusal> {
        let mut spent = Vec::new();
        for row in tx.scan(REVOKED.all())?.take(8) {
            let (other, until) = row?;
            if until < now {
                spent.push(other);
            }
        }
        for other in &spent {
            tx.delete(REVOKED, other)?;
        }
        tx.put(REVOKED, &session, &until)?;
        let inner = self.0.clone();
        tx.on_durable(move || {
            let mut revoked = inner
                .revoked
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            spent.iter().for_each(|other| {
                revoked.remove(other);
            });
            revoked.insert(session, until);
        });
        Ok(())
    }

    pub(crate) fn set_following(&self, following: Following) {
        let _ = self.0.following.set(following);
    }

    /// The claims of a token that may be believed at `now`. For a key it does not
    /// know it first asks users, briefly: the key may be new.
    ///
    /// # Errors
    /// Why it is not believed.
    pub async fn verify(&self, token: &str, now: Time) -> Result<Arc<Claims>, TokenError> {
        match self.check(token, now) {
            Err(TokenError::UnknownKey) => {
                if let Some(following) = self.0.following.get() {
                    following.catch_up(CATCH_UP_PATIENCE).await;
                }
                self.check(token, now)
            }
            known => known,
        }
    }

    fn check(&self, token: &str, now: Time) -> Result<Arc<Claims>, TokenError> {
        let claims = match self.0.verified.get(token) {
            Some(claims) => claims,
            None => {
                let claims = Arc::new(self.believe(token)?);
                self.0.verified.insert(token.to_owned(), claims.clone());
                claims
            }
        };
        if now < claims.nbf && claims.nbf.since(now) > CLOCK_LEEWAY || now >= claims.exp {
            return Err(TokenError::Expired);
        }
        let revoked = self
            .0
            .revoked
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if revoked.contains_key(&claims.sid) {
            return Err(TokenError::Revoked);
        }
        Ok(claims)
    }

    /// Everything about a token that does not change with time.
    fn believe(&self, token: &str) -> Result<Claims, TokenError> {
        let token = token::parse(token).ok_or(TokenError::Malformed)?;
        let kid = token::claimed_kid(&token).ok_or(TokenError::Malformed)?;
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys.get(&kid).cloned().ok_or(TokenError::UnknownKey)?;
        drop(keys);
        let claims = key.claims(&token).ok_or(TokenError::Forged)?;
        if claims.iss != ISSUER || claims.aud != AUDIENCE {
            return Err(TokenError::Forged);
        }
        Ok(claims)
    }
}
