//! The ring of keys that sign access tokens: made, published, put to use, retired.
//!
//! What a key is for is told by moments alone, so nothing has to happen at any of
//! them, and a process that was away then is not missed:
//!
//! | from | on |
//! | --- | --- |
//! | `published_at` | everyone may know it; `/.well-known/paserk.json` lists it |
//! | `signs_from` | it signs, unless a newer one does |
//! | `until` | nobody believes it: its successor signs, and its last token has expired |
//!
//! **Invariants:** a secret's file is durable before the event that publishes its
//! key, and goes after its row has gone; a row and its event are one transaction.
//! So a crash leaves at most a secret that nobody needs, which the next opening
//! deletes. The newest key has its secret and no end.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ::store::{Read, Record, Store, Table};
use chassis::limits::{ACCESS_TOKEN_LIFE, CLOCK_LEEWAY};
use chassis::token::{KeyPair, Succession};
use chassis::{Error, Folder};
use mesh::{Draft, Log};
use model::{Fact, KeyPublished, Time};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

#[cfg(test)]
mod tests;

/// kid → public key and its moments.
const SIGNING_KEYS: Table<String, SigningKey> = Table::new("signing_keys");

/// How long a key is known before it signs. Whoever misses it for longer asks for
/// it when it meets it, so this only spares everyone asking at once.
pub(crate) const LEAD: Duration = Duration::from_secs(2);

/// The same for a key whose turn it is anyway: a verifier that is cut off for less
/// does not notice.
const SCHEDULED_LEAD: Duration = Duration::from_secs(3600);

/// How many keys there are at most: one a few minutes, for as long as a token
/// lives. Verifiers keep them all.
const KEYS_MAX: usize = 8;

/// How often it is looked whether a key is due, or over.
const TEND_EVERY: Duration = Duration::from_secs(60);

/// A public key that tokens are checked with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SigningKey {
    /// PASERK `k4.public.…`.
    pub(crate) key: String,
    pub(crate) published_at: Time,
    pub(crate) signs_from: Time,
    /// `None` for the newest.
    pub(crate) until: Option<Time>,
}

impl Record for SigningKey {}

impl SigningKey {
    fn counts(&self, now: Time) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// Why, and so how, another key takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rotation {
    /// Its turn has come.
    Scheduled,
    /// Somebody asked for it.
    Asked,
    /// The old ones may be known to others: they end now, and with them every
    /// access token there is.
    AtOnce,
}

impl Rotation {
    fn lead(self) -> Duration {
        match self {
            Self::Scheduled => SCHEDULED_LEAD,
            Self::Asked => LEAD,
            Self::AtOnce => Duration::ZERO,
        }
    }

    /// How long after the new key signs the old ones still count.
    fn grace(self) -> Duration {
        match self {
            Self::Scheduled | Self::Asked => ACCESS_TOKEN_LIFE + CLOCK_LEEWAY,
            Self::AtOnce => Duration::ZERO,
        }
    }
}

/// A key of the ring, and its secret where it may sign.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) kid: String,
    pub(crate) row: SigningKey,
    pair: Option<Arc<KeyPair>>,
}

/// The ring, at work.
pub(crate) struct Keys {
    folder: Folder,
    store: Store,
    log: Log,
    rotate_every: Duration,
    /// Newest first.
    ring: RwLock<Vec<Held>>,
    /// Held by whoever changes the ring or the files of its secrets.
    changing: Mutex<()>,
}

impl Keys {
    /// Reads the ring, deletes secrets that belong to no key, and makes a key if
    /// the newest cannot sign.
    ///
    /// # Errors
    /// When secrets cannot be kept or read, or the store fails.
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
            ring: RwLock::default(),
            changing: Mutex::default(),
        };
        keys.reload()?;
        keys.retain_secrets().await?;
        match keys.held().first() {
            None => keys.rotate(Rotation::AtOnce, now).await?,
            Some(newest) if newest.pair.is_none() => {
                tracing::error!(
                    kid = newest.kid,
                    "the secret of the key that signs is gone; another key takes its place"
                );
                keys.rotate(Rotation::Asked, now).await?;
            }
            Some(_) => {}
        }
        Ok(keys)
    }

    /// Every key that counts at `now`, newest first.
    pub(crate) fn listed(&self, now: Time) -> Vec<Held> {
        let mut held = self.held();
        held.retain(|held| held.row.counts(now));
        held
    }

    /// The key that signs what is made at `at`, of those that count at `now`. What
    /// is made again for the same moment is signed by the same key.
    pub(crate) fn signing(&self, at: Time, now: Time) -> Arc<KeyPair> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let usable = ring.iter().filter(|held| held.row.counts(now));
        let mut usable = usable.filter_map(|held| Some((held.row.signs_from, held.pair.as_ref()?)));
        let signing = usable.clone().find(|(signs_from, _)| *signs_from <= at);
        // Nothing signs yet when the clock was put back.
        let (_, pair) = signing
            .or_else(|| usable.next_back())
            .expect("the newest key has its secret and no end");
        pair.clone()
    }

    /// Puts a new key beside the others and tells everyone.
    ///
    /// # Errors
    /// When there are too many, the root key is not here, or the store fails.
    pub(crate) async fn rotate(&self, rotation: Rotation, now: Time) -> Result<(), Error> {
        let _alone = self.changing.lock().await;
        let ring = load(&self.store)?;
        let place = succession(&ring, rotation, now)?;
        let folder = self.folder.clone();
        let made = blocking(move || {
            let root = folder.root_secret()?;
            let pair = KeyPair::generate();
            folder.keep_secret(&pair)?;
            Ok(root.vouch_for(&pair, place))
        });
        let published = made.await?;
        let kid = published.kid.clone();
        let signs_from = now.after(rotation.lead());
        let log = self.log.clone();
        let write =
            move |tx: &mut ::store::Tx<'_>| publish(tx, &log, ring, published, place, signs_from);
        self.store.write_when_free::<_, Error, _>(write).await?;
        self.reload()?;
        tracing::info!(kid, ?rotation, %signs_from, "published a key that signs tokens");
        Ok(())
    }

    /// Does what is due at `now`: rotates, and forgets keys that are over.
    ///
    /// # Errors
    /// What could not be done; the rest was.
    pub(crate) async fn tend(&self, now: Time) -> Result<(), Error> {
        let newest = self.held().first().map(|held| held.row.signs_from);
        let due = newest.is_some_and(|signs_from| {
            signs_from.after(self.rotate_every) <= now.after(SCHEDULED_LEAD)
        });
        let rotated = match due {
            true => self.rotate(Rotation::Scheduled, now).await,
            false => Ok(()),
        };
        rotated.and(self.forget(now).await)
    }

    /// Tends the ring until `stop`.
    pub(crate) async fn keep_tending(self: Arc<Self>, stop: CancellationToken) {
        let tending = async {
            loop {
                if let Err(error) = self.tend(model::now()).await {
                    tracing::error!(%error, "the keys that sign tokens are not as they should be");
                }
                tokio::time::sleep(TEND_EVERY).await;
            }
        };
        stop.run_until_cancelled(tending).await;
    }

    async fn forget(&self, now: Time) -> Result<(), Error> {
        let _alone = self.changing.lock().await;
        let mut over = load(&self.store)?;
        over.retain(|(_, row)| !row.counts(now));
        if over.is_empty() {
            return Ok(());
        }
        let delete = move |tx: &mut ::store::Tx<'_>| {
            over.iter()
                .try_for_each(|(kid, _)| tx.delete(SIGNING_KEYS, kid))
        };
        self.store
            .write_when_free::<_, ::store::Error, _>(delete)
            .await?;
        self.reload()?;
        self.retain_secrets().await
    }

    /// Deletes the secrets of keys that are not in the ring.
    async fn retain_secrets(&self) -> Result<(), Error> {
        let (folder, held) = (self.folder.clone(), self.held());
        let kids: Vec<_> = held.into_iter().map(|held| held.kid).collect();
        for kid in blocking(move || folder.retain_secrets(&kids)).await? {
            tracing::info!(kid, "deleted the secret of a key that is over");
        }
        Ok(())
    }

    /// Takes over what the store says. Secrets are read once.
    fn reload(&self) -> Result<(), Error> {
        let known = self.held();
        let ring = load(&self.store)?.into_iter().map(|(kid, row)| {
            let known = known.iter().find(|held| held.kid == kid);
            let pair = known.and_then(|held| held.pair.clone());
            let pair = pair.or_else(|| self.folder.secret(&kid).ok().map(Arc::new));
            Held { kid, row, pair }
        });
        let ring = ring.collect();
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
        Ok(())
    }

    fn held(&self) -> Vec<Held> {
        self.ring
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// The stored ring, newest first.
fn load(read: &impl Read) -> Result<Vec<(String, SigningKey)>, ::store::Error> {
    let mut ring: Vec<_> = read.scan(SIGNING_KEYS.all())?.collect::<Result<_, _>>()?;
    ring.sort_by_key(|(_, key)| std::cmp::Reverse(key.published_at));
    Ok(ring)
}

/// Where a new key stands among those of `ring`.
fn succession(
    ring: &[(String, SigningKey)],
    rotation: Rotation,
    now: Time,
) -> Result<Succession, Error> {
    // A key that may be known to others is replaced whatever the number.
    let counting = ring.iter().filter(|(_, key)| key.counts(now)).count();
    let is_full = counting >= KEYS_MAX && rotation != Rotation::AtOnce;
    if let Some(until) = ring.iter().filter_map(|(_, key)| key.until).min()
        && is_full
    {
        return Err(Error::Service(format!(
            "{KEYS_MAX} keys are still in use; try again after {until}, when the oldest ends"
        )));
    }
    let earliest = ring
        .first()
        .map(|(_, newest)| newest.published_at.after(Duration::from_millis(1)));
    Ok(Succession {
        published_at: earliest.map_or(now, |earliest| earliest.max(now)),
        earlier_until: now.after(rotation.lead() + rotation.grace()),
    })
}

fn publish(
    tx: &mut ::store::Tx<'_>,
    log: &Log,
    ring: Vec<(String, SigningKey)>,
    published: KeyPublished,
    place: Succession,
    signs_from: Time,
) -> Result<(), Error> {
    let Succession { published_at, earlier_until } = place;
    for (kid, mut earlier) in ring {
        let until = earlier.until.unwrap_or(earlier_until);
        earlier.until = Some(until.min(earlier_until));
        tx.put(SIGNING_KEYS, &kid, &earlier)?;
    }
    let key = published.key.clone();
    let row = SigningKey { key, published_at, signs_from, until: None };
    tx.put(SIGNING_KEYS, &published.kid, &row)?;
    let draft = Draft {
        key: "keys".into(),
        fact: Fact::KeyPublished(published),
        at: published_at,
        by: None,
        trace: None,
    };
    log.append(tx, draft)?;
    Ok(())
}

/// Work on files, off the threads that answer requests.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Service(error.to_string()))?
}
