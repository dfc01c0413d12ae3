//! What travels between a source and its followers, packed as MessagePack: one
//! message a page, since a query's replies under one key are merged into one.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Hash, Recorded};

/// A page is at most this many events: what one follower transaction applies.
pub(crate) const PAGE_EVENTS_MAX: usize = 256;

/// And about this many bytes, far below the transport's message limit.
pub(crate) const PAGE_BYTES_MAX: usize = 512 * 1024;

/// A place in one particular history: a sequence number and the running hash up
/// to it. Two logs that show the same mark are the same up to there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mark {
    /// The last event's place; 0 before the first.
    pub seq: u64,
    /// The running hash, all zero before the first.
    pub hash: Hash,
}

impl store::Record for Mark {}

/// What a source publishes: events that just became durable, and where its log
/// ends. Without events it is the announcement that keeps a lost last one from
/// going unnoticed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Announcement {
    pub(crate) events: Vec<Recorded>,
    pub(crate) tail: Mark,
}

/// A follower's question to a log.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PageQuestion {
    /// The last event the asker has.
    pub(crate) after: Mark,
}

/// A source's answer. There always is one, if need be without events: silence
/// means that the source is not there.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum PageAnswer {
    /// The events right after the asker's mark, and where the log ends.
    Events { events: Vec<Recorded>, tail: Mark },
    /// This log never showed the asker's mark: it was rolled back or replaced.
    Diverged { tail: Mark },
}

pub(crate) fn pack<T: Serialize>(message: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(message).expect("plain structs of numbers and bytes encode")
}

/// `None` for what is no such message: a stranger's, or a newer version's.
pub(crate) fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    rmp_serde::from_slice(bytes).ok()
}
