//! Errors of this service and the problem documents they become. **Invariant:** every variant
//! has one problem.

use axum::http::StatusCode;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
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
    /// The account has the maximum of tickets.
    #[error("this account has {0} tickets that were not used; wait a minute")]
    TicketsOfAccount(usize),
    /// The ticket is unknown, used up or too old.
    #[error("wrong ticket")]
    WrongTicket,
    /// No mail with this id was given up.
    #[error("no such mail was given up")]
    NoMail,
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
            Error::NotFound | Error::NoMail | Error::NoWebhook => Self::not_found(),
            Error::TooManyWebhooks(_) => Self::conflict("too-many-webhooks", error.to_string()),
            Error::WebhookDisabled => Self::conflict("webhook-disabled", error.to_string()),
            Error::Precondition(problem) => problem,
            Error::WrongTicket => Self::new(
                StatusCode::UNAUTHORIZED,
                "wrong-ticket",
                "The ticket is not valid",
                "the ticket is wrong, was used before or is older than a minute; make another one with POST /v1/notifications/stream-ticket",
            )
            .header(WWW_AUTHENTICATE, "Bearer"),
            Error::TicketsOfAccount(_) | Error::StreamsOfAccount(_) => Self::new(
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
