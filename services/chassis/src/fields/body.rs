//! Request bodies as extractors: 415 for another type, 413 when too large, 400 for malformed
//! JSON or unknown fields.
//!
//! **Invariant:** a value is used only if no field of its body is invalid. [`ParsedBody`]
//! refuses such a body itself; [`CheckedBody`] returns the value from
//! [`valid`](CheckedBody::valid) alone.

use axum::extract::{FromRequest, Request};
use serde::{Serialize, Serializer};

use super::{Fields, ReadFields};
use crate::json::{read_body, require_json};
use crate::{FieldError, Problem};

/// A valid JSON request body; 422 with a pointer to every invalid field.
#[derive(Debug, Clone, Copy)]
pub struct ParsedBody<T>(pub T);

impl<T: ReadFields, S: Send + Sync> FromRequest<S> for ParsedBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = CheckedBody::from_request(request, state).await?;
        body.valid().map(Self).map_err(Problem::invalid)
    }
}

/// A JSON request body with its faults, for a handler that refuses it: because the refusal
/// is stored under an `Idempotency-Key`, or because state that only the handler has makes
/// further fields invalid.
#[derive(Debug)]
pub struct CheckedBody<T> {
    /// What was read, for further checks; `None` if a field that it needs is at fault.
    pub value: Option<T>,
    /// Every invalid field.
    pub faults: Vec<FieldError>,
}

impl<T> CheckedBody<T> {
    /// Converts the value and keeps the faults.
    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> CheckedBody<U> {
        CheckedBody { value: self.value.map(convert), faults: self.faults }
    }

    /// The value of a body without faults.
    ///
    /// # Errors
    /// Every invalid field.
    pub fn valid(self) -> Result<T, Vec<FieldError>> {
        match self.value {
            Some(value) if self.faults.is_empty() => Ok(value),
            _ => Err(self.faults),
        }
    }
}

impl<T: ReadFields, S: Send + Sync> FromRequest<S> for CheckedBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let has_type = require_json(request.headers(), &["application/json"]);
        if !T::MAY_BE_ABSENT {
            has_type.clone()?;
        }
        let body = read_body(request).await?;
        if T::MAY_BE_ABSENT && body.is_empty() {
            return Ok(Fields::read_checked(b"{}")?);
        }
        has_type?;
        Ok(Fields::read_checked(&body)?)
    }
}

/// The text that a request is recognised by under its `Idempotency-Key`. A valid body is its
/// value; an invalid one has its faults too, so that only a request with the same faults is
/// answered by their refusal.
impl<T: Serialize> Serialize for CheckedBody<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.faults.is_empty() {
            return self.value.serialize(serializer);
        }
        (&self.value, &self.faults).serialize(serializer)
    }
}
