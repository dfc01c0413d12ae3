//! `/v1/products/{id}/stock`: levels, movements, adjustments, counts.
//!
//! **Invariant:** an adjustment is idempotent: repeated with its key, it is made once.

use axum::extract::{Extension, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chassis::idempotency::{IdempotentRequest, StoredResponse};
use chassis::json::PathId;
use chassis::request_id::RequestId;
use chassis::{FieldError, Json, Problem, Staff};
use model::{OrderId, kinds};
use serde::Deserialize;

use super::{CatalogueState, cause};
use crate::domain::PIECES_MAX;
use crate::tables::level;
use crate::wire::{
    MovementResponse, StockAdjustment, StockLevelResponse, StockResponse, StockSetting,
};
use crate::{Error, stock};

/// Movements in a response.
const MOVEMENTS_RETURNED: usize = 20;
const REASON_CHARS_MAX: usize = 200;
/// The orders in a response of the control socket.
const ORDERS_MAX: usize = 10_000;

pub(super) async fn levels(
    State(app): State<CatalogueState>,
    Staff(_): Staff,
    PathId(id): PathId<kinds::Product>,
) -> Result<Response, Problem> {
    let level = level(&app.store, id)?.ok_or(Error::NotFound)?;
    let movements = stock::movements(&app.store, id, MOVEMENTS_RETURNED)?;
    let movements = movements.into_iter().map(MovementResponse::from).collect();
    Ok(Json(StockResponse { level: level.into(), movements }).into_response())
}

#[derive(Deserialize)]
pub(super) struct After {
    after: Option<OrderId>,
}

/// `GET /control/reservations?after=ID`: the orders that have a reservation, at most
/// [`ORDERS_MAX`], the oldest first.
pub(super) async fn reservations(
    State(app): State<CatalogueState>,
    Query(After { after }): Query<After>,
) -> Result<Json<Vec<OrderId>>, Problem> {
    let orders = stock::orders_with_reservation(&app.store, after)?;
    Ok(Json(orders.take(ORDERS_MAX).collect::<Result<_, _>>()?))
}

/// The value of a required number and a reason, within their limits.
fn checked(
    (pointer, number): (&str, Option<i64>),
    is_within: impl FnOnce(i64) -> Result<(), String>,
    reason: Option<String>,
) -> Result<(i64, String), Error> {
    let mut faults = Vec::new();
    let number = number.ok_or_else(|| "is required".to_owned());
    let number = number.and_then(|number| is_within(number).map(|()| number));
    let reason = reason.unwrap_or_default();
    if reason.trim().is_empty() || reason.chars().count() > REASON_CHARS_MAX {
        let detail = format!("is required, 1..{REASON_CHARS_MAX} characters");
        faults.push(FieldError::new("/reason", detail));
    }
    match number {
        Ok(number) if faults.is_empty() => Ok((number, reason)),
        Ok(_) => Err(Error::Invalid(faults)),
        Err(detail) => {
            faults.insert(0, FieldError::new(pointer, detail));
            Err(Error::Invalid(faults))
        }
    }
}

impl StockAdjustment {
    /// The delta and the reason, within their limits.
    fn validate(self) -> Result<(i64, String), Error> {
        let is_within = |delta: i64| match delta.unsigned_abs() {
            0 => Err("must not be 0".into()),
            units if units <= PIECES_MAX.unsigned_abs() => Ok(()),
            _ => Err(format!("must be -{PIECES_MAX}..{PIECES_MAX}")),
        };
        checked(("/delta", self.delta), is_within, self.reason)
    }
}

impl StockSetting {
    /// The units on hand and the reason, within their limits.
    fn validate(self) -> Result<(i64, String), Error> {
        let is_within = |on_hand| match on_hand {
            0..=PIECES_MAX => Ok(()),
            _ => Err(format!("must be 0..{PIECES_MAX}")),
        };
        checked(("/on_hand", self.on_hand), is_within, self.reason)
    }
}

pub(super) async fn set(
    State(app): State<CatalogueState>,
    Staff(caller): Staff,
    Extension(request_id): Extension<RequestId>,
    PathId(id): PathId<kinds::Product>,
    Json(setting): Json<StockSetting>,
) -> Result<Json<StockLevelResponse>, Problem> {
    let (on_hand, reason) = setting.validate()?;
    let (effects, cause) = (app.effects.clone(), cause(&caller, request_id));
    let level = app
        .store
        .write(move |tx| stock::set_level(tx, &effects, &cause, id, on_hand, &reason));
    Ok(Json(level.await?.into()))
}

pub(super) async fn adjust(
    State(app): State<CatalogueState>,
    Staff(caller): Staff,
    Extension(request_id): Extension<RequestId>,
    PathId(id): PathId<kinds::Product>,
    request: IdempotentRequest,
    Json(adjustment): Json<StockAdjustment>,
) -> Result<Response, Problem> {
    let guard = request.begin(&caller, &(adjustment.delta, &adjustment.reason))?;
    let (delta, reason) = match adjustment.validate() {
        Ok(valid) => valid,
        Err(invalid) => return Ok(guard.refuse(&app.store, invalid).await?.into()),
    };
    let (effects, cause) = (app.effects.clone(), cause(&caller, request_id));
    let reply = guard.once(&app.store, move |tx| {
        let level = stock::adjust(tx, &effects, &cause, id, delta, &reason)?;
        Ok(StoredResponse::new(
            StatusCode::OK,
            &StockLevelResponse::from(level),
        ))
    });
    Ok(reply.await?.into())
}
