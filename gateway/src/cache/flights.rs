//! Questions on their way to a service, so that many who ask the same at once ask
//! it once (RFC 9111 §4, "collapse requests").
//!
//! **Invariant:** whoever asks after something changed never waits for an answer
//! that was asked for before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::entry::Entry;
use super::versions::Version;

/// What became of a question.
#[derive(Clone)]
pub(super) enum Landing {
    /// An answer for everybody.
    Shared(Arc<Entry>),
    /// One that is nobody else's: everyone asks for themselves.
    Alone,
    /// Whoever asked went away: somebody else has to ask.
    Left,
}

struct Flight {
    since: Version,
    landing: watch::Receiver<Option<Landing>>,
}

/// One question for each key, at most as many as there are requests.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<Box<str>, Flight>>);

/// Whose turn it is to ask.
pub(super) enum Turn<'a> {
    /// One's own.
    Lead(Pilot<'a>),
    /// Somebody has asked.
    Wait(Passenger),
}

/// Whoever asks for all.
pub(super) struct Pilot<'a> {
    flights: &'a Flights,
    key: Box<str>,
    since: Version,
    landing: watch::Sender<Option<Landing>>,
}

/// Whoever waits.
pub(super) struct Passenger(watch::Receiver<Option<Landing>>);

impl Flights {
    /// Joins the question under `key`, if nothing changed since it was asked.
    pub(super) fn board(&self, key: &str, now: Version) -> Turn<'_> {
        let mut flights = self.lock();
        if let Some(flight) = flights.get(key)
            && flight.since == now
        {
            return Turn::Wait(Passenger(flight.landing.clone()));
        }
        let (sender, landing) = watch::channel(None);
        let key: Box<str> = key.into();
        flights.insert(key.clone(), Flight { since: now, landing });
        Turn::Lead(Pilot { flights: self, key, since: now, landing: sender })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Flight>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pilot<'_> {
    /// What it was asked under.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// When.
    pub(super) fn since(&self) -> Version {
        self.since
    }

    /// Tells everyone who waits.
    pub(super) fn land(self, landing: Landing) {
        self.landing.send_replace(Some(landing));
    }
}

impl Drop for Pilot<'_> {
    fn drop(&mut self) {
        let mut flights = self.flights.lock();
        // A newer question may have taken its place.
        if let Some(flight) = flights.get(&self.key)
            && flight.since == self.since
        {
            flights.remove(&self.key);
        }
    }
}

impl Passenger {
    /// Waits until it is known what became of it.
    pub(super) async fn landing(mut self) -> Landing {
        let landing = self.0.wait_for(Option::is_some).await;
        landing.map_or(Landing::Left, |landing| {
            landing.clone().unwrap_or(Landing::Left)
        })
    }
}
