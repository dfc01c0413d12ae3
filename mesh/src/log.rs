//! A service's durable, gap-free log, written in the service's own transactions.
//!
//! **Invariants:** sequence numbers are consecutive from 1, because the one
//! writer thread takes them inside the transaction that uses them; nothing above
//! the durable tail is ever shown to anyone outside, because what is not synced
//! may still be lost.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use store::{Read, Store, Table, Tx};
use tokio::sync::watch;

use crate::event::chain;
use crate::page::{PAGE_BYTES_MAX, PAGE_EVENTS_MAX, PageAnswer};
use crate::{Event, Fact, Mark, Recorded, Time};

/// seq → the event as it was recorded.
const LOG: Table<u64, Recorded> = Table::new("log");
/// source → where its log stands. One row, named for whoever looks.
const HEAD: Table<String, Head> = Table::new("log_head");
/// epoch → what it grew from. For people: a log's past is told from this table
/// when somebody asks why a follower stopped.
const EPOCHS: Table<u64, Origin> = Table::new("log_epochs");

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Head {
    epoch: u64,
    mark: Mark,
}

impl store::Record for Head {}

/// Where an epoch began: at nothing, or at a mark of the epoch before it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Origin {
    parent: Option<u64>,
    forked_at: Mark,
}

impl store::Record for Origin {}

/// An event about to be appended.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What it is ordered by, usually the id of what changed.
    pub key: String,
    /// What happened.
    pub fact: Fact,
    /// When.
    pub at: Time,
    /// Who caused it, if it was a user.
    pub by: Option<String>,
    /// The request it came from.
    pub trace: Option<String>,
}

/// A service's own log. Cheap to clone.
#[derive(Clone)]
pub struct Log {
    store: Store,
    source: Arc<str>,
    durable: watch::Sender<Mark>,
}

impl Log {
    /// Opens the log in `store`, beginning its first epoch if it is new. `now`
    /// names that epoch, so two logs begun at different moments never agree.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn open(store: Store, source: &str, now: Time) -> Result<Self, store::Error> {
        let name = source.to_owned();
        let head = store
            .write(move |tx| match tx.get(HEAD, &name)? {
                Some(head) => Ok::<_, store::Error>(head),
                None => begin_epoch(tx, &name, now, None),
            })
            .await?;
        Ok(Self {
            store,
            source: source.into(),
            durable: watch::Sender::new(head.mark),
        })
    }

    /// Begins a new epoch at the present head. A restored log must do this before
    /// it grows: followers at or before this point go on, others stop.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn fork(&self, now: Time) -> Result<(), store::Error> {
        let source = self.source.to_string();
        self.store
            .write(move |tx| {
                let head = tx.get(HEAD, &source)?;
                begin_epoch(tx, &source, now, head).map(|_| ())
            })
            .await
    }

    /// Appends an event in the caller's transaction and returns its place.
    ///
    /// # Errors
    /// When the store cannot be read, or the event is larger than a record may be.
    pub fn append(&self, tx: &mut Tx<'_>, draft: Draft) -> Result<u64, store::Error> {
        let source = self.source.to_string();
        let mut head = tx
            .get(HEAD, &source)?
            .ok_or_else(|| store::Error::Corrupt {
                table: "log_head",
                why: "the log was not opened".into(),
            })?;
        let Draft { key, fact, at, by, trace } = draft;
        let seq = head.mark.seq + 1;
        let kind = fact.kind().to_owned();
        let fact = Some(fact);
        let epoch = head.epoch;
        let body = Event { source, epoch, seq, key, kind, at, trace, by, fact }.encode();
        let hash = chain(&head.mark.hash, &body);
        let recorded = Recorded { seq, body, hash };
        tx.put(LOG, &seq, &recorded)?;
        head.mark = recorded.mark();
        tx.put(HEAD, &self.source.to_string(), &head)?;
        let durable = self.durable.clone();
        tx.on_durable(move || {
            durable.send_if_modified(|tail| {
                let newer = head.mark.seq > tail.seq;
                if newer {
                    *tail = head.mark;
                }
                newer
            });
        });
        Ok(seq)
    }

    /// Where the log durably ends.
    pub fn tail(&self) -> Mark {
        *self.durable.borrow()
    }

    /// Returns as soon as the durable tail is beyond place `seq`.
    pub async fn beyond(&self, seq: u64) {
        let mut tail = self.durable.subscribe();
        // The look at the tail ends here: whoever kept it would stop the writer.
        let _ = tail.wait_for(|tail| tail.seq > seq).await;
    }

    /// The service this is the log of.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Durable events after place `after`, a page at most.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn read(&self, after: u64) -> Result<Vec<Recorded>, store::Error> {
        let tail = self.tail();
        let mut events = Vec::new();
        let mut bytes = 0;
        for row in self.store.scan(LOG.all().after(&after).up_to(&tail.seq))? {
            let (_, recorded) = row?;
            bytes += recorded.body.len();
            events.push(recorded);
            if events.len() >= PAGE_EVENTS_MAX || bytes >= PAGE_BYTES_MAX {
                break;
            }
        }
        Ok(events)
    }

    /// Answers a follower that stands at `after`.
    pub(crate) fn page(&self, after: &Mark) -> Result<PageAnswer, store::Error> {
        let tail = self.tail();
        let known = match after.seq {
            0 => true,
            seq if seq > tail.seq => false,
            seq => self
                .store
                .get(LOG, &seq)?
                .is_some_and(|own| own.hash == after.hash),
        };
        if !known {
            return Ok(PageAnswer::Diverged { tail });
        }
        let events = self.read(after.seq)?;
        Ok(PageAnswer::Events { events, tail })
    }
}

fn begin_epoch(
    tx: &mut Tx<'_>,
    source: &String,
    now: Time,
    parent: Option<Head>,
) -> Result<Head, store::Error> {
    let mark = parent.map(|head| head.mark).unwrap_or_default();
    let parent = parent.map(|head| head.epoch);
    let started = u64::try_from(now.0).unwrap_or(0);
    // Clocks step back; epochs of one log never do.
    let epoch = parent.map_or(started, |parent| started.max(parent + 1));
    tx.put(EPOCHS, &epoch, &Origin { parent, forked_at: mark })?;
    let head = Head { epoch, mark };
    tx.put(HEAD, source, &head)?;
    Ok(head)
}
