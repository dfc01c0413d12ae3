//! `/v1/products/{id}/stock`: levels, movements, adjustments.
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
use crate::wire::{MovementResponse, StockAdjustment, StockLevelResponse, StockResponse};
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

impl StockAdjustment {
    /// The delta and the reason, within their limits.
    fn validate(self) -> Result<(i64, String), Error> {
        let mut faults = Vec::new();
        let mut fault = |pointer: &str, detail: String| {
            faults.push(FieldError::new(pointer, detail));
        };
        match self.delta {
            None => fault("/delta", "is required".into()),
            Some(0) => fault("/delta", "must not be 0".into()),
            Some(delta) if !(-PIECES_MAX..=PIECES_MAX).contains(&delta) => {
                fault("/delta", format!("must be -{PIECES_MAX}..{PIECES_MAX}"));
            }
            Some(_) => {}
        }
        let reason = self.reason.unwrap_or_default();
        let chars = reason.chars().count();
        if reason.trim().is_empty() || chars > REASON_CHARS_MAX {
            fault(
                "/reason",
                format!("is required, 1..{REASON_CHARS_MAX} characters"),
            );
        }
        match self.delta {
            Some(delta) if faults.is_empty() => Ok((delta, reason)),
            _ => Err(Error::Invalid(faults)),
        }
    }
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
