//! Dead letters become news: events that a service could not apply, which wait for an operator.
//!
//! A service publishes that it has some, and notifications, which cannot follow itself, tells
//! staff of its own at once.
//!
//! **Invariant:** the last dead letter that was noted is stored in the transaction of what is
//! made of it, so each is news once, also across restarts.

use std::time::Duration;

use mesh::{Cause, DeadLetter, Draft, Following};
use model::{Fact, Time};
use store::{Read, Table, Tx};

use crate::Context;

/// source → the last of its dead letters that was noted.
const NOTED: Table<String, u64> = Table::new("parked_told");

/// How often dead letters are checked.
const CHECK_EVERY: Duration = Duration::from_secs(15);

/// Most dead letters of a source read at a time.
const READ_MAX: usize = 1_000;

/// Dead letters of one source since the last ones that were noted.
#[derive(Debug, Clone)]
pub struct NewDeadLetters {
    /// The service that published the events.
    pub source: &'static str,
    /// Sequence number of the first.
    pub seq: u64,
    /// How many there are.
    pub count: u64,
    /// When the last one was set aside.
    pub at: Time,
}

/// Publishes `event.parked` for new dead letters of these followers.
pub fn publish(ctx: &Context, followings: Vec<Following>) {
    let (log, service) = (ctx.log.clone(), ctx.name);
    watch(ctx, followings, move |tx, new| {
        let NewDeadLetters { source, seq, count, at } = new.clone();
        let (service, source) = (service.to_owned(), source.to_owned());
        let key = format!("{service}/{source}");
        let fact = Fact::EventParked { service, source, seq, count };
        let draft = Draft { key, fact, cause: Cause::own(at) };
        log.append(tx, draft).map(|_| ())
    });
}

/// Calls `note` for new dead letters of these followers, in a transaction, until the service
/// stops.
pub fn watch(
    ctx: &Context,
    followings: Vec<Following>,
    note: impl Fn(&mut Tx<'_>, &NewDeadLetters) -> Result<(), store::Error>
    + Clone
    + Send
    + Sync
    + 'static,
) {
    let store = ctx.store.clone();
    let checking = async move {
        loop {
            for following in &followings {
                let letters = match following.dead_letters(READ_MAX) {
                    Ok(letters) if letters.is_empty() => continue,
                    Ok(letters) => letters,
                    Err(error) => {
                        tracing::error!(%error, "dead letters cannot be read");
                        continue;
                    }
                };
                let (source, note) = (following.source(), note.clone());
                let noted = store.write_when_free(move |tx| match news(tx, source, &letters)? {
                    Some(new) => note(tx, &new),
                    None => Ok(()),
                });
                if let Err(error) = noted.await {
                    tracing::error!(%error, "new dead letters were not noted");
                }
            }
            tokio::time::sleep(CHECK_EVERY).await;
        }
    };
    ctx.tasks
        .spawn(ctx.stop.clone().run_until_cancelled_owned(checking));
}

/// The letters that are new, which are noted.
fn news(
    tx: &mut Tx<'_>,
    source: &'static str,
    letters: &[DeadLetter],
) -> Result<Option<NewDeadLetters>, store::Error> {
    let key = source.to_owned();
    let noted = tx.get(NOTED, &key)?.unwrap_or(0);
    let new: Vec<_> = letters
        .iter()
        .filter(|letter| letter.recorded.seq > noted)
        .collect();
    let (Some(first), Some(last)) = (new.first(), new.last()) else {
        return Ok(None);
    };
    tx.put(NOTED, &key, &last.recorded.seq)?;
    let (seq, at) = (first.recorded.seq, last.at);
    Ok(Some(NewDeadLetters {
        source,
        seq,
        count: new.len() as u64,
        at,
    }))
}
