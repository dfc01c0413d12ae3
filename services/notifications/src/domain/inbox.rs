//! The order of an inbox, and its retention. Pure.
//!
//! **Invariant:** ids of one inbox grow in the order of insertion, even when the clock steps
//! back between two of them, so a stream resumes exactly after the id it names.

use std::time::Duration;

use model::{Id, Time};
use uuid::Uuid;

use super::NotificationId;
use crate::config::InboxConfig;

/// Retention of an inbox.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    pub(crate) entries_max: u64,
    /// Counted from the event.
    pub(crate) age_max: Duration,
}

impl Retention {
    pub(crate) fn new(settings: &InboxConfig) -> Self {
        let days = u64::from(settings.days_max);
        Self {
            entries_max: settings.entries_max,
            age_max: Duration::from_secs(days * 24 * 60 * 60),
        }
    }

    /// How many entries more an inbox may hold until those beyond its bound are dropped, all at
    /// once.
    pub(crate) fn slack(&self) -> u64 {
        /// Half of what is dropped with one new entry at most.
        const SLACK_MAX: u64 = 64;
        (self.entries_max / 100).min(SLACK_MAX)
    }

    /// Whether the `place`-th oldest entry (from 0) of `held` is dropped.
    pub(crate) fn drops(&self, place: u64, held: u64, created_at: Time, now: Time) -> bool {
        place + self.entries_max < held || now.since(created_at) > self.age_max
    }
}

/// The id of the next entry: `fresh`, unless the clock stepped back behind `newest`.
pub(crate) fn next_id(fresh: NotificationId, newest: Option<NotificationId>) -> NotificationId {
    match newest {
        Some(newest) if fresh <= newest => {
            Id::from_uuid(Uuid::from_u128(newest.uuid().as_u128().saturating_add(1)))
        }
        _ => fresh,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_although_the_clock_steps_back() {
        let (early, late) = (Id::new(), Id::new());
        assert_eq!(next_id(late, None), late);
        assert_eq!(next_id(late, Some(early)), late);
        let next = next_id(early, Some(late));
        assert!(next > late);
        assert!(next_id(early, Some(next)) > next);
    }

    #[test]
    fn retention_by_count_and_age() {
        let keep = Retention { entries_max: 2, age_max: Duration::from_millis(10) };
        for (place, held, created_at, dropped) in [
            (0, 2, 100, false),
            (0, 3, 100, true),
            (1, 3, 100, false),
            (1, 4, 100, true),
            (0, 1, 90, false),
            (0, 1, 89, true),
            (0, 1, 200, false),
        ] {
            let drops = keep.drops(place, held, Time(created_at), Time(100));
            assert_eq!(drops, dropped, "{place} of {held}, at {created_at}");
        }
    }
}
