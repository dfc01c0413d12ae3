//! The protocol between a source and its followers: announcements, and queries for pages of
//! the log, and of the present state.
//!
//! Messages are MessagePack with field names. A page is one message, since Zenoh merges a
//! query's replies under one key.

use model::Fact;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::{Mark, Recorded};

/// The most events of a page, which a follower applies in one transaction.
pub(crate) const PAGE_EVENTS_MAX: usize = 256;

/// The approximate size of a page, in bytes; far below the transport's message limit.
pub(crate) const PAGE_BYTES_MAX: usize = 512 * 1024;

/// An announcement of a source: events that just became durable, and the tail of its log.
/// Without events it shows a follower that it missed the last one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Announcement {
    pub(crate) events: Vec<Recorded>,
    pub(crate) tail: Mark,
}

/// A follower's query of a log.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PageQuestion {
    /// The follower's cursor.
    pub(crate) after: Mark,
    /// The epochs of the events applied, the newest first.
    #[serde(default)]
    pub(crate) epochs: Vec<u64>,
    /// The follower, such as `orders/main`, whose cursor holds trimming. One of an earlier
    /// version does not say.
    #[serde(default)]
    pub(crate) follower: Option<String>,
}

/// A source's reply. It is sent also without events: no reply means that the source is
/// absent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum PageAnswer {
    /// The events right after the cursor, and the tail.
    Events { events: Vec<Recorded>, tail: Mark },
    /// This log does not have the cursor's history: it was rolled back or replaced.
    Diverged {
        tail: Mark,
        /// The last event that both histories have, from which to go on, if an operator
        /// accepted the rollback.
        #[serde(default)]
        fork: Option<Mark>,
    },
    /// The events after the cursor were trimmed.
    Trimmed {
        /// The last of them: the log begins after it.
        beginning: Mark,
    },
}

/// A new follower's query of a source's present state.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StateQuestion {
    /// The place of the page; `None` for the first.
    pub(crate) place: Option<ByteBuf>,
}

/// A page of a source's present state.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StateAnswer {
    /// The log's end before the page was read.
    pub(crate) mark: Mark,
    /// The epoch of the event there.
    pub(crate) epoch: Option<u64>,
    /// Facts in the envelope of events.
    pub(crate) events: Vec<ByteBuf>,
    /// The place of the next page; `None` after the last.
    pub(crate) next: Option<ByteBuf>,
}

/// A page of a service's present state.
#[derive(Debug, Default)]
pub struct StatePage {
    /// The facts, each with the key that its events are ordered by. A message: 512 KiB at most.
    pub facts: Vec<(String, Fact)>,
    /// The place of the next page; `None` after the last.
    pub next: Option<Vec<u8>>,
}

pub(crate) fn pack<T: Serialize>(message: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(message).expect("plain structs of numbers and bytes encode")
}

/// Returns `None` for an unknown format: a foreign publisher or a newer version.
pub(crate) fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    rmp_serde::from_slice(bytes).ok()
}
