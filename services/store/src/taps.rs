//! Taps: copies of the records that the writer journals, for snapshots.
//!
//! **Invariants:** a tap receives every record that is journalled after it was added, in
//! order, or ends. The writer never waits for a tap: one whose records are not taken ends.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most records, and KiB of them, that wait for the reader of a tap: some seconds of
/// many writes. A reader that is slower than the writer for longer begins anew.
const WAITING_RECORDS_MAX: usize = 16 * 1024;
const WAITING_KIB_MAX: u32 = 16 * 1024;

/// A record of the journal.
pub(crate) struct TappedRecord {
    pub(crate) number: u64,
    /// As [`rows`](crate::rows) encodes them.
    pub(crate) rows: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

struct Tap {
    records: flume::Sender<TappedRecord>,
    room: Arc<Semaphore>,
}

/// The taps of a store, and how far its journal is.
pub(crate) struct Taps(Mutex<State>);

struct State {
    /// The number of the last record whose rows readers may see.
    visible: u64,
    /// The number of the last durable record.
    durable: u64,
    taps: Vec<Tap>,
}

impl Taps {
    /// No taps yet, with a journal that ends at record `number`.
    pub(crate) fn new(number: u64) -> Self {
        Self(Mutex::new(State {
            visible: number,
            durable: number,
            taps: Vec::new(),
        }))
    }

    /// Adds a tap. Returns the number of the last record before it.
    pub(crate) fn add(&self) -> (u64, flume::Receiver<TappedRecord>) {
        let (records, receiver) = flume::bounded(WAITING_RECORDS_MAX);
        let room = Arc::new(Semaphore::new(WAITING_KIB_MAX as usize));
        let mut state = self.0.lock();
        state.taps.push(Tap { records, room });
        (state.durable, receiver)
    }

    /// The number of the last record whose rows readers may see.
    pub(crate) fn visible(&self) -> u64 {
        self.0.lock().visible
    }

    /// The number of the last durable record.
    pub(crate) fn durable(&self) -> u64 {
        self.0.lock().durable
    }

    /// Notes that the rows of record `number` become visible.
    pub(crate) fn show(&self, number: u64) {
        self.0.lock().visible = number;
    }

    /// Gives a durable record to every tap.
    pub(crate) fn publish(&self, number: u64, rows: &[u8]) {
        let mut state = self.0.lock();
        state.visible = state.visible.max(number);
        state.durable = number;
        state.taps.retain(|tap| tap.publish(number, rows));
    }
}

impl Tap {
    /// Whether the record was taken; the tap ends if not.
    fn publish(&self, number: u64, rows: &[u8]) -> bool {
        let kib = u32::try_from(rows.len() / 1024 + 1).unwrap_or(u32::MAX);
        let Ok(room) = self.room.clone().try_acquire_many_owned(kib) else {
            return false;
        };
        let record = TappedRecord { number, rows: rows.to_vec(), _room: room };
        self.records.try_send(record).is_ok()
    }
}
