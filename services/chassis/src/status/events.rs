//! The service's own log, for people: newest first, or onwards from a place.
//!
//! **Invariant:** a page ends where the next begins, also when a filter left it
//! short: how many events are looked at for one page is bounded.

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use mesh::{Event, Recorded};
use model::Time;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ServiceStatus;
use crate::page::{self, Page, Paging};
use crate::{Admin, Json, Problem};

/// How many events are looked at for one page.
const LOOKED_AT_MAX: usize = 10_000;

/// Which events are wanted.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    source: Option<String>,
    after: Option<String>,
    kind: Option<String>,
}

/// An event with its envelope.
#[derive(Debug, Serialize)]
pub(super) struct EventView {
    id: String,
    source: String,
    epoch: u64,
    seq: u64,
    key: String,
    kind: String,
    at: Time,
    trace: Option<String>,
    by: Option<String>,
    data: Value,
    hash: String,
}

impl EventView {
    /// # Errors
    /// When the recorded bytes are not an event.
    pub(super) fn new(recorded: &Recorded) -> Result<Self, store::Error> {
        let corrupt = |why: String| store::Error::Corrupt { table: "log", why };
        let event = Event::decode(&recorded.body).map_err(corrupt)?;
        let id = event.id();
        // A fact is written as its kind with its fields in it.
        let fact = serde_json::to_value(&event.fact).map_err(|why| corrupt(why.to_string()))?;
        let data = match fact {
            Value::Object(fact) => fact.into_iter().next().map(|(_, fields)| fields),
            _ => None,
        };
        let Event { source, epoch, seq, key, kind, at, trace, by, fact: _ } = event;
        let (data, hash) = (data.unwrap_or_default(), HEXLOWER.encode(&recorded.hash));
        Ok(Self { id, source, epoch, seq, key, kind, at, trace, by, data, hash })
    }
}

/// `GET /v1/events`
pub(super) async fn list(
    State(status): State<ServiceStatus>,
    _: Admin,
    paging: Paging,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    let (log, own) = (status.0.log.clone(), status.0.service);
    if wanted.source.as_ref().is_some_and(|source| source != own) {
        return Err(Problem::bad_request(format!(
            "these are the events of `{own}`"
        )));
    }
    let after = wanted.after.as_deref().map(|after| place(own, after));
    let (after, cursor) = (after.transpose()?, paging.after()?);
    let page = crate::check::blocking(move || {
        let kind = wanted.kind.as_deref();
        match after {
            Some(after) => collect(log.after(cursor.unwrap_or(after))?, kind, paging.limit),
            None => collect(log.before(cursor.unwrap_or(u64::MAX))?, kind, paging.limit),
        }
    });
    Ok(Json(page.await?).into_response())
}

/// A place in the log, as a number or as an event's id.
fn place(own: &str, after: &str) -> Result<u64, Problem> {
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

fn collect(
    rows: impl Iterator<Item = Result<Recorded, store::Error>>,
    kind: Option<&str>,
    limit: usize,
) -> Result<Page<EventView>, store::Error> {
    let (mut items, mut last) = (Vec::new(), None);
    for (looked_at, row) in rows.enumerate() {
        if items.len() == limit || looked_at == LOOKED_AT_MAX {
            let next_cursor = last.as_ref().map(page::cursor);
            return Ok(Page { items, next_cursor });
        }
        let recorded = row?;
        last = Some(recorded.seq);
        let event = EventView::new(&recorded)?;
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
    fn a_place_is_a_number_or_an_id_of_this_log() {
        assert_eq!(place("orders", "7").unwrap(), 7);
        assert_eq!(place("orders", "orders/1790000000000/7").unwrap(), 7);
        for wrong in ["", "x", "users/1/7", "orders/1/", "-1"] {
            assert!(place("orders", wrong).is_err(), "{wrong}");
        }
    }
}
