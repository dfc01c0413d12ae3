//! A service's durable, gap-free log, written in the service's own transactions.
//!
//! **Invariants:** sequence numbers are consecutive, because the one
//! writer thread takes them inside the transaction that uses them; the first is 1 until
//! trimming moves the beginning. Nothing above
//! the durable tail is ever visible outside, because an unsynced event may
//! still be lost.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use store::{Read, Store, Table, Tx};

use crate::event::chain;
use crate::protocol::{PAGE_BYTES_MAX, PAGE_EVENTS_MAX, PageAnswer, StatePage};
use crate::retention::FollowerCursors;
use crate::tail::Tail;
use crate::{Event, Hash, LogError, Mark, Recorded, epochs, retention};
use model::{Fact, Time};

/// The table of events.
const LOG_TABLE: &str = "log";

/// seq → the event as it was recorded.
pub(crate) const LOG: Table<u64, Recorded> = Table::new(LOG_TABLE);
/// source → the head of its log. One row.
pub(crate) const HEAD: Table<String, Head> = Table::new("log_head");

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) epoch: u64,
    pub(crate) mark: Mark,
}

impl store::Record for Head {}

/// An event about to be appended.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What it is ordered by, usually the id of what changed.
    pub key: String,
    /// What happened.
    pub fact: Fact,
    /// Why it happened.
    pub cause: Cause,
}

/// The cause of a change, which its events and its records carry.
#[derive(Debug, Clone)]
pub struct Cause {
    /// The time of the change.
    pub at: Time,
    /// The id of the user who asked for it; `None` for the shop's own work.
    pub by: Option<String>,
    /// The id of the API key that they asked with, if it was one.
    pub via: Option<String>,
    /// The id of the request it came from.
    pub trace: Option<String>,
}

impl Cause {
    /// The cause of a change that no request led to.
    pub fn own(at: Time) -> Self {
        Self { at, by: None, via: None, trace: None }
    }
}

/// Reads a page of the present state of a log's service; at `None` the first.
type StateReader = dyn Fn(&Log, Option<&[u8]>) -> Result<StatePage, store::Error> + Send + Sync;

/// A service's own log. Cheap to clone.
#[derive(Clone)]
pub struct Log {
    pub(crate) store: Store,
    source: Arc<str>,
    /// The epoch of events appended from now on.
    epoch: Arc<AtomicU64>,
    tail: Arc<Mutex<Tail>>,
    pub(crate) cursors: Arc<FollowerCursors>,
    /// Given this log, since one of its own would keep the store open.
    pub(crate) state: Arc<OnceLock<Box<StateReader>>>,
}

impl Log {
    /// Opens the log in `store`, beginning its first epoch if it is new. `now`
    /// names the epoch, so two logs begun at different moments never agree.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn open(store: Store, source: &str, now: Time) -> Result<Self, store::Error> {
        let name = source.to_owned();
        let opened = store.write(move |tx| match tx.get(HEAD, &name)? {
            Some(head) => Ok::<_, store::Error>((head, epochs::after(head.epoch, now))),
            None => {
                let head = begin_epoch(tx, &name, None, epochs::after(0, now))?;
                Ok((head, head.epoch))
            }
        });
        let (head, epoch) = opened.await?;
        check_end(&store, source, head.mark)?;
        Ok(Self {
            store,
            source: source.into(),
            epoch: Arc::new(AtomicU64::new(epoch)),
            tail: Arc::new(Mutex::new(Tail::at(head.mark))),
            cursors: Arc::default(),
            state: Arc::default(),
        })
    }

    /// Begins a new epoch at the present head. A restored log must do this before
    /// it grows: followers at or before this point go on, others stop.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn fork(&self, now: Time) -> Result<(), store::Error> {
        self.begin(now, |_, _| Ok(())).await.map(|_| ())
    }

    /// As [`fork`](Self::fork), for a log whose newer events are gone for good: followers
    /// that are beyond a point where it began an epoch go back to that and on from there.
    /// Returns the present end.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn accept_rollback(&self, now: Time) -> Result<Mark, store::Error> {
        self.begin(now, epochs::accept).await
    }

    async fn begin(
        &self,
        now: Time,
        with: impl FnOnce(&mut Tx<'_>, &Mark) -> Result<(), store::Error> + Send + 'static,
    ) -> Result<Mark, store::Error> {
        let (source, epoch) = (self.source.to_string(), self.epoch.clone());
        let begun = self.store.write(move |tx| {
            let head = tx.get(HEAD, &source)?;
            let newest = head.map_or(0, |head| head.epoch);
            let own = epochs::after(newest, now);
            let head = begin_epoch(tx, &source, head, own)?;
            with(tx, &head.mark)?;
            epoch.store(own, Ordering::Relaxed);
            Ok::<_, store::Error>(head)
        });
        Ok(begun.await?.mark)
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
        let Draft { key, fact, cause: Cause { at, by, via, trace } } = draft;
        let own = self.epoch.load(Ordering::Relaxed);
        if head.epoch != own {
            head = begin_epoch(tx, &source, Some(head), own)?;
        }
        let seq = head.mark.seq + 1;
        let kind = fact.kind().to_owned();
        let fact = Some(fact);
        let epoch = head.epoch;
        let event = Event { source, epoch, seq, key, kind, at, trace, by, via, fact };
        let body = event.encode();
        let hash = chain(&head.mark.hash, &body);
        let recorded = Recorded { seq, body, hash };
        tx.put(LOG, &seq, &recorded)?;
        head.mark = recorded.mark();
        tx.put(HEAD, &self.source.to_string(), &head)?;
        let tail = self.tail.clone();
        tx.on_durable(move || {
            tail.lock().push(recorded);
        });
        Ok(seq)
    }

    /// Where the log durably ends.
    pub fn tail(&self) -> Mark {
        self.lock().mark
    }

    /// Where the log begins: the last event that was trimmed, and nothing while none was.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn beginning(&self) -> Result<Mark, store::Error> {
        retention::beginning(&self.store, &self.source)
    }

    /// Whether a mark is in this log's history and every event after it is in the log.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn has(&self, mark: &Mark) -> Result<bool, store::Error> {
        let (beginning, tail) = (self.beginning()?, self.tail());
        Ok(match mark.seq {
            seq if seq == beginning.seq => beginning == *mark,
            seq if seq == tail.seq => tail == *mark,
            seq if seq > tail.seq => false,
            seq => self.hash_of(seq)? == Some(mark.hash),
        })
    }

    /// Notes that a follower of this log, such as `orders/main`, has durably applied the
    /// events up to `seq`. Those of other services are noted as they ask.
    pub fn note_follower(&self, follower: &str, seq: u64) {
        self.cursors.note(follower, seq);
    }

    /// Returns as soon as the durable tail is beyond place `seq`, and all events of
    /// the batch that moved it are within the tail.
    pub async fn beyond(&self, seq: u64) {
        let mut batches = self.store.batches();
        loop {
            // First, so that none is missed between the look and the wait.
            batches.borrow_and_update();
            if self.tail().seq > seq {
                return;
            }
            if batches.changed().await.is_err() {
                // The store is closed: nothing will ever come.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Returns once everything that readers of the store see now is durable: they
    /// see a commit a moment before it is synced, and each that changes anything
    /// told has appended here.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn settled(&self) -> Result<(), store::Error> {
        let head = self.store.get(HEAD, &self.source.to_string())?;
        if let Some(before) = head.and_then(|head| head.mark.seq.checked_sub(1)) {
            self.beyond(before).await;
        }
        Ok(())
    }

    /// The epoch of events that are appended now.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// The service this is the log of.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Durable events after place `after`, a page at most.
    ///
    /// # Errors
    /// [`LogError::Trimmed`] if the first of them is gone; when the store cannot be read.
    pub fn read(&self, after: u64) -> Result<Vec<Recorded>, LogError> {
        if let Some(recent) = self.lock().since(after) {
            return Ok(recent.cloned().collect());
        }
        let mut events = Vec::new();
        let mut bytes = 0;
        for recorded in self.after(after)? {
            let recorded = recorded?;
            bytes += recorded.body.len();
            events.push(recorded);
            if events.len() >= PAGE_EVENTS_MAX || bytes >= PAGE_BYTES_MAX {
                break;
            }
        }
        Ok(events)
    }

    /// Durable events after place `seq`, oldest first and without a gap, read as the
    /// iterator advances.
    ///
    /// # Errors
    /// [`LogError::Trimmed`], also of an item, if an event was trimmed before it was read;
    /// when the store cannot be read.
    pub fn after(
        &self,
        seq: u64,
    ) -> Result<impl Iterator<Item = Result<Recorded, LogError>>, LogError> {
        let rows = self
            .store
            .scan(LOG.all().after(&seq).up_to(&self.tail().seq))?;
        let mut last = seq;
        Ok(rows.map(move |row| {
            let (seq, recorded) = row?;
            if seq != last + 1 {
                return Err(self.gap(last));
            }
            last = seq;
            Ok(recorded)
        }))
    }

    /// Why the event after place `last` is not in the log.
    fn gap(&self, last: u64) -> LogError {
        match self.beginning() {
            Ok(beginning) if beginning.seq > last => LogError::Trimmed { first: beginning.seq + 1 },
            Ok(_) => {
                let why = format!("event {} is missing", last + 1);
                store::Error::Corrupt { table: LOG_TABLE, why }.into()
            }
            Err(error) => error.into(),
        }
    }

    /// Durable events before place `seq`, newest first, read as the iterator advances.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn before(
        &self,
        seq: u64,
    ) -> Result<impl Iterator<Item = Result<Recorded, store::Error>>, store::Error> {
        let span = match self.tail().seq {
            tail if tail < seq => LOG.all().up_to(&tail),
            _ => LOG.all().before(&seq),
        };
        let rows = self.store.scan(span.newest_first())?;
        Ok(rows.map(|row| row.map(|(_, recorded)| recorded)))
    }

    /// The hash of an event, `None` if the log does not have it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn hash_of(&self, seq: u64) -> Result<Option<Hash>, store::Error> {
        Ok(self.store.get(LOG, &seq)?.map(|recorded| recorded.hash))
    }

    /// Answers a follower whose cursor is `after`, and which applied events of these epochs.
    pub(crate) fn page(
        &self,
        after: &Mark,
        known_epochs: &[u64],
    ) -> Result<PageAnswer, store::Error> {
        let tail = self.tail();
        let beginning = self.beginning()?;
        if after.seq < beginning.seq {
            return Ok(PageAnswer::Trimmed { beginning });
        }
        if !self.has(after)? {
            let fork = epochs::fork(&self.store, after, known_epochs)?;
            return Ok(PageAnswer::Diverged { tail, fork });
        }
        match self.read(after.seq) {
            Ok(events) => Ok(PageAnswer::Events { events, tail }),
            Err(LogError::Trimmed { .. }) => {
                Ok(PageAnswer::Trimmed { beginning: self.beginning()? })
            }
            Err(LogError::Store(error)) => Err(error),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock()
    }
}

/// Fails if the log's last event is not the one that its head names.
fn check_end(store: &Store, source: &str, head: Mark) -> Result<(), store::Error> {
    let last = store.scan(LOG.all().newest_first())?.next().transpose()?;
    let end = match last {
        Some((_, recorded)) => recorded.mark(),
        None => retention::beginning(store, source)?,
    };
    if end == head {
        return Ok(());
    }
    let why = format!(
        "the log of {source} ends at event {} and should at {}: events of it are missing",
        end.seq, head.seq
    );
    Err(store::Error::Damaged { file: store.dir().join("db"), why })
}

/// Begins an epoch at the head, or at nothing.
fn begin_epoch(
    tx: &mut Tx<'_>,
    source: &String,
    head: Option<Head>,
    epoch: u64,
) -> Result<Head, store::Error> {
    let mark = head.map(|head| head.mark).unwrap_or_default();
    epochs::begin(tx, epoch, head.map(|head| head.epoch), mark)?;
    let head = Head { epoch, mark };
    tx.put(HEAD, source, &head)?;
    Ok(head)
}
