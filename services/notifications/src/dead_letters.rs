//! Tells staff of events that could not be handled here and wait for an operator.
//!
//! **Invariant:** how far was told is written with the telling, so each parked
//! event is told of once, also across restarts.

use std::time::Duration;

use ::store::{Error as StoreError, Read, Table, Tx};
use chassis::Context;
use mesh::{DeadLetter, Following};

use crate::domain::Topic;
use crate::tell::Teller;

/// source → the last of its parked events that staff were told of.
const TOLD: Table<String, u64> = Table::new("parked_told");

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// How many parked events of a source are looked at.
const LOOK_EVENTS_MAX: usize = 1_000;

/// Starts looking.
pub(crate) fn start(ctx: &Context, teller: Teller, followings: Vec<Following>) {
    let store = ctx.store.clone();
    let looking = async move {
        loop {
            for following in &followings {
                let parked = match following.dead_letters(LOOK_EVENTS_MAX) {
                    Ok(parked) if parked.is_empty() => continue,
                    Ok(parked) => parked,
                    Err(error) => {
                        tracing::error!(%error, "what is parked cannot be read");
                        continue;
                    }
                };
                let (source, teller) = (following.source(), teller.clone());
                let told = store.write_when_free(move |tx| tell(tx, &teller, source, &parked));
                if let Err(error) = told.await {
                    tracing::error!(%error, "staff were not told of parked events");
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    ctx.tasks
        .spawn(ctx.stop.clone().run_until_cancelled_owned(looking));
}

fn tell(
    tx: &mut Tx<'_>,
    teller: &Teller,
    source: &str,
    parked: &[DeadLetter],
) -> Result<(), StoreError> {
    let source = source.to_owned();
    let told = tx.get(TOLD, &source)?.unwrap_or(0);
    let new: Vec<_> = parked
        .iter()
        .filter(|letter| letter.recorded.seq > told)
        .collect();
    let (Some(first), Some(last)) = (new.first(), new.last()) else {
        return Ok(());
    };
    tx.put(TOLD, &source, &last.recorded.seq)?;
    let (seq, at) = (first.recorded.seq, last.at);
    let count = new.len() as u64;
    teller.tell_staff(tx, &Topic::EventParked { source, seq, count }, at)
}
