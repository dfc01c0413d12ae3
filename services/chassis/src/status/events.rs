//! The events of a service's log: newest first, or forwards from a sequence number.
//!
//! **Invariant:** the number of events read for one page is bounded, and a page that a
//! filter left short still has the cursor of the next. A list forwards has no gap: it is
//! refused where events were trimmed.

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use mesh::{Event, LogError, Recorded};
use model::Time;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ServiceStatus;
use crate::page::{self, Page, Paging};
use crate::{Admin, Json, Problem};

/// The events read for one page.
pub(super) const SCANNED_MAX: usize = 10_000;

/// The query of a list of events.
#[derive(Debug, Deserialize)]
pub(super) struct EventsQuery {
    source: Option<String>,
    after: Option<String>,
    kind: Option<String>,
}

/// An event with its envelope, in a response.
#[derive(Debug, Serialize)]
pub(super) struct EventResponse {
    pub(super) id: String,
    source: String,
    epoch: u64,
    seq: u64,
    key: String,
    pub(super) kind: String,
    pub(super) at: Time,
    trace: Option<String>,
    by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<String>,
    data: Value,
    hash: String,
}

impl EventResponse {
    /// # Errors
    /// When the recorded bytes are not an event.
    pub(super) fn new(recorded: &Recorded) -> Result<Self, store::Error> {
        let corrupt = |why: String| store::Error::Corrupt { table: "log", why };
        let event = Event::decode(&recorded.body).map_err(corrupt)?;
        let id = event.id();
        // A fact serializes as an object of one member: its kind, with its fields.
        let fact = serde_json::to_value(&event.fact).map_err(|why| corrupt(why.to_string()))?;
        let data = match fact {
            Value::Object(fact) => fact.into_iter().next().map(|(_, fields)| fields),
            _ => None,
        };
        let Event { source, epoch, seq, key, kind, at, trace, by, via, fact: _ } = event;
        let (data, hash) = (data.unwrap_or_default(), HEXLOWER.encode(&recorded.hash));
        Ok(Self {
            id,
            source,
            epoch,
            seq,
            key,
            kind,
            at,
            trace,
            by,
            via,
            data,
            hash,
        })
    }
}

/// `GET /v1/events`
pub(super) async fn list(
    State(status): State<ServiceStatus>,
    _: Admin,
    paging: Paging,
    Query(query): Query<EventsQuery>,
) -> Result<Response, Problem> {
    let (log, own) = (status.0.log.clone(), status.0.service);
    if query.source.as_ref().is_some_and(|source| source != own) {
        return Err(Problem::bad_request(format!(
            "this log has only events of `{own}`; leave `source` out"
        )));
    }
    let after = query.after.as_deref().map(|after| place(own, after));
    let (after, cursor) = (after.transpose()?, paging.after()?);
    let page = crate::check::blocking(move || {
        let kind = query.kind.as_deref();
        match after {
            Some(after) => collect(log.after(cursor.unwrap_or(after))?, kind, paging.limit),
            None => collect(log.before(cursor.unwrap_or(u64::MAX))?, kind, paging.limit),
        }
    });
    Ok(Json(page.await?).into_response())
}

/// A sequence number, from a number or an event's id.
pub(super) fn place(own: &str, after: &str) -> Result<u64, Problem> {
    let bad = || {
        Problem::bad_request(format!(
            "`after` must be a number or an id such as `{own}/1/7`"
        ))
    };
    let seq = match after.rsplit_once('/') {
        None => after,
        Some((log, seq)) if log.split('/').next() == Some(own) => seq,
        Some(_) => return Err(bad()),
    };
    seq.parse().map_err(|_| bad())
}

pub(super) fn collect(
    rows: impl Iterator<Item = Result<Recorded, impl Into<LogError>>>,
    kind: Option<&str>,
    limit: usize,
) -> Result<Page<EventResponse>, LogError> {
    let (mut items, mut last) = (Vec::new(), None);
    for (scanned, row) in rows.enumerate() {
        if items.len() == limit || scanned == SCANNED_MAX {
            let next_cursor = last.as_ref().map(page::cursor);
            return Ok(Page { items, next_cursor });
        }
        let recorded = row.map_err(Into::into)?;
        last = Some(recorded.seq);
        let event = EventResponse::new(&recorded)?;
        if kind.is_none_or(|kind| kind == event.kind) {
            items.push(event);
        }
    }
    Ok(Page { items, next_cursor: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::unwrap_used, reason = "a test")]
    #[test]
    fn after_is_a_number_or_an_id_of_this_log() {
        assert_eq!(place("orders", "7").unwrap(), 7);
        assert_eq!(place("orders", "orders/1790000000000/7").unwrap(), 7);
        for wrong in ["", "x", "users/1/7", "orders/1/", "-1"] {
            assert!(place("orders", wrong).is_err(), "{wrong}");
        }
    }
}
