//! The errors of orders, and the problem document of each.

use chassis::{FieldError, Problem};

use crate::domain::TransitionError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Absent, or another user's.
    #[error("no such order")]
    NotFound,
    #[error("invalid: {} fields at fault", .0.len())]
    Invalid(Vec<FieldError>),
    #[error(transparent)]
    Transition(#[from] TransitionError),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error.into(),
            Error::NotFound => Self::not_found(),
            Error::Invalid(faults) => Self::invalid(faults),
            Error::Transition(error @ TransitionError::Forbidden { status, .. }) => {
                Self::conflict("order-state", error.to_string())
                    .member("order_status", status.name())
            }
            Error::Transition(error @ TransitionError::RefundTooLarge { left }) => {
                Self::conflict("refund-too-large", error.to_string()).member("left", left)
            }
        }
    }
}
