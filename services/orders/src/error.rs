//! The errors of orders, and the problem document of each.
//!
//! Transactions and reads return [`Error`]; handlers return [`Problem`], into which `?`
//! converts it. A 409 or 422 is decided, so it is stored under the request's
//! `Idempotency-Key` and repeated; any other is not.

use chassis::{FieldError, Problem};

use crate::domain::TransitionError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The store is busy, full or broken: 503, 507 or 500.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Absent, or another user's.
    #[error("no such order")]
    NotFound,
    #[error("invalid: {} fields at fault", .0.len())]
    Invalid(Vec<FieldError>),
    #[error(transparent)]
    Transition(#[from] TransitionError),
    #[error("an order has no JSON: {0}")]
    Unwritable(serde_json::Error),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error.into(),
            Error::NotFound => Self::not_found(),
            Error::Invalid(faults) => Self::invalid(faults),
            Error::Unwritable(_) => Self::internal(error),
            Error::Transition(
                error @ (TransitionError::Forbidden { status, .. }
                | TransitionError::Uncorrectable { status }),
            ) => Self::conflict("order-state", error.to_string())
                .member("order_status", status.name()),
            Error::Transition(error @ TransitionError::RefundTooLarge { left }) => {
                Self::conflict("refund-too-large", error.to_string()).member("left", left)
            }
            Error::Transition(error @ TransitionError::HistoryFull) => {
                Self::conflict("history-full", error.to_string())
            }
        }
    }
}
