//! The protocol between a source and its followers: announcements, and queries for pages of
//! the log.
//!
//! Messages are MessagePack with field names. A page is one message, since Zenoh merges a
//! query's replies under one key.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

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
}

pub(crate) fn pack<T: Serialize>(message: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(message).expect("plain structs of numbers and bytes encode")
}

/// Returns `None` for an unknown format: a foreign publisher or a newer version.
pub(crate) fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    rmp_serde::from_slice(bytes).ok()
}
