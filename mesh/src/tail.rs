//! The durable end of a log, kept in memory.
//!
//! **Invariant:** the events are consecutive and end with the mark, so a follower that is at
//! most a page behind needs no disk.

use std::collections::VecDeque;

use crate::protocol::{PAGE_BYTES_MAX, PAGE_EVENTS_MAX};
use crate::{Mark, Recorded};

/// The durable end of a log, with the newest events, a page at most, so that a
/// follower close to it needs no disk.
pub(crate) struct Tail {
    pub(crate) mark: Mark,
    recent: VecDeque<Recorded>,
    recent_bytes: usize,
}

impl Tail {
    /// The end of a log, without events.
    pub(crate) fn at(mark: Mark) -> Self {
        Self { mark, recent: VecDeque::new(), recent_bytes: 0 }
    }

    pub(crate) fn push(&mut self, recorded: Recorded) {
        self.mark = recorded.mark();
        self.recent_bytes += recorded.body.len();
        self.recent.push_back(recorded);
        while self.recent.len() > PAGE_EVENTS_MAX || self.recent_bytes > PAGE_BYTES_MAX {
            let Some(oldest) = self.recent.pop_front() else {
                return;
            };
            self.recent_bytes -= oldest.body.len();
        }
    }

    /// The events after place `after`, if they are all here.
    pub(crate) fn since(&self, after: u64) -> Option<impl Iterator<Item = &Recorded>> {
        let missing = self.mark.seq.saturating_sub(after);
        let missing = usize::try_from(missing).ok()?;
        let have = self.recent.len().checked_sub(missing)?;
        Some(self.recent.range(have..))
    }
}
