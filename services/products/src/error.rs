//! The error of this service, and its mapping to problem documents.
//!
//! **Invariant:** an internal failure reaches the client without its details.

use chassis::fields::BodyFault;
use std::time::Duration;

use axum::http::StatusCode;
use chassis::{FieldError, Problem};

use crate::domain::{LevelFault, PIECES_MAX};

/// A failure or refusal of this service.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The service's own log does not read, or not so far back.
    #[error(transparent)]
    Log(#[from] mesh::LogError),
    /// The search index failed.
    #[error("the search index: {0}")]
    Index(#[from] search::Error),
    /// There is no such product, or none this caller may see.
    #[error("no such product")]
    NotFound,
    /// Another product has this SKU.
    #[error("the SKU `{0}` is taken")]
    SkuTaken(String),
    /// A malformed body.
    #[error("{0}")]
    Unreadable(String),
    /// Invalid fields.
    #[error("{0:?}")]
    Invalid(Vec<FieldError>),
    /// The stock level does not allow the change.
    #[error("{fault:?}: {on_hand} on hand, {reserved} reserved")]
    Level {
        fault: LevelFault,
        on_hand: i64,
        reserved: i64,
    },
    /// The client of an import sent nothing for this long.
    #[error("no data arrived for {} s", .0.as_secs())]
    Idle(Duration),
    /// A problem made by the chassis.
    #[error("{0:?}")]
    Refused(Problem),
}

impl From<BodyFault> for Error {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::Unreadable(why) => Self::Unreadable(why),
            BodyFault::Invalid(errors) => Self::Invalid(errors),
        }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error.into(),
            Error::Log(error) => error.into(),
            Error::Index(error) => Self::internal(error),
            Error::NotFound => Self::not_found(),
            Error::SkuTaken(sku) => Self::conflict(
                "sku-taken",
                format!("another product has the SKU `{sku}`; a SKU names one product"),
            ),
            Error::Unreadable(why) => Self::bad_request(why),
            Error::Invalid(errors) => Self::invalid(errors),
            Error::Level { fault: LevelFault::BelowReserved, on_hand, reserved } => Self::conflict(
                "below-reserved",
                format!("{on_hand} units are on hand and {reserved} of them are reserved for orders; at most {} can be removed", on_hand - reserved),
            )
            .member("on_hand", on_hand)
            .member("reserved", reserved),
            Error::Level { fault: LevelFault::TooMany, on_hand, .. } => {
                let detail = format!("{on_hand} units are on hand; the maximum is {PIECES_MAX}");
                Self::invalid(vec![FieldError::new("/delta", detail)])
            }
            Error::Idle(timeout) => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "import-idle",
                "The upload made no progress",
                format!("no data arrived for {} s; the lines before were imported, send the file again to import the rest", timeout.as_secs()),
            ),
            Error::Refused(problem) => problem,
        }
    }
}
