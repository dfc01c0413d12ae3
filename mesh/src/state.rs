//! Present state: what a new follower takes in place of events that were trimmed.
//!
//! A source tells its state as facts that it makes from its tables, page by page. They are no
//! events of the log, and come in no order. A follower without a cursor applies all of them,
//! and goes on from the log's end as it was before the first page was read: later events may
//! be in the state already, so a follower that takes a state applies such events again.
//!
//! **Invariant:** a page is sent only once everything in it is durable.

use model::{Fact, now};
use serde_bytes::ByteBuf;
use store::Read;

use crate::log::LOG;
use crate::protocol::{StateAnswer, StatePage};
use crate::{Event, Log};

impl Log {
    /// Sets how a page of this service's present state is read, the first one without a place.
    /// Until then a follower that needs it waits; the first call counts. What `read` captures
    /// must not have this log.
    pub fn set_state(
        &self,
        read: impl Fn(&Self, Option<&[u8]>) -> Result<StatePage, store::Error> + Send + Sync + 'static,
    ) {
        let _ = self.state.set(Box::new(read));
    }

    /// The page at a place; `None` while it is not known how to read it.
    pub(crate) async fn state_page(
        &self,
        place: Option<&[u8]>,
    ) -> Result<Option<StateAnswer>, store::Error> {
        let Some(read) = self.state.get() else {
            return Ok(None);
        };
        let mark = self.tail();
        let last = self.store.get(LOG, &mark.seq)?;
        let epoch = last.and_then(|last| Event::epoch_of(&last.body));
        let StatePage { facts, next } = read(self, place)?;
        self.settled().await?;
        let event = |(key, fact): (String, Fact)| Event {
            source: self.source().to_owned(),
            epoch: epoch.unwrap_or_default(),
            seq: mark.seq,
            key,
            kind: fact.kind().to_owned(),
            at: now(),
            trace: None,
            by: None,
            via: None,
            fact: Some(fact),
        };
        let events = facts
            .into_iter()
            .map(|fact| ByteBuf::from(event(fact).encode()));
        let next = next.map(ByteBuf::from);
        Ok(Some(StateAnswer {
            mark,
            epoch,
            events: events.collect(),
            next,
        }))
    }
}
