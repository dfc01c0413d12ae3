//! The present state of accounts, which new followers take when the beginning of the log was
//! trimmed: the signing keys, the revocations that still count, who is staff, and who was
//! erased. Nobody keeps anything else of this log.
//!
//! Keys come first and in the order of their publication, since each ends the ones before.

use chassis::limits::{ACCESS_TOKEN_LIFE, CLOCK_LEEWAY};
use mesh::{Event, Log, StatePage};
use model::{Fact, Time, UserId};
use serde::{Deserialize, Serialize};
use store::{Error, Read, Record, Store};

use crate::keys;
use crate::tables::{ERASED, USERS};

/// The rows that are read for a page.
const PAGE_ROWS: usize = 256;

/// The place of a page: what it is about, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Place {
    Keys,
    /// Of the events before a number, newest first, the revocations that may still count.
    Revocations {
        before: u64,
    },
    /// The accounts after one.
    Staff {
        after: Option<UserId>,
    },
    /// The erased accounts after one.
    Erased {
        after: Option<UserId>,
    },
}

impl Record for Place {}

/// The page at `place`, at the time `now`.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn page(
    store: &Store,
    log: &Log,
    place: Option<&[u8]>,
    now: Time,
) -> Result<StatePage, Error> {
    let unreadable = |why| Error::Corrupt { table: "users", why };
    let place = match place {
        Some(place) => store::decode(place).map_err(unreadable)?,
        None => Place::Keys,
    };
    let (facts, next) = match place {
        Place::Keys => {
            let published = keys::publications(store)?.into_iter();
            let facts = published.map(|key| ("keys".to_owned(), Fact::KeyPublished(key)));
            (
                facts.collect(),
                Some(Place::Revocations { before: u64::MAX }),
            )
        }
        Place::Revocations { before } => revocations(log, before, now)?,
        Place::Staff { after } => staff(store, after)?,
        Place::Erased { after } => erased(store, after)?,
    };
    let next = next.map(|next| store::encode(&next)).transpose();
    Ok(StatePage { facts, next: next.map_err(unreadable)? })
}

type Facts = Vec<(String, Fact)>;

/// The revocations of tokens that may not have expired yet, as the log has them.
fn revocations(log: &Log, before: u64, now: Time) -> Result<(Facts, Option<Place>), Error> {
    let since = now.before(ACCESS_TOKEN_LIFE + CLOCK_LEEWAY * 2);
    let (mut facts, mut next) = (Facts::new(), Place::Staff { after: None });
    for (count, row) in log.before(before)?.enumerate() {
        let recorded = row?;
        if count == PAGE_ROWS {
            next = Place::Revocations { before: recorded.seq + 1 };
            break;
        }
        let Ok(event) = Event::decode(&recorded.body) else {
            continue;
        };
        if event.at < since {
            break;
        }
        if let Some(fact @ Fact::SessionRevoked { .. }) = event.fact {
            facts.push((event.key, fact));
        }
    }
    Ok((facts, Some(next)))
}

fn staff(store: &Store, after: Option<UserId>) -> Result<(Facts, Option<Place>), Error> {
    let span = match after {
        Some(after) => USERS.all().after(&after),
        None => USERS.all(),
    };
    let (mut facts, mut last, mut count) = (Facts::new(), after, 0);
    for row in store.scan(span)?.take(PAGE_ROWS) {
        let (user_id, user) = row?;
        (last, count) = (Some(user_id), count + 1);
        if user.is_active() && user.is_staff() {
            let fact = Fact::UserUpdated { user_id, changed: Vec::new(), staff: true };
            facts.push((user_id.to_string(), fact));
        }
    }
    let next = match count == PAGE_ROWS {
        true => Place::Staff { after: last },
        false => Place::Erased { after: None },
    };
    Ok((facts, Some(next)))
}

fn erased(store: &Store, after: Option<UserId>) -> Result<(Facts, Option<Place>), Error> {
    let span = match after {
        Some(after) => ERASED.all().after(&after),
        None => ERASED.all(),
    };
    let mut facts = Facts::new();
    let mut last = after;
    for row in store.scan(span)?.take(PAGE_ROWS) {
        let (user_id, _) = row?;
        last = Some(user_id);
        facts.push((user_id.to_string(), Fact::UserErased { user_id }));
    }
    let more = facts.len() == PAGE_ROWS;
    Ok((facts, more.then_some(Place::Erased { after: last })))
}
