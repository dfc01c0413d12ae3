//! State of outbound mail: how much waits, since when the server takes none, and why the last
//! attempt failed, for the status and the warnings. Without these a mail server that takes nothing
//! would show only when its mails are given up.

use std::sync::Arc;

use ::store::Store;
use chassis::Context;
use model::Time;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::json;

use super::MAIL;
use super::smtp::SmtpFailure;
use crate::incidents::{self, LASTS};

/// The mail server among incidents.
pub(super) const MAIL_SERVER: &str = "mail";

/// The state. Cheap to clone.
#[derive(Clone)]
pub(super) struct MailState {
    store: Store,
    /// Since the start of the service.
    last_failure: Arc<Mutex<Option<LastFailure>>>,
}

#[derive(Clone, Serialize)]
struct LastFailure {
    at: Time,
    why: String,
    /// The server's reply code, where there was one.
    code: Option<u16>,
}

impl MailState {
    pub(super) fn new(store: Store) -> Self {
        Self { store, last_failure: Arc::default() }
    }

    /// Shows the state in the status, and warns of a server that takes no mail.
    pub(super) fn report(&self, ctx: &Context) {
        let shown = self.clone();
        ctx.status.report("mail", move || {
            json!({
                "queued": queued(&shown.store),
                "failing_since": shown.failing_since(),
                "last_failure": *shown.last_failure.lock(),
            })
        });
        let watched = self.clone();
        ctx.health.warn(move || watched.warning(model::now()));
    }

    /// Notes a failed attempt.
    pub(super) fn note_failure(&self, failure: &SmtpFailure, at: Time) {
        let (why, code) = (failure.why.clone(), failure.code);
        *self.last_failure.lock() = Some(LastFailure { at, why, code });
    }

    /// The first failure since the server last took a mail, as far as it is known.
    fn failing_since(&self) -> Option<Time> {
        let since = incidents::since(&self.store, &MAIL_SERVER.to_owned());
        since.ok().flatten()
    }

    fn warning(&self, now: Time) -> Option<String> {
        let since = self.failing_since()?;
        if now.since(since) < LASTS {
            return None;
        }
        let last = self.last_failure.lock();
        let why = last.as_ref().map(|failure| format!(": {}", failure.why));
        let why = why.unwrap_or_default();
        Some(format!("no mail can be sent since {since}{why}"))
    }
}

/// The number of mails in the queue, as far as it is known.
fn queued(store: &Store) -> Option<u64> {
    store.row_count(MAIL).ok().flatten()
}

#[cfg(test)]
mod tests {
    use ::store::{Error, Options};

    use super::super::connection::Step;
    use super::super::smtp::Retry;
    use super::*;

    #[tokio::test]
    async fn a_server_that_takes_nothing_is_a_warning_after_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Options::default()).unwrap();
        let state = MailState::new(store.clone());
        let start = Time(1_000);
        let late = start.after(LASTS);
        assert_eq!(state.warning(late), None);
        for at in [start, late] {
            let noted = store
                .write(move |tx| incidents::failed(tx, &MAIL_SERVER.into(), LASTS, at).map(drop));
            let noted: Result<(), Error> = noted.await;
            noted.unwrap();
        }
        assert_eq!(state.warning(Time(late.0 - 1)), None);
        // The reason is in memory: after a restart it is unknown until the next attempt.
        let warning = state.warning(late).unwrap();
        assert!(warning.ends_with(&start.to_string()), "{warning}");
        let failure = SmtpFailure {
            step: Some(Step::Login),
            code: Some(535),
            retry: Retry::Later,
            why: "the server answered 535 to the login".into(),
        };
        state.note_failure(&failure, late);
        let warning = state.warning(late).unwrap();
        assert!(
            warning.ends_with(": the server answered 535 to the login"),
            "{warning}"
        );
        let noted = store.write(|tx| incidents::succeeded(tx, &MAIL_SERVER.into()).map(drop));
        let noted: Result<(), Error> = noted.await;
        noted.unwrap();
        assert_eq!(state.warning(late), None);
    }
}
