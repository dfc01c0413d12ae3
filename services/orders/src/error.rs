//! The errors of orders, and the problem document of each.
//!
//! Transactions and reads return [`Error`]; handlers return [`Problem`], into which `?`
//! converts it. A 409 or 422 is decided, so it is stored under the request's
//! `Idempotency-Key` and repeated; any other is not.

use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use chassis::{FieldError, Problem};
use model::{OrderId, PromotionId, TaxRateId};

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
    /// Another promotion has the code.
    #[error("{0} has this code")]
    CodeTaken(PromotionId),
    /// The place and the tax class have a rate.
    #[error("{0} is the rate of this place and tax class")]
    TaxRateTaken(TaxRateId),
    /// The shop has as many as it may have.
    #[error("there are {most} {noun}, the most of a shop; delete one of them")]
    TooManyTerms { noun: &'static str, most: u64 },
    /// Too many carts were made from one network.
    #[error("too many carts were made from this address")]
    CartsThrottled(Duration),
    /// Too many orders were placed with a guest's address.
    #[error("too many orders were placed with this e-mail address")]
    GuestThrottled(Duration),
    /// The shop keeps as many as it may, and none was idle for a day.
    #[error("the shop keeps as many carts as it can")]
    TooManyCarts,
    /// The cart was changed while it was ordered.
    #[error("the cart was changed meanwhile; read it and complete it again")]
    CartChanged,
    /// The cart became an order.
    #[error("the cart became {0}")]
    CartCompleted(OrderId),
    /// So many attempts by providers were made.
    #[error("{0} attempts were made to pay the order; ask the shop")]
    TooManyPayments(usize),
    /// The list of erasures could not be written.
    #[error("the list of erasures: {0}")]
    Erasures(#[source] std::io::Error),
    #[error("an order has no JSON: {0}")]
    Unwritable(serde_json::Error),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error.into(),
            Error::NotFound => Self::not_found(),
            Error::Invalid(faults) => Self::invalid(faults),
            Error::Unwritable(_) | Error::Erasures(_) => Self::internal(error),
            Error::CodeTaken(id) => {
                Self::conflict("code-taken", error.to_string()).member("promotion_id", id)
            }
            Error::TaxRateTaken(id) => {
                Self::conflict("tax-rate-taken", error.to_string()).member("tax_rate_id", id)
            }
            Error::TooManyPayments(_) => Self::conflict("too-many-payments", error.to_string()),
            Error::CartsThrottled(wait) | Error::GuestThrottled(wait) => {
                Self::too_many_attempts(&error.to_string(), wait)
            }
            Error::TooManyCarts => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too-many-carts",
                "No cart can be made now",
                "the shop keeps as many carts as it can, and all were used today; order without one, or try again later",
            )
            .header(RETRY_AFTER, "600"),
            Error::CartChanged => Self::conflict("cart-changed", error.to_string()),
            Error::CartCompleted(id) => {
                Self::conflict("cart-completed", error.to_string()).member("order_id", id)
            }
            Error::TooManyTerms { .. } => Self::conflict("too-many-terms", error.to_string()),
            Error::Transition(
                error @ (TransitionError::Forbidden { status, .. }
                | TransitionError::Uncorrectable { status }
                | TransitionError::NotUndoable { status }),
            ) => Self::conflict("order-state", error.to_string())
                .member("order_status", status.name()),
            Error::Transition(error @ TransitionError::RefundTooLarge { left }) => {
                Self::conflict("refund-too-large", error.to_string()).member("left", left)
            }
            Error::Transition(error @ TransitionError::BuyerErased) => {
                Self::conflict("buyer-erased", error.to_string())
            }
            Error::Transition(error @ TransitionError::HistoryFull) => {
                Self::conflict("history-full", error.to_string())
            }
        }
    }
}
