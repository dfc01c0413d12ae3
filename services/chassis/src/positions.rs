//! Positions: where a service's log ends and how far the service follows others, on the
//! control socket. `konbini check` compares them across services, which none of them can do
//! alone, and `konbini accept-rollback` ends a disagreement.
//!
//! | route | response |
//! | --- | --- |
//! | `GET /control/positions` | [`Positions`] |
//! | `GET /control/log/{seq}` | the hash of an event, or `null` |
//! | `POST /control/accept-rollback` | the [`Position`] from which the log goes on |

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use data_encoding::HEXLOWER;
use mesh::{Following, Mark};
use serde::Serialize;

use crate::status::ServiceStatus;
use crate::{Json, Problem};

/// The most dead letters of a follower that are retried after a rollback was accepted.
const RETRIED_MAX: usize = 100_000;

/// A place in a log.
#[derive(Debug, Serialize)]
struct Position {
    seq: u64,
    /// The log's running hash there, hexadecimal.
    hash: String,
}

impl From<Mark> for Position {
    fn from(mark: Mark) -> Self {
        Self { seq: mark.seq, hash: HEXLOWER.encode(&mark.hash) }
    }
}

/// The positions of a service.
#[derive(Debug, Serialize)]
struct Positions {
    /// The durable end of its own log.
    log: Position,
    /// Where its log begins.
    beginning: Position,
    followers: Vec<FollowerPosition>,
}

#[derive(Debug, Serialize)]
struct FollowerPosition {
    /// Its name and its source, `main/orders`.
    follower: String,
    source: &'static str,
    #[serde(flatten)]
    cursor: Position,
}

/// The routes of the control socket.
pub(crate) fn router(status: ServiceStatus) -> Router {
    Router::new()
        .route("/control/positions", get(positions))
        .route("/control/log/{seq}", get(hash))
        .route("/control/accept-rollback", post(accept_rollback))
        .with_state(status)
}

async fn positions(State(status): State<ServiceStatus>) -> Result<Response, Problem> {
    let position = |following: &Following| {
        let source = following.source();
        let follower = format!("{}/{source}", following.name());
        let cursor = following.cursor()?.into();
        Ok::<_, store::Error>(FollowerPosition { follower, source, cursor })
    };
    let followers: Result<_, _> = status.followings().iter().map(position).collect();
    let log = status.log();
    let positions = Positions {
        log: log.tail().into(),
        beginning: log.beginning()?.into(),
        followers: followers?,
    };
    Ok(Json(positions).into_response())
}

async fn hash(
    State(status): State<ServiceStatus>,
    Path(seq): Path<u64>,
) -> Result<Response, Problem> {
    let hash = status.log().hash_of(seq)?;
    let hash = hash.map(|hash| HEXLOWER.encode(&hash));
    Ok(Json(hash).into_response())
}

/// Accepts that the log lost events. Dead letters about what was lost can be handled from
/// now on, so they are retried.
async fn accept_rollback(State(status): State<ServiceStatus>) -> Result<Response, Problem> {
    let end = status.log().accept_rollback(model::now()).await?;
    tracing::warn!(seq = end.seq, "the rollback of this log was accepted");
    for following in status.followings() {
        for letter in following.dead_letters(RETRIED_MAX)? {
            // One that is refused again stays a dead letter.
            let _ = following.retry(letter.recorded.seq).await;
        }
    }
    Ok(Json(Position::from(end)).into_response())
}
