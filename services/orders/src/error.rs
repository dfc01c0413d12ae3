//! Why orders refuses, and what that means to a client.

use chassis::{FieldError, Problem};

/// Why an order was not placed or found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// No such order, or not the caller's.
    #[error("no such order")]
    NotFound,
    /// The request cannot become an order.
    #[error("invalid order")]
    Invalid(Vec<FieldError>),
    /// The key was used for another request before.
    #[error("the key was used for another request")]
    KeyReused,
    /// A request with the same key is being handled.
    #[error("a request with the same key is being handled")]
    InFlight,
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error.into(),
            Error::NotFound => Self::not_found(),
            Error::Invalid(faults) => Self::invalid(faults),
            Error::KeyReused => Self::new(
                axum::http::StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-key-reused",
                "This Idempotency-Key belongs to another request",
                "it was sent before with another body; use a new key for a new request",
            ),
            Error::InFlight => Self::conflict(
                "idempotency-key-in-flight",
                "a request with this Idempotency-Key is being handled; ask again in a moment",
            ),
        }
    }
}
