//! The status of a service, for admins: readiness, log, followers and own figures; its
//! events (`status/events.rs`), its dead letters (`status/dead_letters.rs`) and its metrics
//! (`status/collector.rs`). Its events can be followed (`status/stream.rs`). The control socket has status and events for the operator
//! (`status/control.rs`).
//!
//! Every service responds to `/v1/status` and `/v1/events…` for itself, and the gateway
//! merges the responses of all.
//!
//! **Invariant:** a status is computed at the moment of the request, and no event above
//! the log's durable tail is listed.

pub(crate) mod collector;
pub(crate) mod control;
mod dead_letters;
mod events;
mod hits;
mod stream;

pub use self::hits::CacheHits;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use api::routes;
use axum::extract::State;
use mesh::{FollowerState, Following, Log};
use model::Time;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::health::Health;
use crate::occupancy::Occupancy;
use crate::{Admin, Json, Problem, Routes, ServiceRoutes};

/// The dead letters of one follower that are counted.
const DEAD_LETTERS_MAX: usize = 1_000;

type Figure = Box<dyn Fn() -> Value + Send + Sync>;

/// The source of a service's status. Cheap to clone.
#[derive(Clone)]
pub struct ServiceStatus(Arc<Inner>);

struct Inner {
    service: &'static str,
    started_at: Time,
    started: Instant,
    log: Log,
    health: Health,
    data_dir: PathBuf,
    followings: Mutex<Vec<Following>>,
    figures: Mutex<Vec<(&'static str, Figure)>>,
    /// The open streams of events.
    streams: Occupancy<&'static str>,
    /// Cancelled when streams must end.
    draining: CancellationToken,
}

/// `GET /v1/status` of one service.
#[derive(Debug, Serialize)]
pub struct StatusBody {
    service: &'static str,
    version: &'static str,
    state: &'static str,
    missing: Vec<String>,
    warnings: Vec<String>,
    started_at: Time,
    uptime_seconds: u64,
    log: LogRange,
    followers: Vec<FollowerStatus>,
    parked: usize,
    store_bytes: u64,
    #[serde(flatten)]
    figures: Map<String, Value>,
}

#[derive(Debug, Serialize)]
struct LogRange {
    /// The first event that the log has, or will have.
    first: u64,
    tail: u64,
}

#[derive(Debug, Serialize)]
struct FollowerStatus {
    name: String,
    source: &'static str,
    state: &'static str,
    cursor: Option<u64>,
    tail: Option<u64>,
    lag: Option<u64>,
    parked: usize,
    why: Option<String>,
}

impl ServiceStatus {
    pub(crate) fn new(service: &'static str, log: Log, health: Health, data_dir: &Path) -> Self {
        Self(Arc::new(Inner {
            service,
            started_at: model::now(),
            started: Instant::now(),
            log,
            health,
            data_dir: data_dir.to_owned(),
            followings: Mutex::default(),
            figures: Mutex::default(),
            streams: Occupancy::default(),
            draining: CancellationToken::new(),
        }))
    }

    /// The token of the service that is cancelled to end streams.
    pub(crate) fn draining(&self) -> CancellationToken {
        self.0.draining.clone()
    }

    /// Adds a figure of the service's own to its status, under `name`.
    pub fn report(&self, name: &'static str, figure: impl Fn() -> Value + Send + Sync + 'static) {
        self.0.figures.lock().push((name, Box::new(figure)));
    }

    pub(crate) fn follows(&self, following: Following) {
        self.0.followings.lock().push(following);
    }

    /// The followers of this service.
    pub(crate) fn followings(&self) -> Vec<Following> {
        self.0.followings.lock().clone()
    }

    /// The service's own log.
    pub(crate) fn log(&self) -> &Log {
        &self.0.log
    }

    /// The current status. Blocks while it sums up the sizes of the store's files.
    ///
    /// # Errors
    /// When a follower's rows cannot be read.
    pub fn now(&self) -> Result<StatusBody, store::Error> {
        let inner = &*self.0;
        let followings = inner.followings.lock().clone();
        let followers: Vec<_> = followings.iter().map(follower).collect::<Result<_, _>>()?;
        let missing = inner.health.missing();
        let figures = inner.figures.lock();
        let figures = figures
            .iter()
            .map(|(name, figure)| ((*name).to_owned(), figure()));
        Ok(StatusBody {
            service: inner.service,
            version: env!("CARGO_PKG_VERSION"),
            state: if missing.is_empty() { "ready" } else { "not-ready" },
            missing,
            warnings: inner.health.warnings(),
            started_at: inner.started_at,
            uptime_seconds: inner.started.elapsed().as_secs(),
            log: LogRange {
                first: inner.log.beginning()?.seq + 1,
                tail: inner.log.tail().seq,
            },
            parked: followers.iter().map(|one| one.parked).sum(),
            followers,
            store_bytes: bytes_below(&inner.data_dir.join("store")),
            figures: figures.collect(),
        })
    }

    /// The routes of every service.
    pub(crate) fn routes(&self) -> ServiceRoutes {
        Routes::new()
            .on(&routes::GET_STATUS, status)
            .on(&routes::LIST_EVENTS, events::list)
            .on(&routes::STREAM_EVENTS, stream::open)
            .on(&routes::LIST_DEAD_LETTERS, dead_letters::list)
            .on(&routes::DISCARD_DEAD_LETTER, dead_letters::discard)
            .on(&routes::RETRY_DEAD_LETTER, dead_letters::retry)
            .with_state(self.clone())
    }
}

async fn status(
    State(status): State<ServiceStatus>,
    _: Admin,
) -> Result<Json<StatusBody>, Problem> {
    let body = crate::check::blocking(move || status.now()).await?;
    Ok(Json(body))
}

fn follower(following: &Following) -> Result<FollowerStatus, store::Error> {
    let (state, cursor, tail, why) = match following.state() {
        FollowerState::Waiting { cursor } => ("waiting", Some(cursor.seq), None, None),
        FollowerState::Following { cursor, tail } => {
            ("following", Some(cursor.seq), Some(tail.seq), None)
        }
        FollowerState::Stopped { why } => ("stopped", None, None, Some(why)),
    };
    let lag = tail
        .zip(cursor)
        .map(|(tail, cursor)| tail.saturating_sub(cursor));
    Ok(FollowerStatus {
        name: following.name().to_owned(),
        source: following.source(),
        state,
        cursor,
        tail,
        lag,
        parked: following.dead_letters(DEAD_LETTERS_MAX)?.len(),
        why,
    })
}

/// The size of all files in a folder, except in subfolders that cannot be read: an
/// approximate figure.
fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(seen) if seen.is_dir() => bytes_below(&entry.path()),
            Ok(seen) => seen.len(),
            Err(_) => 0,
        })
        .sum()
}
