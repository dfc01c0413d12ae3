//! Answers under an `Idempotency-Key`.
//!
//! **Invariants:** a key belongs to one user, one path and one request; the first
//! outcome written under it wins; what is replayed was durable before.

use std::time::Duration;

use blake2::digest::consts::U16;
use blake2::{Blake2b, Digest};
use mesh::{Id, Time, kinds};
use serde::{Deserialize, Serialize};
use store::{Read, Table, Tx};

use crate::Error;
use crate::answer::{Answer, Kind};

/// (user, path, key) → what became of it.
const KEYS: Table<Scope, Record> = Table::new("idempotency");
/// (scope, part) → a part of the stored body, which may exceed one value.
const PARTS: Table<(Scope, u16), Part> = Table::new("idempotency_parts");
/// (when, scope) → nothing: the order in which keys expire.
const BY_TIME: Table<(Time, Scope), ()> = Table::new("idempotency_by_time");

/// How long a key is remembered.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Expired keys dropped with each new one: more than one, so they cannot pile up.
const EXPIRED_PER_WRITE: usize = 4;
/// A part of a body; with its name well inside a stored value.
const PART_BYTES: usize = 24 * 1024;

/// Whose key, for what.
pub(crate) type Scope = (Id<kinds::User>, String, String);

/// A hash of the request, to tell a repeat from a mistake.
pub(crate) type Fingerprint = [u8; 16];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    fingerprint: Fingerprint,
    outcome: Outcome,
}

impl store::Record for Record {}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// Its order is not settled and nobody was answered.
    Open { order_id: Id<kinds::Order> },
    /// 202 was answered: from then on the answer is the order as it is.
    Accepted { order_id: Id<kinds::Order> },
    /// Answered for good.
    Answered { kind: Kind, status: u16, parts: u16 },
}

#[derive(Debug, Serialize, Deserialize)]
struct Part {
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
}

impl store::Record for Part {}

/// What is known under a key.
#[derive(Debug)]
pub(crate) enum Known {
    /// The order is being settled.
    Open(Id<kinds::Order>),
    /// 202 was answered.
    Accepted(Id<kinds::Order>),
    /// The stored answer.
    Answered(Answer),
}

/// The fingerprint of a request, from its fields rather than its white space.
pub(crate) fn fingerprint(request: &impl Serialize) -> Fingerprint {
    let bytes = serde_json::to_vec(request).expect("plain structs of strings and numbers encode");
    Blake2b::<U16>::digest(bytes).into()
}

/// Looks a key up; `None` for a new one.
///
/// # Errors
/// [`Error::KeyReused`] when it belongs to another request.
pub(crate) fn look_up(
    from: &impl Read,
    scope: &Scope,
    fingerprint: &Fingerprint,
) -> Result<Option<Known>, Error> {
    let Some(record) = from.get(KEYS, scope)? else {
        return Ok(None);
    };
    if record.fingerprint != *fingerprint {
        return Err(Error::KeyReused);
    }
    Ok(Some(match record.outcome {
        Outcome::Open { order_id } => Known::Open(order_id),
        Outcome::Accepted { order_id } => Known::Accepted(order_id),
        Outcome::Answered { kind, status, .. } => {
            let mut body = Vec::new();
            for part in from.scan(PARTS.prefix(scope))? {
                body.extend(part?.1.bytes);
            }
            Known::Answered(Answer { kind, status, body })
        }
    }))
}

/// Binds a new key to the order placed under it.
pub(crate) fn open(
    tx: &mut Tx<'_>,
    scope: &Scope,
    fingerprint: Fingerprint,
    order_id: Id<kinds::Order>,
    now: Time,
) -> Result<(), store::Error> {
    begin(tx, scope, now)?;
    tx.put(
        KEYS,
        scope,
        &Record { fingerprint, outcome: Outcome::Open { order_id } },
    )
}

/// Keeps the answer to a request that placed nothing.
pub(crate) fn refuse(
    tx: &mut Tx<'_>,
    scope: &Scope,
    fingerprint: Fingerprint,
    answer: &Answer,
    now: Time,
) -> Result<(), store::Error> {
    begin(tx, scope, now)?;
    write(tx, scope, fingerprint, answer)
}

/// Keeps the answer of a settled order, unless one was given before.
pub(crate) fn settle(tx: &mut Tx<'_>, scope: &Scope, answer: &Answer) -> Result<(), store::Error> {
    match tx.get(KEYS, scope)? {
        Some(Record { fingerprint, outcome: Outcome::Open { .. } }) => {
            write(tx, scope, fingerprint, answer)
        }
        _ => Ok(()),
    }
}

/// Notes that 202 is answered, unless the order was settled meanwhile.
pub(crate) fn accept(tx: &mut Tx<'_>, scope: &Scope) -> Result<(), store::Error> {
    match tx.get(KEYS, scope)? {
        Some(Record { fingerprint, outcome: Outcome::Open { order_id } }) => {
            let outcome = Outcome::Accepted { order_id };
            tx.put(KEYS, scope, &Record { fingerprint, outcome })
        }
        _ => Ok(()),
    }
}

fn write(
    tx: &mut Tx<'_>,
    scope: &Scope,
    fingerprint: Fingerprint,
    answer: &Answer,
) -> Result<(), store::Error> {
    let mut parts = 0;
    for bytes in answer.body.chunks(PART_BYTES) {
        let part = Part { bytes: bytes.to_vec() };
        tx.put(PARTS, &(scope.clone(), parts), &part)?;
        parts += 1;
    }
    let outcome = Outcome::Answered { kind: answer.kind, status: answer.status, parts };
    tx.put(KEYS, scope, &Record { fingerprint, outcome })
}

/// Notes when the key expires, and drops a few that have.
fn begin(tx: &mut Tx<'_>, scope: &Scope, now: Time) -> Result<(), store::Error> {
    tx.put(BY_TIME, &(now, scope.clone()), &())?;
    let oldest = tx.scan(BY_TIME.all())?.take(EXPIRED_PER_WRITE);
    let expired: Vec<_> = oldest
        .filter(|row| !matches!(row, Ok(((at, _), ())) if now.since(*at) < KEPT))
        .collect::<Result<_, _>>()?;
    for ((at, scope), ()) in expired {
        forget(tx, &scope)?;
        tx.delete(BY_TIME, &(at, scope))?;
    }
    Ok(())
}

fn forget(tx: &mut Tx<'_>, scope: &Scope) -> Result<(), store::Error> {
    if let Some(Record { outcome: Outcome::Answered { parts, .. }, .. }) = tx.get(KEYS, scope)? {
        for part in 0..parts {
            tx.delete(PARTS, &(scope.clone(), part))?;
        }
    }
    tx.delete(KEYS, scope)
}
