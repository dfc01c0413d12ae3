//! Stock movements under an `Idempotency-Key`.
//!
//! **Invariants:** a key belongs to one user and one product; the first decided
//! outcome under it, moved or refused, is written in the transaction that decided
//! and is what every repeat is told.

use std::time::Duration;

use ::store::{Read, Table, Tx};
use mesh::{Id, Time, kinds};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::domain::{Level, LevelFault, ProductId};

/// User and product, key → what became of it.
const KEYS: Table<Scope, Record> = Table::new("stock_keys");
/// When, scope → nothing: the order in which keys expire.
const BY_TIME: Table<(Time, Scope), ()> = Table::new("stock_keys_by_time");

/// How long a key is remembered.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Expired keys dropped with each new one: more than one, so they cannot pile up.
const EXPIRED_PER_WRITE: usize = 4;

/// Whose key, for what.
pub(crate) type Scope = (Id<kinds::User>, ProductId, String);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    delta: i64,
    reason: String,
    outcome: Outcome,
}

impl store::Record for Record {}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// The level after it.
    Moved(Level),
    /// The level that forbade it.
    BelowReserved(Level),
}

/// Moves stock once under a key; `true` when this is a repeat.
///
/// # Errors
/// [`Error::KeyReused`]; what `work` refused with, the first time or repeated.
pub(crate) fn once(
    tx: &mut Tx<'_>,
    scope: &Scope,
    (delta, reason): (i64, &str),
    now: Time,
    work: impl FnOnce(&mut Tx<'_>) -> Result<Level, Error>,
) -> Result<Result<(Level, bool), Error>, Error> {
    if let Some(record) = tx.get(KEYS, scope)? {
        if (record.delta, record.reason.as_str()) != (delta, reason) {
            return Err(Error::KeyReused);
        }
        return Ok(match record.outcome {
            Outcome::Moved(level) => Ok((level, true)),
            Outcome::BelowReserved(level) => Err(refusal(level)),
        });
    }
    let outcome = match tx.attempt(work) {
        Ok(level) => Outcome::Moved(level),
        Err(Error::Level { fault: LevelFault::BelowReserved, on_hand, reserved }) => {
            Outcome::BelowReserved(Level { on_hand, reserved, movements: 0 })
        }
        Err(undecided) => return Err(undecided),
    };
    expire(tx, now)?;
    tx.put(BY_TIME, &(now, scope.clone()), &())?;
    let record = Record { delta, reason: reason.to_owned(), outcome };
    tx.put(KEYS, scope, &record)?;
    Ok(match outcome {
        Outcome::Moved(level) => Ok((level, false)),
        Outcome::BelowReserved(level) => Err(refusal(level)),
    })
}

fn refusal(level: Level) -> Error {
    Error::Level {
        fault: LevelFault::BelowReserved,
        on_hand: level.on_hand,
        reserved: level.reserved,
    }
}

/// Drops a few keys that have expired.
fn expire(tx: &mut Tx<'_>, now: Time) -> Result<(), store::Error> {
    let oldest = tx.scan(BY_TIME.all())?.take(EXPIRED_PER_WRITE);
    let expired: Vec<_> = oldest
        .filter(|row| !matches!(row, Ok(((at, _), ())) if now.since(*at) < KEPT))
        .collect::<Result<_, _>>()?;
    for ((at, scope), ()) in expired {
        tx.delete(KEYS, &scope)?;
        tx.delete(BY_TIME, &(at, scope))?;
    }
    Ok(())
}
