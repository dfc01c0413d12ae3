//! The rows of `Idempotency-Key`s: the outcome under each, in daily partitions.

use std::time::Duration;

use axum::http::StatusCode;
use blake2::digest::consts::U16;
use blake2::{Blake2b, Digest};
use model::{Id, Time, kinds};
use serde::{Deserialize, Serialize};
use store::{Read, Record, Table, Tx};

use super::StoredResponse;
use crate::Problem;

/// (partition, scope) → the request's outcome.
const KEYS: Table<(u16, Scope), Bound> = Table::new("idempotency_keys");
/// (partition, scope, number) → a further part of a response larger than one value.
const PARTS: Table<(u16, Scope, u16), Part> = Table::new("idempotency_parts");

/// The retention of a key: a day, so that two partitions hold all valid ones.
const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);
const PARTITIONS: u16 = 3;
/// Expired keys deleted in one transaction.
const BATCH_MAX: usize = 64;
/// The size of a part; with its key well below the limit of a value.
const PART_BYTES_MAX: usize = 24 * 1024;

/// The holder, path and `Idempotency-Key` of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    /// An account, or what a guest holds, as the same bytes.
    pub(super) holder: Id<kinds::User>,
    pub(super) path: String,
    pub(super) key: String,
}

impl store::Key for Scope {
    fn write_to(&self, out: &mut Vec<u8>) {
        self.holder.write_to(out);
        self.path.write_to(out);
        self.key.write_to(out);
    }

    fn read_from(bytes: &mut &[u8]) -> Option<Self> {
        let (holder, path, key) = store::Key::read_from(bytes)?;
        Some(Self { holder, path, key })
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Bound {
    /// A hash of the request, which distinguishes a repeat from a reused key.
    #[serde(with = "serde_bytes")]
    fingerprint: [u8; 16],
    at: Time,
    outcome: Outcome,
}

impl Record for Bound {}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Answered { answer: StoredResponse, parts: u16 },
    Refers { to: String },
}

#[derive(Debug, Serialize, Deserialize)]
struct Part {
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
}

impl Record for Part {}

/// A key, bound to the request it was sent with.
#[derive(Debug, Clone)]
pub struct BoundKey {
    scope: Scope,
    fingerprint: [u8; 16],
    at: Time,
}

/// The outcome stored under a key.
#[derive(Debug, PartialEq, Eq)]
pub enum KnownOutcome {
    /// A decided response.
    Response(StoredResponse),
    /// The service's reference to the row that its response is made from.
    Reference(String),
}

impl BoundKey {
    /// The key of this scope, for the request with this body.
    pub(super) fn new(scope: Scope, body: &[u8], at: Time) -> Self {
        Self { scope, fingerprint: Blake2b::<U16>::digest(body).into(), at }
    }

    /// The outcome of an earlier request under this key; `None` for a new one. All
    /// partitions are searched, because clocks step back.
    ///
    /// # Errors
    /// 422 when the key belongs to another request.
    pub fn look_up(&self, from: &impl Read) -> Result<Option<KnownOutcome>, Problem> {
        for partition in 0..PARTITIONS {
            let place = (partition, self.scope.clone());
            let Some(bound) = from
                .get(KEYS, &place)?
                .filter(|bound| !bound.is_expired(self.at))
            else {
                continue;
            };
            if bound.fingerprint != self.fingerprint {
                return Err(Problem::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "idempotency-key-reused",
                    "This Idempotency-Key belongs to another request",
                    "the key was sent before with another body; use a new key for a new request",
                ));
            }
            return Ok(Some(match bound.outcome {
                Outcome::Refers { to } => KnownOutcome::Reference(to),
                Outcome::Answered { mut answer, parts } => {
                    for part in 0..parts {
                        let part = from.get(PARTS, &(partition, self.scope.clone(), part))?;
                        answer
                            .body
                            .extend(part.map(|part| part.bytes).unwrap_or_default());
                    }
                    KnownOutcome::Response(answer)
                }
            }));
        }
        Ok(None)
    }

    /// Stores a response under a new key.
    ///
    /// # Errors
    /// As every write of the transaction.
    pub fn keep(&self, tx: &mut Tx<'_>, answer: &StoredResponse) -> Result<(), store::Error> {
        let mut chunks = answer.body.chunks(PART_BYTES_MAX);
        let body = chunks.next().unwrap_or_default().to_vec();
        let mut parts = 0;
        for bytes in chunks {
            let place = (self.partition(), self.scope.clone(), parts);
            tx.put(PARTS, &place, &Part { bytes: bytes.to_vec() })?;
            parts += 1;
        }
        let answer = StoredResponse {
            status: answer.status,
            location: answer.location.clone(),
            body,
        };
        self.bind(tx, Outcome::Answered { answer, parts })
    }

    /// Stores a reference under a new key.
    ///
    /// # Errors
    /// As every write of the transaction.
    pub fn refer(&self, tx: &mut Tx<'_>, to: String) -> Result<(), store::Error> {
        self.bind(tx, Outcome::Refers { to })
    }

    fn bind(&self, tx: &mut Tx<'_>, outcome: Outcome) -> Result<(), store::Error> {
        let bound = Bound { fingerprint: self.fingerprint, at: self.at, outcome };
        tx.put(KEYS, &(self.partition(), self.scope.clone()), &bound)
    }

    fn partition(&self) -> u16 {
        partition_of(self.at)
    }
}

impl Bound {
    fn is_expired(&self, now: Time) -> bool {
        now.since(self.at) >= RETENTION
    }
}

fn partition_of(at: Time) -> u16 {
    let day =
        Duration::from_millis(u64::try_from(at.0).unwrap_or(0)).as_secs() / RETENTION.as_secs();
    u16::try_from(day % u64::from(PARTITIONS)).unwrap_or(0)
}

/// Deletes a batch of the partition that is written next, where all keys have expired.
/// Returns whether there may be more.
pub(crate) fn delete_expired(tx: &mut Tx<'_>, now: Time) -> Result<bool, store::Error> {
    let partition = (partition_of(now) + 1) % PARTITIONS;
    let some = tx.scan(KEYS.prefix(&partition))?.take(BATCH_MAX);
    let mut some: Vec<_> = some.collect::<Result<_, _>>()?;
    some.retain(|(_, bound)| bound.is_expired(now));
    let more = some.len() == BATCH_MAX;
    for (place, bound) in some {
        if let Outcome::Answered { parts, .. } = bound.outcome {
            for part in 0..parts {
                tx.delete(PARTS, &(partition, place.1.clone(), part))?;
            }
        }
        tx.delete(KEYS, &place)?;
    }
    Ok(more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idempotency::{IdempotencyGuard, Reply};
    use store::Store;

    fn key(name: &str, body: &str, at: Time) -> BoundKey {
        let holder = "user_01h455vb4pex5vsknk084sn02q".parse().unwrap();
        let scope = Scope { holder, path: "/v1/orders".into(), key: name.into() };
        BoundKey::new(scope, body.as_bytes(), at)
    }

    fn guard(key: &BoundKey) -> IdempotencyGuard {
        IdempotencyGuard {
            key: Some(key.clone()),
            request_id: "r1".into(),
            _place: None,
        }
    }

    async fn respond(store: &Store, key: &BoundKey, text: &str) -> Reply {
        let text = text.to_owned();
        let guard = guard(key);
        let reply = guard.once(store, move |_| {
            Ok(StoredResponse::new(StatusCode::OK, &text))
        });
        reply.await.unwrap()
    }

    /// The bytes that every later version must replay.
    #[test]
    fn golden_bytes() {
        let answer = StoredResponse { status: 200, location: None, body: b"{}".to_vec() };
        let bound = Bound {
            fingerprint: [7; 16],
            at: Time(1),
            outcome: Outcome::Answered { answer, parts: 0 },
        };
        let mut golden = b"\x01\x83\xabfingerprint\xc4\x10".to_vec();
        golden.extend([7; 16]);
        golden.extend(b"\xa2at\x01\xa7outcome\x81\xa8answered\x82\xa6answer\x83\xa6status\xcc\xc8");
        golden.extend(b"\xa8location\xc0\xa4body\xc4\x02{}\xa5parts\x00");
        assert_eq!(store::encode(&bound).unwrap(), golden);
    }

    #[tokio::test]
    async fn a_key_has_one_outcome_for_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &store::Options::default()).unwrap();
        let long = "x".repeat(100_000);
        let first = key("k", "a", Time(1_000));
        assert!(!respond(&store, &first, &long).await.replayed);
        let again = respond(&store, &key("k", "a", Time(86_400_999)), "other").await;
        assert!(again.replayed);
        assert_eq!(again.answer, StoredResponse::new(StatusCode::OK, &long));
        // A clock that steps back over midnight still finds it.
        assert!(
            respond(&store, &key("k", "a", Time(-5)), "other")
                .await
                .replayed
        );
        let mistaken = key("k", "b", Time(2_000)).look_up(&store).unwrap_err();
        assert_eq!(mistaken.status(), 422);
        let over = respond(&store, &key("k", "b", Time(86_401_000)), "new").await;
        assert!(!over.replayed);

        // A decided refusal is kept and takes its writes back; another is not kept.
        for (name, status, kept) in [
            ("c", StatusCode::CONFLICT, true),
            ("u", StatusCode::SERVICE_UNAVAILABLE, false),
        ] {
            let key = key(name, "a", Time(0));
            let refuse = move |tx: &mut Tx<'_>| {
                const ROWS: Table<u64, u64> = Table::new("rows");
                tx.put(ROWS, &1, &1)?;
                Err(Problem::new(status, "no", "No", "no"))
            };
            let reply = guard(&key).once(&store, refuse).await;
            assert_eq!(
                (reply.is_ok(), key.look_up(&store).unwrap().is_some()),
                (kept, kept)
            );
        }
        const ROWS: Table<u64, u64> = Table::new("rows");
        assert_eq!(store.get(ROWS, &1).unwrap(), None);
    }

    /// Days of keys leave two days of rows.
    #[tokio::test]
    async fn expired_partitions_are_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &store::Options::default()).unwrap();
        let day = i64::try_from(RETENTION.as_millis()).unwrap();
        for number in 0..600_i64 {
            let now = Time(number * day / 100);
            while store
                .write(move |tx| delete_expired(tx, now))
                .await
                .unwrap()
            {}
            let key = key(&number.to_string(), "a", now);
            respond(
                &store,
                &key,
                &"x".repeat(usize::try_from(number % 3).unwrap() * 15_000),
            )
            .await;
        }
        let rows = store.scan(KEYS.all()).unwrap().count();
        let parts = store.scan(PARTS.all()).unwrap().count();
        assert_eq!((rows, parts), (200, 67));
    }
}
