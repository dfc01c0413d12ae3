//! The status and the events of a service on its control socket, whose permissions stand in
//! for a token.
//!
//! | route | response |
//! | --- | --- |
//! | `GET /control/status` | [`StatusBody`](super::StatusBody) |
//! | `GET /control/tables` | the number of rows of each table at the last checkpoint |
//! | `GET /control/events?limit=&after=&kind=` | the newest events, newest first; with `after`, the next ones |
//! | `GET /control/events/follow?after=&since=&kind=` | one event per line, as they become durable, until one side closes |
//!
//! **Invariant:** a stream has every event after the place where it began, in order.

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::{StreamExt, TryStreamExt, stream};
use mesh::{Log, LogError};
use model::Time;
use serde::Deserialize;
use store::Store;
use tokio_util::sync::CancellationToken;

use super::ServiceStatus;
use super::events::{EventResponse, SCANNED_MAX, collect};
use crate::check::blocking;
use crate::{Context, Json, Problem};

/// The most events of one list.
const NEWEST_MAX: usize = 1_000;

#[derive(Clone)]
struct ControlState {
    status: ServiceStatus,
    store: Store,
    stop: CancellationToken,
}

/// The routes of the control socket; streams end when the service drains.
pub(crate) fn router(context: &Context) -> Router {
    let shared = ControlState {
        status: context.status.clone(),
        store: context.store.clone(),
        stop: context.draining.clone(),
    };
    Router::new()
        .route("/control/status", get(status_now))
        .route("/control/events", get(list))
        .route("/control/events/follow", get(follow))
        .route("/control/tables", get(tables))
        .with_state(shared)
}

async fn status_now(
    State(ControlState { status, .. }): State<ControlState>,
) -> Result<Response, Problem> {
    let body = blocking(move || status.now()).await?;
    Ok(Json(body).into_response())
}

async fn tables(State(ControlState { store, .. }): State<ControlState>) -> Response {
    Json(store.row_counts()).into_response()
}

#[derive(Deserialize)]
struct NewestQuery {
    limit: Option<usize>,
    after: Option<u64>,
    kind: Option<String>,
}

async fn list(
    State(ControlState { status, .. }): State<ControlState>,
    Query(NewestQuery { limit, after, kind }): Query<NewestQuery>,
) -> Result<Response, Problem> {
    let limit = limit.unwrap_or(NEWEST_MAX).min(NEWEST_MAX);
    let page = blocking(move || {
        let log = status.log();
        match after {
            Some(after) => collect(log.after(after)?, kind.as_deref(), limit),
            None => collect(log.before(u64::MAX)?, kind.as_deref(), limit),
        }
    });
    Ok(Json(page.await?).into_response())
}

#[derive(Deserialize)]
struct FollowQuery {
    after: Option<u64>,
    /// Milliseconds since 1970.
    since: Option<i64>,
    kind: Option<String>,
}

async fn follow(
    State(ControlState { status, stop, .. }): State<ControlState>,
    Query(FollowQuery { after, since, kind }): Query<FollowQuery>,
) -> Result<Response, Problem> {
    let log = status.log().clone();
    let tail = log.tail().seq;
    let after = match (after, since) {
        // A log that was put back may end before the place that a client knows.
        (Some(after), _) => after.min(tail),
        (None, Some(since)) => {
            let log = log.clone();
            blocking(move || last_until(&log, Time(since))).await?
        }
        (None, None) => tail,
    };
    // Events that were trimmed are left out, as those that are too many to show.
    let after = after.max(log.beginning()?.seq);
    let lines = stream::try_unfold((log, after), move |(log, after)| {
        let kind = kind.clone();
        async move {
            let (lines, after) = next_lines(&log, after, kind.as_deref()).await?;
            Ok::<_, LogError>(Some((lines, (log, after))))
        }
    });
    let lines = lines
        .inspect_err(|error| tracing::warn!(%error, "a stream of events ended early"))
        .take_until(stop.cancelled_owned())
        .boxed();
    Ok(Body::from_stream(lines).into_response())
}

/// The place of the last event that is not later than a moment, as far as events are read
/// for that.
fn last_until(log: &Log, moment: Time) -> Result<u64, store::Error> {
    let mut first = log.tail().seq + 1;
    for row in log.before(u64::MAX)?.take(SCANNED_MAX) {
        let recorded = row?;
        if EventResponse::new(&recorded)?.at <= moment {
            break;
        }
        first = recorded.seq;
    }
    Ok(first - 1)
}

/// Waits for events after a place, and returns one page of them as lines, with its last
/// place. The page has no lines if no event is of that kind.
async fn next_lines(log: &Log, after: u64, kind: Option<&str>) -> Result<(String, u64), LogError> {
    log.beyond(after).await;
    let reading = log.clone();
    let events = blocking(move || reading.read(after)).await?;
    let last = events.last().map_or(after, |last| last.seq);
    let mut lines = String::new();
    for recorded in &events {
        let event = EventResponse::new(recorded)?;
        if kind.is_none_or(|kind| kind == event.kind) {
            let line = serde_json::to_string(&event);
            let corrupt = |why: serde_json::Error| store::Error::Corrupt {
                table: "log",
                why: why.to_string(),
            };
            lines.push_str(&line.map_err(corrupt)?);
            lines.push('\n');
        }
    }
    Ok((lines, last))
}
