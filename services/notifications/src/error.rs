//! Why an inbox refuses.

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use chassis::Problem;

/// Every refusal of this service.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No entry of that id in the caller's inbox.
    #[error("no such notification in this inbox")]
    NotFound,
    /// The caller has as many streams open as one account may.
    #[error("this account has {0} streams open; close one of them")]
    StreamsOfOne(usize),
    /// As many streams are open as this host carries.
    #[error("all streams are taken")]
    StreamsOfAll,
    /// No webhook of that id, or no such message of it.
    #[error("no such webhook, or no such delivery of it")]
    NoWebhook,
    /// There are as many webhooks as a shop may have.
    #[error("there are {0} webhooks, which is as many as a shop may have; delete one of them")]
    Webhooks(usize),
    /// It is not tried any more.
    #[error("this webhook is disabled; enable it first")]
    WebhookDisabled,
    /// It is another version that was to be changed.
    #[error("it has changed meanwhile")]
    Precondition(Problem),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] ::store::Error),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound | Error::NoWebhook => Self::not_found(),
            Error::Webhooks(_) => Self::conflict("too-many-webhooks", error.to_string()),
            Error::WebhookDisabled => Self::conflict("webhook-disabled", error.to_string()),
            Error::Precondition(problem) => problem,
            Error::StreamsOfOne(_) => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-streams",
                "Too many streams are open",
                error.to_string(),
            )
            .header(RETRY_AFTER, "15"),
            Error::StreamsOfAll => Self::busy(),
            Error::Store(error) => error.into(),
        }
    }
}
