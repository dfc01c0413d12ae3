//! Inboxes as they grow: who waits for what, and reading on without a gap.
//!
//! A feed registers for the bell first and reads the store after; a bell says
//! only "look again". So whatever is told between reading and waiting is found by
//! the next look, and nothing is handed over twice, since each look begins after
//! the last entry handed over.
//!
//! **Invariant:** a user without a listener has no bell, so memory is bounded by
//! the streams that are open.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::store::Store;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::domain::{Notification, NotificationId, SessionId, UserId};
use crate::error::Error;
use crate::store;

/// How many streams one account may have: its devices and open pages.
const STREAMS_PER_USER_MAX: usize = 16;

/// How many streams are open at most; each costs a connection and some KiB.
const STREAMS_MAX: usize = 4096;

/// How many entries a feed reads at once.
const LOOK_ENTRIES_MAX: usize = 100;

/// Everybody who listens. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Bells(Arc<Mutex<HashMap<UserId, Bell>>>);

/// What is heard is only that something happened, and which of the listening
/// sessions have ended.
struct Bell {
    rung: watch::Sender<Vec<SessionId>>,
    listeners: usize,
}

impl Bells {
    /// Wakes the streams of `user`.
    pub(crate) fn ring(&self, user: UserId) {
        if let Some(bell) = self.lock().get(&user) {
            bell.rung.send_modify(|_| ());
        }
    }

    /// Ends the streams of one login of `user`.
    pub(crate) fn end(&self, user: UserId, session: SessionId) {
        if let Some(bell) = self.lock().get(&user) {
            bell.rung.send_modify(|ended| ended.push(session));
        }
    }

    /// Hears of everything told to `user` from now on, until `session` ends.
    ///
    /// # Errors
    /// When too many listen already.
    pub(crate) fn listen(&self, user: UserId, session: SessionId) -> Result<Listener, Error> {
        let mut bells = self.lock();
        if bells.values().map(|bell| bell.listeners).sum::<usize>() >= STREAMS_MAX {
            return Err(Error::StreamsOfAll);
        }
        let bell = bells
            .entry(user)
            .or_insert_with(|| Bell { rung: watch::Sender::new(Vec::new()), listeners: 0 });
        if bell.listeners >= STREAMS_PER_USER_MAX {
            return Err(Error::StreamsOfOne(bell.listeners));
        }
        bell.listeners += 1;
        let rung = bell.rung.subscribe();
        Ok(Listener { bells: self.clone(), user, session, rung })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, Bell>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One stream's ear.
pub(crate) struct Listener {
    bells: Bells,
    user: UserId,
    session: SessionId,
    rung: watch::Receiver<Vec<SessionId>>,
}

impl Listener {
    fn has_ended(&self) -> bool {
        self.rung.borrow().contains(&self.session)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut bells = self.bells.lock();
        if let Some(bell) = bells.get_mut(&self.user) {
            bell.listeners -= 1;
            if bell.listeners == 0 {
                bells.remove(&self.user);
            }
        }
    }
}

/// One user's inbox from a place on, for as long as someone reads it.
pub(crate) struct Feed {
    store: Store,
    listener: Listener,
    draining: CancellationToken,
    after: Option<NotificationId>,
    looked_up: VecDeque<(NotificationId, Notification)>,
}

impl Feed {
    /// Everything told after `after`; without it, everything told from now on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn open(
        store: Store,
        listener: Listener,
        draining: CancellationToken,
        after: Option<NotificationId>,
    ) -> Result<Self, Error> {
        let after = match after {
            Some(id) => Some(id),
            None => store::tally(&store, listener.user)?.newest,
        };
        Ok(Self { store, listener, draining, after, looked_up: VecDeque::new() })
    }

    /// The next entry, waiting for it if need be; `None` when the session ends, the
    /// service drains or its store fails. Giving up waiting loses nothing.
    pub(crate) async fn next(&mut self) -> Option<(NotificationId, Notification)> {
        while !self.draining.is_cancelled() && !self.listener.has_ended() {
            if let Some(entry) = self.looked_up.pop_front() {
                self.after = Some(entry.0);
                return Some(entry);
            }
            let user = self.listener.user;
            match store::told_after(&self.store, user, self.after, LOOK_ENTRIES_MAX) {
                Ok(entries) => self.looked_up = entries.into(),
                Err(error) => {
                    tracing::error!(%error, "a stream ended");
                    return None;
                }
            }
            if self.looked_up.is_empty() {
                let rung = self.listener.rung.changed();
                self.draining.run_until_cancelled(rung).await?.ok()?;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bells_are_bounded_and_go_with_their_last_listener() {
        let bells = Bells::default();
        let (user, session) = (UserId::new(), SessionId::new());
        let listeners: Vec<_> = (1..STREAMS_PER_USER_MAX)
            .map(|_| bells.listen(user, session).unwrap())
            .collect();
        let elsewhere = bells.listen(user, SessionId::new()).unwrap();
        let refused = bells.listen(user, session);
        assert!(matches!(refused, Err(Error::StreamsOfOne(_))));
        let other = bells.listen(UserId::new(), session).unwrap();
        bells.end(user, session);
        assert!(listeners.iter().all(Listener::has_ended));
        assert!(!elsewhere.has_ended() && !other.has_ended());
        bells.ring(user);
        assert!(listeners[0].rung.has_changed().unwrap());
        assert!(!other.rung.has_changed().unwrap());
        drop((listeners, elsewhere));
        assert!(!bells.lock().contains_key(&user));
        assert_eq!(bells.lock().len(), 1);
        let _again = bells.listen(user, session).unwrap();
    }
}
