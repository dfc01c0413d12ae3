//! Signing keys of access tokens: created, published, active, retired.
//!
//! A key's state follows from three times alone, so no transition needs a process to be
//! running at that moment:
//!
//! | from | state |
//! | --- | --- |
//! | `published_at` | published: listed at `/.well-known/paserk.json` |
//! | `signs_from` | active, until a newer key is |
//! | `until` | retired: its successor signs, and its last token has expired |
//!
//! **Invariants:** a secret's file is durable before the event that publishes its key,
//! and is deleted after its row; a row and its event are one transaction. So a crash
//! leaves at most an unused secret, which the next start deletes if it has the root's. The
//! newest key has its secret and no `until`.

mod check;

use std::sync::Arc;
use std::time::Duration;

use chassis::limits::{ACCESS_TOKEN_LIFE, CLOCK_LEEWAY};
use chassis::token::{KeyPair, Succession};
use chassis::{Error, Folder};
use mesh::{Cause, Draft, Log};
use model::{Fact, KeyPublished, Time};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use store::{Read, Record, Store, Table};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

#[cfg(test)]
mod tests;

/// kid → public key and its times.
const SIGNING_KEYS: Table<String, SigningKey> = Table::new("signing_keys");

/// Time between publication and first signature. A verifier that has not seen the key by
/// then fetches it on demand, so this only avoids a burst of such fetches.
pub(crate) const LEAD: Duration = Duration::from_secs(2);

/// The same for a scheduled rotation: a verifier that is cut off for less is not
/// affected.
const SCHEDULED_LEAD: Duration = Duration::from_secs(3600);

/// Most keys at a time: one every few minutes for the lifetime of a token. Verifiers
/// keep them all.
const KEYS_MAX: usize = 8;

/// How often rotation and expiry are checked.
const CHECK_EVERY: Duration = Duration::from_secs(60);

/// A stored public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SigningKey {
    /// PASERK `k4.public.…`.
    pub(crate) key: String,
    pub(crate) published_at: Time,
    pub(crate) signs_from: Time,
    /// `None` for the newest.
    pub(crate) until: Option<Time>,
    /// The root key's signature, with which the key is published; earlier versions kept none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) voucher: Option<String>,
}

impl Record for SigningKey {}

impl SigningKey {
    fn is_valid(&self, now: Time) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// Reason of a rotation, which decides its timing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rotation {
    /// The rotation interval has passed.
    Scheduled,
    /// The operator asked for it.
    Requested,
    /// The old keys may be compromised: they end now, and every access token with them.
    Immediate,
}

impl Rotation {
    fn lead(self) -> Duration {
        match self {
            Self::Scheduled => SCHEDULED_LEAD,
            Self::Requested => LEAD,
            Self::Immediate => Duration::ZERO,
        }
    }

    /// How long the old keys stay valid after the new one signs.
    fn grace(self) -> Duration {
        match self {
            Self::Scheduled | Self::Requested => ACCESS_TOKEN_LIFE + CLOCK_LEEWAY,
            Self::Immediate => Duration::ZERO,
        }
    }
}

/// A key with its secret, where it is available.
#[derive(Debug, Clone)]
pub(crate) struct HeldKey {
    pub(crate) kid: String,
    pub(crate) row: SigningKey,
    pair: Option<Arc<KeyPair>>,
}

/// The set of signing keys in use.
pub(crate) struct SigningKeys {
    folder: Folder,
    store: Store,
    log: Log,
    rotate_every: Duration,
    /// Newest first.
    keys: RwLock<Vec<HeldKey>>,
    /// Serializes changes of the key set and of its secrets' files.
    changing: Mutex<()>,
}

impl SigningKeys {
    /// Reads the keys, deletes secrets without a key, and rotates if the newest key has
    /// no secret.
    pub(crate) async fn open(
        folder: Folder,
        store: Store,
        log: Log,
        rotate_every: Duration,
        now: Time,
    ) -> Result<Self, Error> {
        let keys = Self {
            folder,
            store,
            log,
            rotate_every,
            keys: RwLock::default(),
            changing: Mutex::default(),
        };
        keys.reload()?;
        keys.retain_secrets().await?;
        match keys.held().first() {
            None => keys.rotate(Rotation::Immediate, now).await?,
            Some(newest) if newest.pair.is_none() => {
                tracing::error!(
                    kid = newest.kid,
                    "the active signing key has no secret that can be used; rotating to a new key"
                );
                keys.rotate(Rotation::Requested, now).await?;
            }
            Some(newest) if newest.row.voucher.is_none() => {
                // Of an earlier version; new followers could not be told of it.
                keys.rotate(Rotation::Requested, now).await?;
            }
            Some(_) => {}
        }
        Ok(keys)
    }

    /// Every key that is valid at `now`, newest first.
    pub(crate) fn valid(&self, now: Time) -> Vec<HeldKey> {
        let mut held = self.held();
        held.retain(|held| held.row.is_valid(now));
        held
    }

    /// The key that signs tokens of time `at`, of those valid at `now`. Reissuing for the
    /// same time uses the same key.
    pub(crate) fn signing(&self, at: Time, now: Time) -> Arc<KeyPair> {
        let keys = self.keys.read();
        let usable = keys.iter().filter(|held| held.row.is_valid(now));
        let mut usable = usable.filter_map(|held| Some((held.row.signs_from, held.pair.as_ref()?)));
        let signing = usable.clone().find(|(signs_from, _)| *signs_from <= at);
        // After a clock step backwards no key may be active yet; the oldest signs.
        let (_, pair) = signing
            .or_else(|| usable.next_back())
            .expect("the newest key has its secret and no end");
        pair.clone()
    }

    /// Creates a new key and publishes it.
    ///
    /// # Errors
    /// When there are too many keys, the root key is not here, or the store fails.
    pub(crate) async fn rotate(&self, rotation: Rotation, now: Time) -> Result<(), Error> {
        let _exclusive = self.changing.lock().await;
        let keys = load(&self.store)?;
        let succession = succession(&keys, rotation, now)?;
        let folder = self.folder.clone();
        let made = blocking(move || {
            let root = folder.root_secret()?;
            let pair = KeyPair::generate();
            folder.keep_secret(&pair)?;
            Ok(root.vouch_for(&pair, succession))
        });
        let published = made.await?;
        let kid = published.kid.clone();
        let signs_from = now.after(rotation.lead());
        let log = self.log.clone();
        let write = move |tx: &mut store::Tx<'_>| {
            publish(tx, &log, keys, published, succession, signs_from)
        };
        self.store.write_when_free::<_, Error, _>(write).await?;
        self.reload()?;
        tracing::info!(kid, ?rotation, %signs_from, "published a signing key");
        Ok(())
    }

    /// Rotates if the interval has passed, and deletes retired keys.
    ///
    /// # Errors
    /// The first failure; the other step is done regardless.
    pub(crate) async fn maintain(&self, now: Time) -> Result<(), Error> {
        let newest = self.held().first().map(|held| held.row.signs_from);
        let due = newest.is_some_and(|signs_from| {
            signs_from.after(self.rotate_every) <= now.after(SCHEDULED_LEAD)
        });
        let rotated = match due {
            true => self.rotate(Rotation::Scheduled, now).await,
            false => Ok(()),
        };
        rotated.and(self.delete_retired(now).await)
    }

    /// Maintains the keys until `stop`.
    pub(crate) async fn run_rotation(self: Arc<Self>, stop: CancellationToken) {
        let rotation = async {
            loop {
                if let Err(error) = self.maintain(model::now()).await {
                    tracing::error!(%error, "maintaining the signing keys failed");
                }
                tokio::time::sleep(CHECK_EVERY).await;
            }
        };
        stop.run_until_cancelled(rotation).await;
    }

    async fn delete_retired(&self, now: Time) -> Result<(), Error> {
        let _exclusive = self.changing.lock().await;
        let mut retired = load(&self.store)?;
        retired.retain(|(_, row)| !row.is_valid(now));
        if retired.is_empty() {
            return Ok(());
        }
        let kids: Vec<_> = retired.into_iter().map(|(kid, _)| kid).collect();
        let deleted = kids.clone();
        let delete = move |tx: &mut store::Tx<'_>| {
            deleted
                .iter()
                .try_for_each(|kid| tx.delete(SIGNING_KEYS, kid))
        };
        self.store
            .write_when_free::<_, store::Error, _>(delete)
            .await?;
        self.reload()?;
        tracing::info!(?kids, "deleting the secrets of retired keys");
        let folder = self.folder.clone();
        blocking(move || folder.delete_secrets(&kids)).await
    }

    /// Deletes secrets without a key.
    async fn retain_secrets(&self) -> Result<(), Error> {
        let (folder, held) = (self.folder.clone(), self.held());
        let kids: Vec<_> = held.into_iter().map(|held| held.kid).collect();
        for kid in blocking(move || folder.retain_secrets(&kids)).await? {
            tracing::info!(kid, "deleted the secret of a retired key");
        }
        Ok(())
    }

    /// Reads the keys from the store. Each secret is read once.
    fn reload(&self) -> Result<(), Error> {
        let known = self.held();
        let keys = load(&self.store)?.into_iter().map(|(kid, row)| {
            let known = known.iter().find(|held| held.kid == kid);
            let pair = known.and_then(|held| held.pair.clone());
            let pair = pair.or_else(|| self.read_secret(&kid));
            HeldKey { kid, row, pair }
        });
        let keys = keys.collect();
        *self.keys.write() = keys;
        Ok(())
    }

    fn read_secret(&self, kid: &str) -> Option<Arc<KeyPair>> {
        let read = self.folder.secret(kid);
        let read = read.inspect_err(|error| {
            tracing::error!(%error, "the secret of a signing key cannot be used");
        });
        read.ok().map(Arc::new)
    }

    fn held(&self) -> Vec<HeldKey> {
        self.keys.read().clone()
    }
}

/// The publications of all stored keys, oldest first.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn publications(read: &impl Read) -> Result<Vec<KeyPublished>, store::Error> {
    let published = |(kid, row): (String, SigningKey)| {
        let SigningKey { key, voucher, .. } = row;
        Some(KeyPublished { kid, key, voucher: voucher? })
    };
    Ok(load(read)?
        .into_iter()
        .rev()
        .filter_map(published)
        .collect())
}

/// The stored keys, newest first.
fn load(read: &impl Read) -> Result<Vec<(String, SigningKey)>, store::Error> {
    let mut keys: Vec<_> = read.scan(SIGNING_KEYS.all())?.collect::<Result<_, _>>()?;
    keys.sort_by_key(|(_, key)| std::cmp::Reverse(key.published_at));
    Ok(keys)
}

/// The times at which a new key succeeds the stored ones.
fn succession(
    keys: &[(String, SigningKey)],
    rotation: Rotation,
    now: Time,
) -> Result<Succession, Error> {
    // A compromised key is replaced whatever the number.
    let valid = keys.iter().filter(|(_, key)| key.is_valid(now)).count();
    let is_full = valid >= KEYS_MAX && rotation != Rotation::Immediate;
    if let Some(until) = keys.iter().filter_map(|(_, key)| key.until).min()
        && is_full
    {
        return Err(Error::Service(format!(
            "{KEYS_MAX} keys are still in use; try again after {until}, when the oldest ends"
        )));
    }
    let earliest = keys
        .first()
        .map(|(_, newest)| newest.published_at.after(Duration::from_millis(1)));
    Ok(Succession {
        published_at: earliest.map_or(now, |earliest| earliest.max(now)),
        earlier_until: now.after(rotation.lead() + rotation.grace()),
    })
}

fn publish(
    tx: &mut store::Tx<'_>,
    log: &Log,
    keys: Vec<(String, SigningKey)>,
    published: KeyPublished,
    succession: Succession,
    signs_from: Time,
) -> Result<(), Error> {
    let Succession { published_at, earlier_until } = succession;
    for (kid, mut earlier) in keys {
        let until = earlier.until.unwrap_or(earlier_until);
        earlier.until = Some(until.min(earlier_until));
        tx.put(SIGNING_KEYS, &kid, &earlier)?;
    }
    let (key, voucher) = (published.key.clone(), Some(published.voucher.clone()));
    let row = SigningKey { key, published_at, signs_from, until: None, voucher };
    tx.put(SIGNING_KEYS, &published.kid, &row)?;
    let draft = Draft {
        key: "keys".into(),
        fact: Fact::KeyPublished(published),
        cause: Cause::own(published_at),
    };
    log.append(tx, draft)?;
    Ok(())
}

/// Runs file operations off the runtime's worker threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Service(error.to_string()))?
}
