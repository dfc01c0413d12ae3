//! Notifies staff of dead letters: events this service could not handle, which wait for an
//! operator.
//!
//! **Invariant:** the last notified event is stored with the notification, so each dead
//! letter is notified once, also across restarts.

use std::time::Duration;

use ::store::{Error as StoreError, Read, Table, Tx};
use chassis::Context;
use mesh::{DeadLetter, Following};

use crate::domain::Topic;
use crate::notify::Notifier;

/// source → the last of its dead letters that staff were notified of.
const NOTIFIED: Table<String, u64> = Table::new("parked_told");

/// How often dead letters are checked.
const CHECK_EVERY: Duration = Duration::from_secs(15);

/// Most dead letters of a source read at a time.
const READ_MAX: usize = 1_000;

/// Starts the task that checks for dead letters.
pub(crate) fn start(ctx: &Context, notifier: Notifier, followings: Vec<Following>) {
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
                let (source, notifier) = (following.source(), notifier.clone());
                let notified =
                    store.write_when_free(move |tx| notify(tx, &notifier, source, &letters));
                if let Err(error) = notified.await {
                    tracing::error!(%error, "staff were not notified of dead letters");
                }
            }
            tokio::time::sleep(CHECK_EVERY).await;
        }
    };
    ctx.tasks
        .spawn(ctx.stop.clone().run_until_cancelled_owned(checking));
}

fn notify(
    tx: &mut Tx<'_>,
    notifier: &Notifier,
    source: &str,
    letters: &[DeadLetter],
) -> Result<(), StoreError> {
    let source = source.to_owned();
    let notified = tx.get(NOTIFIED, &source)?.unwrap_or(0);
    let new: Vec<_> = letters
        .iter()
        .filter(|letter| letter.recorded.seq > notified)
        .collect();
    let (Some(first), Some(last)) = (new.first(), new.last()) else {
        return Ok(());
    };
    tx.put(NOTIFIED, &source, &last.recorded.seq)?;
    let (seq, at) = (first.recorded.seq, last.at);
    let count = new.len() as u64;
    notifier.notify_staff(tx, &Topic::EventParked { source, seq, count }, at)
}
