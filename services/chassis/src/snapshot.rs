//! Snapshots of a running service, on the control socket. `konbini backup` takes those of all
//! services, and cuts them at one moment: it holds every follower, notes the last record of
//! each store, and releases them. No follower is then beyond the end of its source.
//!
//! | route | response |
//! | --- | --- |
//! | `GET /control/snapshot` | the frames of a [`Snapshot`](store::Snapshot), until the client closes |
//! | `POST /control/following/hold` | 204 once no follower applies anything |
//! | `POST /control/following/release` | [`Released`] |

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::{StreamExt, TryStreamExt, future, stream};
use mesh::{Following, Hold};
use parking_lot::Mutex;
use serde::Serialize;
use store::Store;
use tokio_util::sync::CancellationToken;

use crate::status::ServiceStatus;
use crate::{Context, Json, Problem};

/// What the routes share.
#[derive(Clone)]
struct Source {
    store: Store,
    status: ServiceStatus,
    holds: Arc<Mutex<Vec<Hold>>>,
    stop: CancellationToken,
}

/// The moment at which the followers were released.
#[derive(Debug, Serialize)]
struct Released {
    /// Whether they were held until then.
    held: bool,
    /// The number of the store's last durable record.
    record: u64,
    /// The number of the log's last durable event.
    log: u64,
}

/// The routes of the control socket.
pub(crate) fn router(context: &Context) -> Router {
    let source = Source {
        store: context.store.clone(),
        status: context.status.clone(),
        holds: Arc::default(),
        stop: context.draining.clone(),
    };
    Router::new()
        .route("/control/snapshot", get(snapshot))
        .route("/control/following/hold", post(hold))
        .route("/control/following/release", post(release))
        .with_state(source)
}

async fn snapshot(State(source): State<Source>) -> Response {
    let frames = stream::try_unfold(source.store.snapshot(), async |mut snapshot| {
        let frame = snapshot.next().await?;
        Ok::<_, store::Error>(Some((frame.into_bytes(), snapshot)))
    });
    let frames = frames
        .inspect_err(|error| tracing::warn!(%error, "a snapshot ended early"))
        .take_until(source.stop.cancelled_owned())
        .boxed();
    Body::from_stream(frames).into_response()
}

async fn hold(State(source): State<Source>) -> Result<StatusCode, Problem> {
    let followings = source.status.followings();
    let held = future::join_all(followings.iter().map(Following::hold)).await;
    let (held, count): (Vec<_>, _) = (held.into_iter().flatten().collect(), followings.len());
    if held.len() < count {
        return Err(Problem::busy().because("a follower is catching up"));
    }
    *source.holds.lock() = held;
    Ok(StatusCode::NO_CONTENT)
}

async fn release(State(source): State<Source>) -> Json<Released> {
    let holds = std::mem::take(&mut *source.holds.lock());
    let is_held = holds.len() == source.status.followings().len();
    // Before the release, so that no effect of a later event is counted.
    let (record, log) = (source.store.last_record(), source.status.log().tail().seq);
    let released = holds.into_iter().map(Hold::release);
    // Every one of them is released, whatever became of another.
    let held = released.fold(is_held, |held, one| held & one);
    Json(Released { held, record, log })
}
