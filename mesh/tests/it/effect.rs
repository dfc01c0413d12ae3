//! The handler of the followers under fault injection.
//!
//! **Invariant:** effects are numbered by the follower in the order of application, so an
//! event that was applied twice, out of order or not at all shows in their list.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use mesh::store::{self, Read, Record, Store, Table, Tx};
use mesh::{Event, Refusal};
use model::Fact;
use serde::{Deserialize, Serialize};

/// The applied effects, in order.
const EFFECTS: Table<u64, Effect> = Table::new("effects");

/// One event in this many is refused at its first attempt.
const HESITATES_EVERY: i64 = 16;

/// The effect of an event: everything that identifies the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Effect {
    pub(crate) id: String,
    pub(crate) key: String,
    /// The number of the event among those of its key.
    pub(crate) counter: i64,
    /// The number of the event among all.
    pub(crate) number: i64,
}

impl Record for Effect {}

impl Effect {
    pub(crate) fn of(event: &Event) -> Self {
        let Some(Fact::StockAdjusted { on_hand, reserved, .. }) = event.fact else {
            panic!("{event:?} was never appended");
        };
        Self {
            id: event.id(),
            key: event.key.clone(),
            counter: on_hand,
            number: reserved,
        }
    }
}

/// The events that the handler has refused once.
#[derive(Clone, Default)]
pub(crate) struct Hesitation(Arc<Mutex<HashSet<String>>>);

/// The handler of a follower: records the event; refuses some events at the first attempt,
/// after it has already written.
pub(crate) fn apply(
    tx: &mut Tx<'_>,
    event: &Event,
    hesitation: &Hesitation,
) -> Result<(), Refusal> {
    let last = tx.scan(EFFECTS.all().newest_first())?.next().transpose()?;
    let place = last.map_or(0, |(place, _)| place) + 1;
    let effect = Effect::of(event);
    tx.put(EFFECTS, &place, &effect)?;
    let mut refused = hesitation.0.lock().unwrap_or_else(PoisonError::into_inner);
    if effect.number % HESITATES_EVERY == 0 && refused.insert(effect.id) {
        return Err(Refusal::Later(store::Error::Busy));
    }
    Ok(())
}

/// The applied effects, in order.
pub(crate) fn applied(store: &Store) -> Vec<Effect> {
    let rows = store.scan(EFFECTS.all()).expect("the store is readable");
    rows.map(|row| row.expect("an effect").1).collect()
}
