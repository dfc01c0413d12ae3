//! Errors of this service and the problem documents they become. **Invariant:** every variant
//! has one problem.

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use chassis::Problem;

/// Why a request was refused, or failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The caller's inbox has no such entry.
    #[error("no such notification in this inbox")]
    NotFound,
    /// The account has the maximum of open streams.
    #[error("this account has {0} streams open; close one of them")]
    StreamsOfAccount(usize),
    /// The service has the maximum of open streams.
    #[error("the maximum number of streams is open")]
    AllStreams,
    /// There is no such webhook, or no such message of it.
    #[error("no such webhook, or no such delivery of it")]
    NoWebhook,
    /// The shop has the maximum of webhooks.
    #[error("there are {0} webhooks, the maximum of a shop; delete one of them")]
    TooManyWebhooks(usize),
    /// The webhook is disabled.
    #[error("this webhook is disabled; enable it first")]
    WebhookDisabled,
    /// `If-Match` names an outdated version.
    #[error("the resource has changed in the meantime")]
    Precondition(Problem),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] ::store::Error),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound | Error::NoWebhook => Self::not_found(),
            Error::TooManyWebhooks(_) => Self::conflict("too-many-webhooks", error.to_string()),
            Error::WebhookDisabled => Self::conflict("webhook-disabled", error.to_string()),
            Error::Precondition(problem) => problem,
            Error::StreamsOfAccount(_) => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-streams",
                "Too many streams are open",
                error.to_string(),
            )
            .header(RETRY_AFTER, "15"),
            Error::AllStreams => Self::busy(),
            Error::Store(error) => error.into(),
        }
    }
}
