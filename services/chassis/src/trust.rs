//! Verification of access tokens against the shop's signing keys and revocations.
//!
//! Both are followed from users and stored by each service, so tokens are verified while
//! users is down.
//!
//! **Invariants:** a key is trusted only with a voucher of the data folder's root key, and
//! only if it is newer than every known key, so a foreign publisher on the mesh can
//! neither publish, expire nor restore a key. Revocations and the expiry of keys are
//! looked up on every request, also for cached tokens.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use mesh::{Event, Following, Refusal};
use model::{Fact, Id, KeyPublished, Time, kinds};
use parking_lot::RwLock;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use store::{Read, Store, Table, Tx};

use crate::limits::{
    ACCESS_TOKEN_LIFE, CATCH_UP_TIMEOUT, CLOCK_LEEWAY, KEY_TOKEN_LIFE, TOKENS_CACHED_MAX,
};
use crate::token::{self, AUDIENCE, Claims, ISSUER, KEY_AUDIENCE, Succession, VerifyingKey};
use crate::{Error, Folder};

#[cfg(test)]
mod tests;

type SessionId = Id<kinds::Session>;

/// kid → the trusted public key.
const KEYS: Table<String, TrustedKey> = Table::new("trust_keys");
/// (until, session): the session's tokens are refused until then. Expired rows are first.
const REVOKED: Table<(Time, SessionId), ()> = Table::new("trust_revocations");

/// Expired revocations deleted per new one: more than one, so that the table has the size
/// of a quarter of an hour's revocations.
const EXPIRED_BATCH_MAX: usize = 8;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct TrustedKey {
    key: String,
    #[serde(default)]
    published_at: Option<Time>,
    /// The time from which its tokens are refused.
    #[serde(default)]
    until: Option<Time>,
}

impl store::Record for TrustedKey {}

/// The verifier of access tokens. Cheap to clone.
#[derive(Clone)]
pub struct Trust(Arc<Inner>);

struct Inner {
    root: VerifyingKey,
    keys: RwLock<HashMap<String, Arc<KnownKey>>>,
    revoked: RwLock<HashMap<SessionId, Time>>,
    verified: Cache<Box<str>, Verified>,
    following: OnceLock<Following>,
    /// Whether the service has caught up with users since it started.
    is_informed: AtomicBool,
}

/// A key and its expiry, shared by the key's cached tokens.
struct KnownKey {
    key: VerifyingKey,
    until: AtomicI64,
}

/// The part of a verification that does not depend on time.
#[derive(Clone)]
struct Verified {
    claims: Arc<Claims>,
    key: Arc<KnownKey>,
}

/// The reason why a token is refused: for the log, and never sent to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a `v4.public` token with a key id in its footer.
    #[error("malformed token")]
    Malformed,
    /// Its key id is unknown.
    #[error("unknown key")]
    UnknownKey,
    /// Its key has expired.
    #[error("expired key")]
    EndedKey,
    /// Its key did not sign it, or signed something else than an access token.
    #[error("wrong signature or claims")]
    Forged,
    /// Its issuer or audience is another, or its lifetime too long.
    #[error("not one of this shop's access tokens")]
    Foreign,
    /// Not valid yet.
    #[error("not valid yet")]
    Early,
    /// No longer valid.
    #[error("expired")]
    Expired,
    /// Its session was ended.
    #[error("revoked")]
    Revoked,
}

impl Trust {
    /// Loads keys and revocations from the store.
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
                keys.insert(kid, KnownKey::until(key, trusted.until));
            }
        }
        let mut revoked = HashMap::new();
        for row in store.scan(REVOKED.all())? {
            let ((until, session), ()) = row?;
            revoked.insert(session, until);
        }
        Ok(Self(Arc::new(Inner {
            root,
            keys: RwLock::new(keys),
            revoked: RwLock::new(revoked),
            verified: Cache::new(TOKENS_CACHED_MAX),
            following: OnceLock::new(),
            is_informed: AtomicBool::new(false),
        })))
    }

    /// Applies an event of users.
    pub(crate) fn apply(&self, tx: &mut Tx<'_>, event: &Event) -> Result<(), Refusal> {
        match &event.fact {
            Some(Fact::KeyPublished(published)) => self.admit(tx, published),
            Some(Fact::SessionRevoked { session_id, until, .. }) => {
                // A revocation is deleted once it has expired by both clocks.
                self.revoke(tx, *session_id, *until, event.at.min(model::now()))
            }
            _ => Ok(()),
        }
    }

    fn admit(&self, tx: &mut Tx<'_>, published: &KeyPublished) -> Result<(), Refusal> {
        let kid = &published.kid;
        let Some((key, place)) = self.0.root.vouched_for(published) else {
            tracing::error!(
                kid,
                "a key without the shop's root signature was published and ignored"
            );
            return Ok(());
        };
        let known: Vec<_> = tx.scan(KEYS.all())?.collect::<Result<_, _>>()?;
        let newest = known
            .iter()
            .filter_map(|(_, known)| known.published_at)
            .max();
        if newest >= Some(place.published_at) {
            tracing::error!(
                kid,
                "a key that is not the newest was published and ignored"
            );
            return Ok(());
        }
        for (kid, earlier) in known {
            end(tx, &kid, earlier, place)?;
        }
        let trusted = TrustedKey {
            key: published.key.clone(),
            published_at: Some(place.published_at),
            until: None,
        };
        tx.put(KEYS, kid, &trusted)?;
        tx.sync_now();
        let (inner, kid) = (self.0.clone(), kid.clone());
        tx.on_durable(move || {
            let mut keys = inner.keys.write();
            keys.retain(|_, earlier| {
                !is_over(earlier.end_by(place.earlier_until), place.published_at)
            });
            keys.insert(kid, KnownKey::until(key, None));
        });
        Ok(())
    }

    fn revoke(
        &self,
        tx: &mut Tx<'_>,
        session: SessionId,
        until: Time,
        now: Time,
    ) -> Result<(), Refusal> {
        let mut spent = Vec::new();
        for row in tx.scan(REVOKED.all())?.take(EXPIRED_BATCH_MAX) {
            let (row, ()) = row?;
            if is_over(row.0, now) {
                spent.push(row);
            }
        }
        for row in &spent {
            tx.delete(REVOKED, row)?;
        }
        tx.put(REVOKED, &(until, session), &())?;
        // A session ends everywhere at once.
        tx.sync_now();
        let inner = self.0.clone();
        tx.on_durable(move || {
            let mut revoked = inner.revoked.write();
            for (until, other) in &spent {
                // A session that was revoked twice is refused until the later time.
                if revoked.get(other) == Some(until) {
                    revoked.remove(other);
                }
            }
            let known = revoked.entry(session).or_insert(until);
            *known = until.max(*known);
        });
        Ok(())
    }

    pub(crate) fn set_following(&self, following: Following) {
        let _ = self.0.following.set(following);
    }

    /// The claims of a token that is valid at `now`. Before the first token since the
    /// start, and for an unknown key, it catches up with users, within
    /// [`CATCH_UP_TIMEOUT`].
    ///
    /// # Errors
    /// Every [`TokenError`].
    pub async fn verify(&self, token: &str, now: Time) -> Result<Arc<Claims>, TokenError> {
        if !self.0.is_informed.load(Ordering::Acquire) {
            self.catch_up().await;
            self.0.is_informed.store(true, Ordering::Release);
        }
        match self.check(token, now) {
            Err(TokenError::UnknownKey) => {
                self.catch_up().await;
                self.check(token, now)
            }
            known => known,
        }
    }

    async fn catch_up(&self) {
        if let Some(following) = self.0.following.get() {
            following.catch_up(CATCH_UP_TIMEOUT).await;
        }
    }

    fn check(&self, token: &str, now: Time) -> Result<Arc<Claims>, TokenError> {
        if let Some(verified) = self.0.verified.get(token) {
            return match self.check_time(&verified, now) {
                Ok(()) => Ok(verified.claims),
                Err(why) => {
                    self.0.verified.remove(token);
                    Err(why)
                }
            };
        }
        let verified = self.verify_signature(token)?;
        self.check_time(&verified, now)?;
        self.0.verified.insert(token.into(), verified.clone());
        Ok(verified.claims)
    }

    /// Whether a genuine token is valid at `now`. Its expiry has no leeway, since a token
    /// that expires early costs a refresh; its beginning has, since a clock that lags would
    /// refuse every fresh token.
    fn check_time(&self, verified: &Verified, now: Time) -> Result<(), TokenError> {
        let Verified { claims, key } = verified;
        if now.0 >= key.until.load(Ordering::Acquire) {
            return Err(TokenError::EndedKey);
        }
        if claims.nbf.max(claims.iat) > now.after(CLOCK_LEEWAY) {
            return Err(TokenError::Early);
        }
        if now >= claims.exp {
            return Err(TokenError::Expired);
        }
        let revoked = self.0.revoked.read();
        if revoked.contains_key(&claims.sid) {
            return Err(TokenError::Revoked);
        }
        Ok(())
    }

    fn verify_signature(&self, token: &str) -> Result<Verified, TokenError> {
        let token = token::parse(token).ok_or(TokenError::Malformed)?;
        let kid = token::claimed_kid(&token).ok_or(TokenError::Malformed)?;
        let keys = self.0.keys.read();
        let key = keys.get(&kid).cloned().ok_or(TokenError::UnknownKey)?;
        drop(keys);
        let claims = key.key.claims(&token).ok_or(TokenError::Forged)?;
        let (audience, life) = match claims.scopes {
            None => (AUDIENCE, ACCESS_TOKEN_LIFE),
            Some(_) => (KEY_AUDIENCE, KEY_TOKEN_LIFE),
        };
        // A token with a longer lifetime would outlive its revocation.
        let is_ours =
            claims.iss == ISSUER && claims.aud == audience && claims.exp <= claims.iat.after(life);
        if !is_ours {
            return Err(TokenError::Foreign);
        }
        Ok(Verified { claims: Arc::new(claims), key })
    }
}

impl KnownKey {
    fn until(key: VerifyingKey, until: Option<Time>) -> Arc<Self> {
        let until = AtomicI64::new(until.map_or(i64::MAX, |until| until.0));
        Arc::new(Self { key, until })
    }

    /// Expires the key at `until` at the latest; returns its expiry.
    fn end_by(&self, until: Time) -> Time {
        Time(self.until.fetch_min(until.0, Ordering::AcqRel).min(until.0))
    }
}

/// Expires a key as its successor says, or deletes it if it expired before.
fn end(
    tx: &mut Tx<'_>,
    kid: &String,
    mut key: TrustedKey,
    place: Succession,
) -> Result<(), store::Error> {
    let until = key
        .until
        .map_or(place.earlier_until, |until| until.min(place.earlier_until));
    if is_over(until, place.published_at) {
        return tx.delete(KEYS, kid);
    }
    key.until = Some(until);
    tx.put(KEYS, kid, &key)
}

/// Whether `until` has passed on every host's clock.
fn is_over(until: Time, now: Time) -> bool {
    until.after(CLOCK_LEEWAY) < now
}
