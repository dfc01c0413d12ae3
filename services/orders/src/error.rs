//! Why orders refuses, and what that means to a client.

use chassis::{FieldError, Problem};

use crate::domain::Refused;

/// Why an order was not placed, found or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// No such order, or not the caller's.
    #[error("no such order")]
    NotFound,
    /// The request cannot be done as it is.
    #[error("invalid: {} fields at fault", .0.len())]
    Invalid(Vec<FieldError>),
    /// The order does not allow it.
    #[error("{0}")]
    Refused(Refused),
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error.into(),
            Error::NotFound => Self::not_found(),
            Error::Invalid(faults) => Self::invalid(faults),
            Error::Refused(refused @ Refused::Forbidden { status, .. }) => {
                Self::conflict("order-state", refused.to_string()).member("order_status", status)
            }
            Error::Refused(refused @ Refused::MoreThanLeft { left }) => {
                Self::conflict("refund-too-large", refused.to_string()).member("left", left)
            }
        }
    }
}
