//! Live streams of inboxes: wake-ups, and feeds that read on without a gap.
//!
//! A feed subscribes to wake-ups before it reads the store, and a wake-up carries no data.
//! So an entry written between reading and waiting is found by the next read, and none is
//! delivered twice, since each read begins after the last delivered entry.
//!
//! **Invariant:** a user without a subscription has no wake-up, so memory is bounded by the
//! number of open streams.

use std::collections::VecDeque;

use ::store::Store;
use chassis::occupancy::{Full, Occupancy, Place};
use model::{SessionId, UserId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::domain::{Notification, NotificationId};
use crate::error::Error;
use crate::tables;

/// Most streams per account: its devices and open pages.
const STREAMS_PER_USER_MAX: usize = 16;

/// Most streams in all; each costs a connection and some KiB.
const STREAMS_MAX: usize = 4096;

/// Most entries a feed reads at a time.
const READ_MAX: usize = 100;

/// Wake-ups of all open streams, by user: a change wakes, and its value lists the sessions
/// that ended. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct WakeUps(Occupancy<UserId, watch::Sender<Vec<SessionId>>>);

impl WakeUps {
    /// Whether anybody waits for what happens to `user`.
    pub(crate) fn are_awaited(&self, user: UserId) -> bool {
        self.0.get(&user, |_| ()).is_some()
    }

    /// Wakes the streams of `user`.
    pub(crate) fn wake(&self, user: UserId) {
        self.0.get(&user, |ended| ended.send_modify(|_| ()));
    }

    /// Ends the streams of one session of `user`.
    pub(crate) fn end(&self, user: UserId, session: SessionId) {
        let end = |ended: &mut Vec<_>| ended.push(session);
        self.0.get(&user, |ended| ended.send_modify(end));
    }

    /// Subscribes to the wake-ups of `user`, until `session` ends.
    ///
    /// # Errors
    /// When the account or the service has too many streams.
    pub(crate) fn subscribe(
        &self,
        user: UserId,
        session: SessionId,
    ) -> Result<InboxSubscription, Error> {
        let place = self.0.enter(user, STREAMS_PER_USER_MAX, STREAMS_MAX);
        let place = place.map_err(|full| match full {
            Full::Key => Error::StreamsOfAccount(STREAMS_PER_USER_MAX),
            Full::Total => Error::AllStreams,
        })?;
        let ended = place.with(watch::Sender::subscribe);
        Ok(InboxSubscription { session, ended, place })
    }
}

/// The subscription of one stream.
pub(crate) struct InboxSubscription {
    session: SessionId,
    ended: watch::Receiver<Vec<SessionId>>,
    place: Place<UserId, watch::Sender<Vec<SessionId>>>,
}

impl InboxSubscription {
    fn user(&self) -> UserId {
        *self.place.key()
    }

    fn has_ended(&self) -> bool {
        self.ended.borrow().contains(&self.session)
    }
}

/// One user's inbox from a position on.
pub(crate) struct Feed {
    store: Store,
    subscription: InboxSubscription,
    draining: CancellationToken,
    after: Option<NotificationId>,
    buffered: VecDeque<(NotificationId, Notification)>,
}

impl Feed {
    /// Opens a feed of the entries after `after`; without it, of new entries only.
    pub(crate) fn open(
        store: Store,
        subscription: InboxSubscription,
        draining: CancellationToken,
        after: Option<NotificationId>,
    ) -> Result<Self, Error> {
        let after = match after {
            Some(id) => Some(id),
            None => tables::tally(&store, subscription.user())?.newest,
        };
        let buffered = VecDeque::new();
        Ok(Self { store, subscription, draining, after, buffered })
    }

    /// Waits for the next entry; `None` when the session ends, the service drains or its
    /// store fails. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<(NotificationId, Notification)> {
        while !self.draining.is_cancelled() && !self.subscription.has_ended() {
            if let Some(entry) = self.buffered.pop_front() {
                self.after = Some(entry.0);
                return Some(entry);
            }
            let user = self.subscription.user();
            match tables::entries_after(&self.store, user, self.after, READ_MAX) {
                Ok(entries) => self.buffered = entries.into(),
                Err(error) => {
                    tracing::error!(%error, "a stream ended: the store cannot be read");
                    return None;
                }
            }
            if self.buffered.is_empty() {
                let woken = self.subscription.ended.changed();
                self.draining.run_until_cancelled(woken).await?.ok()?;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Id;

    #[test]
    fn wake_ups_are_bounded_and_end_with_the_last_subscription() {
        let wake_ups = WakeUps::default();
        let (user, session) = (Id::new(), Id::new());
        let subscriptions: Vec<_> = (1..STREAMS_PER_USER_MAX)
            .map(|_| wake_ups.subscribe(user, session).unwrap())
            .collect();
        let elsewhere = wake_ups.subscribe(user, Id::new()).unwrap();
        let refused = wake_ups.subscribe(user, session);
        assert!(matches!(refused, Err(Error::StreamsOfAccount(_))));
        let other = wake_ups.subscribe(Id::new(), session).unwrap();
        wake_ups.end(user, session);
        assert!(subscriptions.iter().all(InboxSubscription::has_ended));
        assert!(!elsewhere.has_ended() && !other.has_ended());
        wake_ups.wake(user);
        assert!(wake_ups.are_awaited(user) && !wake_ups.are_awaited(Id::new()));
        assert!(subscriptions[0].ended.has_changed().unwrap());
        assert!(!other.ended.has_changed().unwrap());
        drop((subscriptions, elsewhere));
        assert!(wake_ups.0.get(&user, |_| ()).is_none());
        assert_eq!(wake_ups.0.total(), 1);
        let _again = wake_ups.subscribe(user, session).unwrap();
    }
}
