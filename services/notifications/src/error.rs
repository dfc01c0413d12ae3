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
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] ::store::Error),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Self::not_found(),
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
