//! `GET /v1/events/stream`: the events of a service's log as they become durable.
//!
//! It begins with the place after which it goes on, as an id without an event, so that a client
//! which reconnects before the first event misses none.
//!
//! **Invariant:** a stream has every event after the place where it began, in order: it is
//! refused where events were trimmed, and ends where they are while it is open.

use std::collections::VecDeque;

use axum::Extension;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event as StreamEvent;
use mesh::{Log, LogError};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::ServiceStatus;
use super::events::{EventResponse, place};
use crate::caller::bearer;
use crate::check::blocking;
use crate::event_stream::{self, StreamSource, resume_after};
use crate::occupancy::Place;
use crate::{Admin, Problem, Trust};

/// Most streams of one log: programs, not customers.
const STREAMS_MAX: usize = 64;

/// The query of a stream.
#[derive(Deserialize)]
pub(super) struct LogStreamQuery {
    source: Option<String>,
    kind: Option<String>,
    #[serde(rename = "lastEventId")]
    last_event_id: Option<String>,
}

/// `GET /v1/events/stream`
pub(super) async fn open(
    State(status): State<ServiceStatus>,
    Extension(trust): Extension<Trust>,
    _: Admin,
    headers: HeaderMap,
    Query(query): Query<LogStreamQuery>,
) -> Result<Response, Problem> {
    let (log, own) = (status.log().clone(), status.0.service);
    if query.source.as_ref().is_some_and(|source| source != own) {
        return Err(Problem::bad_request(format!(
            "this log has only events of `{own}`; leave `source` out"
        )));
    }
    let token = bearer(&headers).ok_or_else(Problem::unauthenticated)?;
    let streams = &status.0.streams;
    let held = streams.enter(own, STREAMS_MAX, STREAMS_MAX);
    let held = held.map_err(|_| Problem::busy())?;
    let after: Option<String> = resume_after(&headers, query.last_event_id.as_deref());
    // Of the whole shop's stream the id names a place in each log.
    let after = after.and_then(|ids| ids.split(',').find_map(|id| place(own, id).ok()));
    let tail = log.tail().seq;
    // A log that was put back may end before the place that a client knows.
    let after = after.map_or(tail, |after| after.min(tail));
    let first = log.beginning()?.seq + 1;
    if after + 1 < first {
        return Err(LogError::Trimmed { first }.into());
    }
    let source = LogStream {
        log,
        kind: query.kind,
        has_begun: false,
        after,
        buffered: VecDeque::new(),
        draining: status.0.draining.clone(),
        _held: held,
    };
    Ok(event_stream::respond(source, trust, token))
}

/// A log from a place on.
struct LogStream {
    log: Log,
    /// The kind of events; `None` for every kind.
    kind: Option<String>,
    /// Whether the place where it begins was sent.
    has_begun: bool,
    after: u64,
    buffered: VecDeque<EventResponse>,
    draining: CancellationToken,
    _held: Place<&'static str>,
}

impl LogStream {
    /// Waits for events after the place and buffers those of the kind.
    async fn read(&mut self) -> Result<(), LogError> {
        self.log.beyond(self.after).await;
        let (log, after) = (self.log.clone(), self.after);
        for recorded in blocking(move || log.read(after)).await? {
            let event = EventResponse::new(&recorded)?;
            if self.kind.as_ref().is_none_or(|kind| *kind == event.kind) {
                self.buffered.push_back(event);
            }
            self.after = recorded.seq;
        }
        Ok(())
    }
}

impl StreamSource for LogStream {
    async fn next(&mut self) -> Option<StreamEvent> {
        if !self.has_begun {
            self.has_begun = true;
            // Without data it is no event, but a client that reconnects goes on from there.
            let (source, epoch) = (self.log.source(), self.log.epoch());
            return Some(StreamEvent::default().id(format!("{source}/{epoch}/{}", self.after)));
        }
        while self.buffered.is_empty() {
            let draining = self.draining.clone();
            match draining.run_until_cancelled(self.read()).await? {
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(%error, "a stream of events ended early");
                    return None;
                }
            }
        }
        let event = self.buffered.pop_front()?;
        let stream_event = StreamEvent::default().id(&event.id).event(&event.kind);
        Some(
            stream_event
                .json_data(&event)
                .expect("plain structs of strings and numbers encode"),
        )
    }
}
