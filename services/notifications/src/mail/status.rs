//! State of outbound mail: how much waits, and why the last attempt failed, for the status and
//! the warnings. Without these a mail server that takes nothing would show only when its
//! mails are given up.

use std::sync::Arc;
use std::time::Duration;

use ::store::Store;
use chassis::Context;
use model::Time;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::json;

use super::MAIL;
use super::smtp::SmtpFailure;

/// For how long every attempt has to fail until that is a warning: longer than greylisting and
/// a restart of the server take.
const WARNED_AFTER: Duration = Duration::from_secs(10 * 60);

/// The state since the start. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct MailState(Arc<Mutex<Attempts>>);

#[derive(Default, Clone, Serialize)]
struct Attempts {
    /// The first failure since the last mail that the server took.
    failing_since: Option<Time>,
    last_failure: Option<LastFailure>,
}

#[derive(Clone, Serialize)]
struct LastFailure {
    at: Time,
    why: String,
    /// The server's reply code, where there was one.
    code: Option<u16>,
}

impl MailState {
    /// Shows the state in the status, and warns of a server that takes no mail.
    pub(super) fn report(&self, ctx: &Context) {
        let (shown, store) = (self.clone(), ctx.store.clone());
        ctx.status.report("mail", move || {
            let attempts = shown.0.lock().clone();
            json!({
                "queued": queued(&store),
                "failing_since": attempts.failing_since,
                "last_failure": attempts.last_failure,
            })
        });
        let watched = self.clone();
        ctx.health.warn(move || watched.warning(model::now()));
    }

    /// Notes that the server took a mail.
    pub(super) fn note_sent(&self) {
        self.0.lock().failing_since = None;
    }

    /// Notes a failed attempt. A refused recipient is no trouble of the server.
    pub(super) fn note_failure(&self, failure: &SmtpFailure, at: Time) {
        let mut attempts = self.0.lock();
        if !failure.is_about_recipient() {
            attempts.failing_since.get_or_insert(at);
        }
        let (why, code) = (failure.why.clone(), failure.code);
        attempts.last_failure = Some(LastFailure { at, why, code });
    }

    fn warning(&self, now: Time) -> Option<String> {
        let attempts = self.0.lock();
        let since = attempts.failing_since?;
        let why = attempts.last_failure.as_ref().map(|failure| &*failure.why);
        let is_long = now.since(since) >= WARNED_AFTER;
        is_long.then(|| {
            format!(
                "no mail can be sent since {since}: {}",
                why.unwrap_or_default()
            )
        })
    }
}

/// The number of mails in the queue, as far as it is known.
fn queued(store: &Store) -> Option<u64> {
    store.row_count(MAIL).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::super::connection::Step;
    use super::super::smtp::Retry;
    use super::*;

    #[test]
    fn a_server_that_takes_nothing_is_a_warning_after_a_while() {
        let state = MailState::default();
        let failure = |step| SmtpFailure {
            step: Some(step),
            code: Some(535),
            retry: Retry::Later,
            why: "the server answered 535 to the login".into(),
        };
        let start = Time(1_000);
        let late = start.after(WARNED_AFTER);
        state.note_failure(&failure(Step::Recipient), start);
        assert_eq!(state.warning(late), None, "one recipient");
        state.note_failure(&failure(Step::Login), start);
        state.note_failure(&failure(Step::Login), late);
        assert_eq!(state.warning(Time(late.0 - 1)), None);
        let warning = state.warning(late).unwrap();
        assert!(warning.contains("535 to the login"), "{warning}");
        state.note_sent();
        assert_eq!(state.warning(late), None);
    }
}
