//! A product's stock: levels, movements, corrections.

use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chassis::idempotency::{IdempotentRequest, StoredResponse};
use chassis::json::PathId;
use chassis::request_id::RequestId;
use chassis::{FieldError, Json, Problem, Staff};
use model::{Time, kinds};
use serde::{Deserialize, Serialize};

use super::{Products, cause};
use crate::domain::{Level, Movement, PIECES_MAX};
use crate::{Error, stock};

/// Movements shown with the levels.
const MOVEMENTS_SHOWN: usize = 20;
const REASON_CHARS_MAX: usize = 200;

#[derive(Serialize)]
struct Levels {
    on_hand: i64,
    reserved: i64,
    available: i64,
}

impl From<Level> for Levels {
    fn from(level: Level) -> Self {
        Self {
            on_hand: level.on_hand,
            reserved: level.reserved,
            available: level.available(),
        }
    }
}

#[derive(Serialize)]
struct LevelsAndMovements {
    #[serde(flatten)]
    levels: Levels,
    movements: Vec<MovementView>,
}

#[derive(Serialize)]
struct MovementView {
    at: Time,
    delta: i64,
    on_hand: i64,
    reason: String,
    by: Option<String>,
}

impl From<Movement> for MovementView {
    fn from(movement: Movement) -> Self {
        let Movement { at, delta, on_hand, reason, by } = movement;
        Self { at, delta, on_hand, reason, by }
    }
}

pub(super) async fn levels(
    State(app): State<Products>,
    Staff(_): Staff,
    PathId(id): PathId<kinds::Product>,
) -> Result<Response, Problem> {
    let level = stock::level(&app.store, id)?.ok_or(Error::NotFound)?;
    let movements = stock::movements(&app.store, id, MOVEMENTS_SHOWN)?;
    let movements = movements.into_iter().map(MovementView::from).collect();
    Ok(Json(LevelsAndMovements { levels: level.into(), movements }).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Correction {
    delta: Option<i64>,
    reason: Option<String>,
}

impl Correction {
    fn check(self) -> Result<(i64, String), Error> {
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
    State(app): State<Products>,
    Staff(caller): Staff,
    Extension(request_id): Extension<RequestId>,
    PathId(id): PathId<kinds::Product>,
    request: IdempotentRequest,
    Json(correction): Json<Correction>,
) -> Result<Response, Problem> {
    let guard = request.begin(&caller, &(correction.delta, &correction.reason))?;
    let (delta, reason) = match correction.check() {
        Ok(checked) => checked,
        Err(invalid) => return Ok(guard.refuse(&app.store, invalid).await?.into()),
    };
    let (effects, cause) = (app.effects.clone(), cause(&caller, request_id));
    let reply = guard.once(&app.store, move |tx| {
        let level = stock::move_pieces(tx, &effects, &cause, id, delta, &reason)?;
        Ok(StoredResponse::new(StatusCode::OK, &Levels::from(level)))
    });
    Ok(reply.await?.into())
}
