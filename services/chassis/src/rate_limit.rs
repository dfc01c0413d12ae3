//! Rate limits by stored counters: bounded in number, expired by time, kept across restarts. Each
//! service has its own; what they count by is stored as its MAC.
//!
//! ```text
//! counters         counter              → count and times
//! counters_by_end  expiry, counter      → nothing
//! counters_kept    "all"                → number of counters
//! ```
//!
//! **Invariant:** each row of `counters` has exactly one row in `counters_by_end`, at
//! the time its rule expires it.

mod rule;

use std::time::Duration;

use model::Time;
use store::{Read, Table, Tx};

use self::rule::Counter;
pub use self::rule::Rule;

/// What is counted by: the MAC of an account, of a network, or of both.
pub type CounterKey = [u8; 16];

const COUNTERS: Table<CounterKey, Counter> = Table::new("counters");
const COUNTERS_BY_END: Table<(Time, CounterKey), ()> = Table::new("counters_by_end");
const COUNTERS_KEPT: Table<String, u64> = Table::new("counters_kept");

/// Most counters kept, some 100 bytes each. Beyond that the earliest to expire is dropped.
const COUNTERS_MAX: u64 = 100_000;

/// Counters expired with each new one, so that they are deleted faster than created.
const EXPIRED_AT_ONCE: usize = 8;

/// The time until the next attempt is allowed; zero if it is now.
///
/// # Errors
/// When the store cannot be read.
pub fn wait(
    read: &impl Read,
    key: &CounterKey,
    rule: Rule,
    now: Time,
) -> Result<Duration, store::Error> {
    let counter = read.get(COUNTERS, key)?;
    Ok(counter.map_or(Duration::ZERO, |counter| rule.wait(counter, now)))
}

/// Adds one to a counter.
///
/// # Errors
/// When the store cannot be read.
pub fn count(tx: &mut Tx<'_>, key: &CounterKey, rule: Rule, now: Time) -> Result<(), store::Error> {
    let before = tx.get(COUNTERS, key)?;
    let after = rule.counted(before, now);
    match before {
        Some(before) => tx.delete(COUNTERS_BY_END, &(rule.ends(before), *key))?,
        None => {
            let kept = expire(tx, now)?;
            set_kept(tx, kept + 1)?;
        }
    }
    tx.put(COUNTERS, key, &after)?;
    tx.put(COUNTERS_BY_END, &(rule.ends(after), *key), &())
}

/// Deletes a counter.
///
/// # Errors
/// When the store cannot be read.
pub fn clear(tx: &mut Tx<'_>, key: &CounterKey, rule: Rule) -> Result<(), store::Error> {
    let Some(counter) = tx.get(COUNTERS, key)? else {
        return Ok(());
    };
    drop_row(tx, rule.ends(counter), key)?;
    let kept = kept(tx)?;
    set_kept(tx, kept.saturating_sub(1))
}

/// Deletes expired counters, or the earliest to expire where there are too many. Returns
/// how many are left.
fn expire(tx: &mut Tx<'_>, now: Time) -> Result<u64, store::Error> {
    let mut kept = kept(tx)?;
    let earliest = tx.scan(COUNTERS_BY_END.all())?.take(EXPIRED_AT_ONCE);
    let earliest = earliest.collect::<Result<Vec<_>, _>>()?;
    for ((end, key), ()) in earliest {
        if end > now && kept < COUNTERS_MAX {
            break;
        }
        drop_row(tx, end, &key)?;
        kept = kept.saturating_sub(1);
    }
    Ok(kept)
}

fn drop_row(tx: &mut Tx<'_>, end: Time, key: &CounterKey) -> Result<(), store::Error> {
    tx.delete(COUNTERS_BY_END, &(end, *key))?;
    tx.delete(COUNTERS, key)
}

fn kept(read: &impl Read) -> Result<u64, store::Error> {
    Ok(read.get(COUNTERS_KEPT, &"all".to_owned())?.unwrap_or(0))
}

fn set_kept(tx: &mut Tx<'_>, kept: u64) -> Result<(), store::Error> {
    tx.put(COUNTERS_KEPT, &"all".to_owned(), &kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{Error, Options, Store};

    const HOUR: Duration = Duration::from_secs(3600);
    const CLAIMS: Rule = Rule::Window { most: 100, span: HOUR };
    const BACKOFF: Rule = Rule::Backoff {
        free: 5,
        first: Duration::from_secs(1),
        longest: Duration::from_secs(900),
        forgotten_after: HOUR.saturating_mul(24),
    };

    #[tokio::test]
    async fn counters_expire() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Options::default()).unwrap();
        let counted = store.write(|tx| {
            let start = Time(1_000_000);
            for place in 0..20u8 {
                count(tx, &[place; 16], CLAIMS, start)?;
                count(tx, &[place; 16], CLAIMS, start)?;
            }
            clear(tx, &[0; 16], CLAIMS)?;
            assert_eq!(kept(tx)?, 19);
            let later = start.after(Duration::from_secs(3600));
            // Each new counter deletes several expired ones.
            for place in 20..23u8 {
                count(tx, &[place; 16], BACKOFF, later)?;
            }
            assert_eq!(kept(tx)?, 3);
            let rows = tx.scan(COUNTERS.all())?.count();
            let ends = tx.scan(COUNTERS_BY_END.all())?.count();
            assert_eq!((rows, ends), (3, 3));

            set_kept(tx, COUNTERS_MAX)?;
            count(tx, &[30; 16], CLAIMS, later)?;
            let rows = tx.scan(COUNTERS.all())?.count();
            assert_eq!(
                (rows, kept(tx)?),
                (3, COUNTERS_MAX),
                "one was dropped for it"
            );
            Ok::<_, Error>(())
        });
        counted.await.unwrap();
    }
}
